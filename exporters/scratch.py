"""What a segment writes: scratch files, one for each file of the dataset, and fingerprints beside.

The rows of a file and their fingerprints are in the same order; a fingerprint has a fixed size, so
the one of any row can be found (exporters.fingerprints). Row numbers count from 0 in each segment.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from exporters.row_lines import IDS_FILE, NEEDS_LABEL_FILE, UNFIT_FILE, CallLine, IdLine
from exporters.staging import Lines

LISTS = (NEEDS_LABEL_FILE, UNFIT_FILE)
_FINGERPRINTS = ".fingerprints"
_BUFFER_BYTES = 1 << 16


def scratch_path(directory: Path, number: int, name: str) -> Path:
    """Name the scratch file of a segment for a file of the dataset."""
    return directory / f"{number:06d}.{name}"


def fingerprints_of(name: str) -> str:
    """Name the file of fingerprints beside a file of rows."""
    return name + _FINGERPRINTS


class ScratchFiles:
    """The files of one segment, while they are written. `names`: of the files of rows."""

    def __init__(self, directory: Path, number: int, names: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._files = {
            name: self._stack.enter_context(
                Lines(scratch_path(directory, number, name), lasting=False)
            )
            for name in (*names, *LISTS, IDS_FILE)
        }
        self._fingerprints = {
            name: self._stack.enter_context(
                scratch_path(directory, number, fingerprints_of(name)).open("xb", _BUFFER_BYTES)
            )
            for name in names
        }

    def add_row(self, row: bytes, line: IdLine, fingerprint: bytes) -> None:
        """Add a row to the file that its line names; the line's number is set here."""
        file = self._files[line.file]
        self._files[IDS_FILE].write(
            msgspec.json.encode(msgspec.structs.replace(line, row=file.rows))
        )
        file.write(row)
        self._fingerprints[line.file].write(fingerprint)

    def add_call(self, name: str, line: CallLine) -> None:
        """Add a line to one of LISTS."""
        self._files[name].write(msgspec.json.encode(line))

    def rows(self) -> dict[str, int]:
        """Count the lines of each file."""
        return {name: file.rows for name, file in self._files.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
