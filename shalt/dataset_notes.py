"""What is written down of datasets that were asked for, so that the next console knows of them.

A note is a file beside the datasets, `.NAME.job`: what was asked for, and what has become of it. It
is written, and safe on disk, before the answer to who asks; it goes when the dataset is there, for
that speaks for itself. A note appears whole or not at all.

Limit: a note is as long as the request, 4 MiB at most (shalt.dataset_routes).
"""

import logging
import os
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

SUFFIX: Final = ".job"

log = logging.getLogger(__name__)


class State(StrEnum):
    """What has become of a dataset that was asked for."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # the console ended


class Note(msgspec.Struct, frozen=True):
    """A dataset that was asked for: its name, the request, its state, and why."""

    name: str
    request: dict[str, object]
    state: State
    error: str = ""


class DatasetNotes:
    """The notes in a directory. Not for several threads at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, note: Note) -> None:
        """Write a note, in place of an earlier one of the name. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(note.name)
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(note))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def forget(self, name: str) -> None:
        """Delete the note of a name, if there is one."""
        self._path(name).unlink(missing_ok=True)

    def read(self) -> list[Note]:
        """Read all notes, the one written first first; one that cannot be read is left alone."""
        for unfinished in self._directory.glob(".*.new"):
            unfinished.unlink(missing_ok=True)
        found = []
        for path in self._directory.glob(f".*{SUFFIX}"):
            try:
                found.append((path.stat().st_mtime_ns, _decode(path.read_bytes())))
            except (OSError, msgspec.MsgspecError, RecursionError) as error:
                log.warning("note of a dataset not read path=%s error=%s", path, error)
        return [note for _, note in sorted(found, key=lambda one: (one[0], one[1].name))]

    def _path(self, name: str) -> Path:
        return self._directory / f".{name}{SUFFIX}"


_decode = msgspec.json.Decoder(Note).decode
