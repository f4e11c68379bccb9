"""Scratch files are put together in the order of their segments, and rows are counted on."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from exporters.manifest import FileEntry
from exporters.merging import Dropped, merge, read_ids, read_leaving
from exporters.pool import Here
from exporters.row_lines import IDS_FILE, IdLine, Leaving
from exporters.scratch import LISTS, scratch_path
from exporters.segment import Segment
from exporters.tally import Tally
from storage.database import open_engine
from storage.reader import StoreReader
from tests.exporters.calls import SIDE_FILES


def segment(scratch: Path, number: int, texts: list[bytes]) -> Segment:
    """Write a segment with these rows of train, and none of anything else."""
    names = (*SIDE_FILES.values(), *LISTS)
    for name in names:
        scratch_path(scratch, number, name).write_bytes(b"")
    scratch_path(scratch, number, "train.jsonl").write_bytes(b"".join(t + b"\n" for t in texts))
    lines = [IdLine("train.jsonl", row, text.decode(), "g") for row, text in enumerate(texts)]
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    scratch_path(scratch, number, IDS_FILE).write_bytes(data)
    rows = dict.fromkeys(names, 0) | {"train.jsonl": len(texts)}
    return Segment(number, rows, Tally(), [])


def merged(
    directory: Path, segments: list[Segment], dropped: Dropped | None = None
) -> Sequence[FileEntry]:
    return merge(
        directory,
        directory / "scratch",
        segments,
        Here(StoreReader(open_engine("sqlite:///nothing.sqlite"))),
        rows=list(SIDE_FILES.values()),
        dropped=dropped or {},
        advance=lambda count: None,
    )


def test_rows_come_in_the_order_of_the_segments(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    segments = [segment(tmp_path / "scratch", n, [b"%d" % n, b"%da" % n]) for n in range(3)]
    files = merged(tmp_path, segments)
    assert (tmp_path / "train.jsonl").read_bytes().split() == b"0 0a 1 1a 2 2a".split()
    found = [(line.row, line.call) for line in read_ids(tmp_path / IDS_FILE)]
    assert found == list(enumerate("0 0a 1 1a 2 2a".split()))
    assert {file.name: file.rows for file in files}["train.jsonl"] == 6


def test_nothing_is_left_of_the_scratch_files(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    segments = [segment(tmp_path / "scratch", 0, [b"0"])]
    merged(tmp_path, segments)
    assert not list((tmp_path / "scratch").iterdir())


def test_rows_that_are_dropped_are_in_no_file_and_the_others_are_counted_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "scratch").mkdir()
    segments = [segment(tmp_path / "scratch", n, [b"%d" % n, b"%da" % n]) for n in range(3)]
    files = merged(tmp_path, segments, {"train.jsonl": {1, 2}})
    assert (tmp_path / "train.jsonl").read_bytes().split() == b"0 1a 2 2a".split()
    found = [(line.row, line.call) for line in read_ids(tmp_path / IDS_FILE)]
    assert found == list(enumerate("0 1a 2 2a".split()))
    assert {file.name: file.rows for file in files}["train.jsonl"] == 4


def test_who_leaves_is_read_with_all_calls_of_a_row(tmp_path: Path) -> None:
    line = IdLine("val.jsonl", 3, "b", "g", continued=("a",), model="m", partly=True)
    (tmp_path / IDS_FILE).write_bytes(msgspec.json.encode(line) + b"\n")
    assert list(read_leaving(tmp_path / IDS_FILE)) == [Leaving("val.jsonl", "b", "g", ("a",))]
