"""A row, its line and its fingerprint stand at the same place of their files."""

from pathlib import Path

import msgspec

from exporters.row_lines import IDS_FILE, NEEDS_LABEL_FILE, CallLine, IdLine
from exporters.scratch import ScratchFiles, fingerprints_of, scratch_path
from exporters.selection import Reason


def test_rows_lines_and_fingerprints_are_in_the_same_order(tmp_path: Path) -> None:
    with ScratchFiles(tmp_path, 7, ["train.jsonl", "test.jsonl"]) as files:
        for call, file in (("a", "train"), ("b", "test"), ("c", "train")):
            line = IdLine(f"{file}.jsonl", 0, call, "g")
            files.add_row(call.encode(), line, call.encode() * 4)
        assert files.rows()["train.jsonl"] == 2
    assert scratch_path(tmp_path, 7, "train.jsonl").read_bytes() == b"a\nc\n"
    assert scratch_path(tmp_path, 7, fingerprints_of("train.jsonl")).read_bytes() == b"aaaacccc"
    lines = scratch_path(tmp_path, 7, IDS_FILE).read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=IdLine) for line in lines]
    assert [(line.file, line.row, line.call) for line in found] == [
        ("train.jsonl", 0, "a"),
        ("test.jsonl", 0, "b"),
        ("train.jsonl", 1, "c"),
    ]


def test_a_call_that_is_no_row_is_listed_with_its_reason(tmp_path: Path) -> None:
    with ScratchFiles(tmp_path, 0, ["train.jsonl"]) as files:
        files.add_call(NEEDS_LABEL_FILE, CallLine("a", "g", "train", Reason.FAILED))
    (line,) = scratch_path(tmp_path, 0, NEEDS_LABEL_FILE).read_bytes().splitlines()
    assert msgspec.json.decode(line, type=CallLine).reason is Reason.FAILED
