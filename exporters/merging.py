"""Segments put together: scratch files to the files of a dataset.

The rows of each file are those of the segments in the order of their ranges, so the bytes do not
depend on how many processes there were, nor on which of them was first. A scratch file is deleted
once it was read: no row takes its place on disk twice for long.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from exporters.manifest import IDS_FILE, NEEDS_LABEL_FILE, SIDE_FILES, FileEntry, IdLine
from exporters.segment import Segment, scratch_path
from exporters.staging import Lines

Advance = Callable[[int], None]  # segments put together since it was last told


def merge(
    directory: Path, scratch: Path, segments: Sequence[Segment], advance: Advance
) -> Sequence[FileEntry]:
    """Write the files of a dataset from scratch files; return their entries in the manifest.

    `segments` come in the order of their numbers. Raises OSError where the disk refuses.
    """
    names = (*SIDE_FILES.values(), NEEDS_LABEL_FILE)
    with ExitStack() as stack:
        files = {name: stack.enter_context(Lines(directory / name)) for name in (*names, IDS_FILE)}
        for segment in segments:
            _append_ids(files, scratch_path(scratch, segment.number, IDS_FILE))
            for name in names:
                path = scratch_path(scratch, segment.number, name)
                files[name].append(path, segment.rows[name])
                path.unlink()
            advance(1)
    return [entry_of(file) for file in files.values()]


def entry_of(file: Lines) -> FileEntry:
    """Say in the manifest's words what was written into a file."""
    return FileEntry(file.name, file.sha256, file.bytes, file.rows)


def read_ids(path: Path) -> Iterator[IdLine]:
    """Read the lines of an `ids.jsonl`, or of a segment's part of it."""
    with path.open("rb") as file:
        yield from map(_decode_id, file)


_decode_id = msgspec.json.Decoder(IdLine).decode


def _append_ids(files: dict[str, Lines], path: Path) -> None:
    """Append the lines of a segment, whose rows come after those that are there."""
    before = {name: file.rows for name, file in files.items()}
    for line in read_ids(path):
        line = msgspec.structs.replace(line, row=line.row + before[line.file])
        files[IDS_FILE].write(msgspec.json.encode(line))
    path.unlink()
