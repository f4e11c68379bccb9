"""What was promised survives kill -9: the figure is benchmarks/durability.py with more kills."""

from pathlib import Path

import pytest

from benchmarks.durability import run


@pytest.mark.parametrize("victim", ["shalt.recording", "shalt.worker"])
def test_a_kill_loses_nothing_acknowledged_and_doubles_nothing(victim: str, tmp_path: Path) -> None:
    result = run(victim, kills=3, rate=100, seed=1, data_dir=tmp_path / "data")
    assert result.acknowledged > 50
    assert (result.lost, result.doubled, result.ledger_error) == (0, 0, 0)
