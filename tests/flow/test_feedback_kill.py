"""Feedback survives kill -9: the figure is benchmarks/feedback_durability.py with more kills."""

from pathlib import Path

import pytest

from benchmarks.feedback_durability import run


@pytest.mark.parametrize("victim", ["shalt.console", "shalt.recording"])
def test_a_kill_loses_no_feedback_and_doubles_none(victim: str, tmp_path: Path) -> None:
    result = run(victim, kills=1, seed=1, data_dir=tmp_path / "data")
    assert result.acknowledged > 4
    assert (result.lost, result.doubled, result.ledger_error) == (0, 0, 0)
