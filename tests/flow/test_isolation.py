"""Marked streams at the same time, a few of them: the figure is benchmarks/isolation.py."""

from pathlib import Path

from benchmarks.isolation import run


def test_no_byte_of_a_stream_is_in_anothers_answer_or_row(tmp_path: Path) -> None:
    checked = run(streams=48, rounds=2, workers=2, folder=tmp_path)
    assert checked.violations == []
    assert checked.row_count == 96
