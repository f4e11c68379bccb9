"""Segments put together: scratch files to the files of a dataset.

The rows of each file are those of the segments in the order of their ranges, so the bytes do not
depend on how many processes there were, nor on which of them was first. Rows that are not to leave
after all (`dropped`) are passed over, and the others counted on. A scratch file is deleted once it
was read: no row takes its place on disk twice for long.

Each file is put together by itself, by whichever process of the run is free (exporters.pool), while
`ids.jsonl`, whose rows are counted anew, is written here.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec

from exporters.formats import new_rows
from exporters.manifest import FileEntry
from exporters.parquet_files import ParquetRows
from exporters.pool import Looker
from exporters.row_lines import IDS_FILE, IdLine, Leaving
from exporters.scratch import LISTS, scratch_path
from exporters.segment import Segment
from exporters.staging import Lines
from storage.reader import StoreReader

Advance = Callable[[int], None]  # segments put together since it was last told
RowFile = Lines | ParquetRows
Dropped = Mapping[str, Collection[int]]  # file -> its rows that are not to leave


def merge(
    directory: Path,
    scratch: Path,
    segments: Sequence[Segment],
    looker: Looker,
    *,
    rows: Sequence[str],
    dropped: Dropped,
    advance: Advance,
) -> Sequence[FileEntry]:
    """Write the files of a dataset from scratch files; return their entries in the manifest.

    `segments` come in the order of their numbers. `rows` are the files of rows, which have lines
    in `ids.jsonl`. Raises OSError where the disk refuses.
    """
    gone = {name: _by_segment(name, segments, dropped.get(name, ())) for name in (*rows, *LISTS)}
    whole = []
    for name in (*rows, *LISTS):
        parts = _parts(scratch, name, segments, gone[name])
        whole.append(looker.begin(partial(_put_together, path=directory / name, parts=parts)))
    with Lines(directory / IDS_FILE) as ids:
        following = dict.fromkeys(rows, 0)
        for place, segment in enumerate(segments):
            path = scratch_path(scratch, segment.number, IDS_FILE)
            _append_ids(ids, path, following, {name: gone[name][place] for name in rows})
            advance(1)
    return [*(file.result() for file in whole), entry_of(ids)]


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


def read_leaving(path: Path) -> Iterator[Leaving]:
    """Read of an `ids.jsonl` who leaves, and in which file."""
    with path.open("rb") as file:
        yield from map(_decode_leaving, file)


_decode_id = msgspec.json.Decoder(IdLine).decode
_decode_leaving = msgspec.json.Decoder(Leaving).decode


class _Part(NamedTuple):
    """A scratch file of so many rows, of which some are not to leave."""

    path: Path
    rows: int
    gone: frozenset[int]


def _by_segment(
    name: str, segments: Sequence[Segment], rows: Collection[int]
) -> list[frozenset[int]]:
    """Say of each segment which of its rows of a file are among some, counted from its first."""
    found: list[set[int]] = [set() for _ in segments]
    ends = list(accumulate(segment.rows[name] for segment in segments))
    for row in rows:
        place = bisect_right(ends, row)
        found[place].add(row - (ends[place - 1] if place else 0))
    return [frozenset(each) for each in found]


def _parts(
    scratch: Path, name: str, segments: Sequence[Segment], gone: Sequence[frozenset[int]]
) -> Sequence[_Part]:
    return [
        _Part(scratch_path(scratch, segment.number, name), segment.rows[name], absent)
        for segment, absent in zip(segments, gone, strict=True)
    ]


def _put_together(_: StoreReader, path: Path, parts: Sequence[_Part]) -> FileEntry:
    """Write one file from its scratch files, and delete them."""
    with ExitStack() as stack:
        file = stack.enter_context(Lines(path)) if path.name in LISTS else open_rows(stack, path)
        for part in parts:
            _append(file, part)
    return entry_of(file)


def _append(file: RowFile, part: _Part) -> None:
    if part.gone:
        with part.path.open("rb") as lines:
            for number, line in enumerate(lines):
                if number not in part.gone:
                    file.write(line.removesuffix(b"\n"))
    else:
        file.append(part.path, part.rows)
    part.path.unlink()


def _append_ids(
    ids: Lines, path: Path, following: dict[str, int], gone: Mapping[str, Collection[int]]
) -> None:
    """Append the lines of a segment, whose rows are counted on from those `following`."""
    for line in read_ids(path):
        if line.row not in gone[line.file]:
            ids.write(msgspec.json.encode(msgspec.structs.replace(line, row=following[line.file])))
            following[line.file] += 1
    path.unlink()
