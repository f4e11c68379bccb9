"""Segments put together: scratch files to the files of a dataset.

The rows of each file are those of the segments in the order of their ranges, so the bytes do not
depend on how many processes there were, nor on which of them was first. Rows that are not to leave
after all (`dropped`) are passed over, and the others counted on. A scratch file is deleted once it
was read: no row takes its place on disk twice for long.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from exporters.formats import new_rows
from exporters.manifest import FileEntry
from exporters.parquet_files import ParquetRows
from exporters.row_lines import IDS_FILE, IdLine
from exporters.scratch import LISTS, scratch_path
from exporters.segment import Segment
from exporters.staging import Lines

Advance = Callable[[int], None]  # segments put together since it was last told
RowFile = Lines | ParquetRows
Dropped = Mapping[str, Collection[int]]  # file -> its rows that are not to leave


def merge(
    directory: Path,
    scratch: Path,
    segments: Sequence[Segment],
    *,
    rows: Sequence[str],
    dropped: Dropped,
    advance: Advance,
) -> Sequence[FileEntry]:
    """Write the files of a dataset from scratch files; return their entries in the manifest.

    `segments` come in the order of their numbers. `rows` are the files of rows, which have lines
    in `ids.jsonl`. Raises OSError where the disk refuses.
    """
    with ExitStack() as stack:
        files: dict[str, RowFile] = {name: open_rows(stack, directory / name) for name in rows}
        files |= {name: stack.enter_context(Lines(directory / name)) for name in LISTS}
        ids = stack.enter_context(Lines(directory / IDS_FILE))
        before = dict.fromkeys(rows, 0)  # rows of earlier segments, dropped ones too
        for segment in segments:
            gone = {
                name: _rows_between(dropped.get(name, ()), before[name], segment.rows[name])
                for name in rows
            }
            path = scratch_path(scratch, segment.number, IDS_FILE)
            _append_ids(ids, path, {name: files[name].rows for name in rows}, gone)
            for name in (*rows, *LISTS):
                path = scratch_path(scratch, segment.number, name)
                _append(files[name], path, segment.rows[name], gone.get(name, frozenset()))
            for name in rows:
                before[name] += segment.rows[name]
            advance(1)
    return [entry_of(file) for file in (*files.values(), ids)]


def open_rows(stack: ExitStack, path: Path) -> RowFile:
    """Open a new file of rows, to be closed with others."""
    rows = new_rows(path)
    stack.push(rows)
    return rows


def entry_of(file: RowFile) -> FileEntry:
    """Say in the manifest's words what was written into a file."""
    return FileEntry(file.name, file.sha256, file.bytes, file.rows)


def read_ids(path: Path) -> Iterator[IdLine]:
    """Read the lines of an `ids.jsonl`, or of a segment's part of it."""
    with path.open("rb") as file:
        yield from map(_decode_id, file)


_decode_id = msgspec.json.Decoder(IdLine).decode


def _rows_between(rows: Collection[int], start: int, count: int) -> frozenset[int]:
    """Return which rows of a segment are among some rows of the file, counted from its first."""
    return frozenset(row for row in range(count) if row + start in rows) if rows else frozenset()


def _append(file: RowFile, path: Path, rows: int, gone: Collection[int]) -> None:
    """Append the lines of a scratch file but those that are gone, and delete it."""
    if gone:
        with path.open("rb") as lines:
            for number, line in enumerate(lines):
                if number not in gone:
                    file.write(line.removesuffix(b"\n"))
    else:
        file.append(path, rows)
    path.unlink()


def _append_ids(
    ids: Lines, path: Path, before: Mapping[str, int], gone: Mapping[str, Collection[int]]
) -> None:
    """Append the lines of a segment, whose rows come after those that are there."""
    following = dict(before)
    for line in read_ids(path):
        if line.row not in gone[line.file]:
            ids.write(msgspec.json.encode(msgspec.structs.replace(line, row=following[line.file])))
            following[line.file] += 1
    path.unlink()
