"""A segment is a function of the store and a range: its rows and counts are those of the range."""

import gc
from pathlib import Path

import msgspec

from exporters.planning import make_plan
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE, IdLine
from exporters.scratch import scratch_path
from exporters.segment import Segment, write_segment
from exporters.tally import Tally
from exporters.turns import Conversations
from storage.grouped import GroupRange, group_ranges
from storage.store import TraceStore
from tests.exporters.calls import conversation, opening, record


def fill(store: TraceStore) -> None:
    record(store, [call for g in range(40) for call in conversation(100 * g, opening(g), 2)])


def write(store: TraceStore, number: int, among: GroupRange, directory: Path) -> Segment:
    directory.mkdir(exist_ok=True)
    return write_segment(store, make_plan(store, ExportRequest()).rows, number, among, directory)


def test_segments_add_up_to_what_one_would_have_made(store: TraceStore, tmp_path: Path) -> None:
    fill(store)
    whole = write(store, 0, GroupRange("", None), tmp_path / "whole")
    tally = Tally()
    parts = [
        write(store, number, among, tmp_path / "parts")
        for number, among in enumerate(group_ranges(store, "default", 7))
    ]
    for part in parts:
        tally.add(part.tally)
    assert tally == whole.tally
    together = b"".join(
        scratch_path(tmp_path / "parts", part.number, "train.jsonl").read_bytes() for part in parts
    )
    assert together == scratch_path(tmp_path / "whole", 0, "train.jsonl").read_bytes() != b""


def test_row_numbers_count_from_0_in_each_segment(store: TraceStore, tmp_path: Path) -> None:
    fill(store)
    ranges = group_ranges(store, "default", 40)
    write(store, 1, ranges[-1], tmp_path)
    lines = scratch_path(tmp_path, 1, IDS_FILE).read_bytes().splitlines()
    train = [line for line in map(_decode, lines) if line.file == "train.jsonl"]
    assert [line.row for line in train] == list(range(len(train)))


def test_the_calls_read_are_told_group_by_group(store: TraceStore, tmp_path: Path) -> None:
    fill(store)
    told: list[int] = []
    plan = make_plan(store, ExportRequest()).rows
    write_segment(store, plan, 0, GroupRange("", None), tmp_path, advance=told.append)
    assert told == [2] * 40


def test_a_group_that_is_written_leaves_memory_without_a_search_for_rings(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)
    plan = make_plan(sqlite_store, ExportRequest()).rows
    gc.collect()
    gc.disable()
    try:
        write_segment(sqlite_store, plan, 0, GroupRange("", None), tmp_path)
        alive = sum(isinstance(each, Conversations) for each in gc.get_objects())
    finally:
        gc.enable()
    assert alive == 0


_decode = msgspec.json.Decoder(IdLine).decode
