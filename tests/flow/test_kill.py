"""What was promised survives kill -9: the figure is benchmarks/durability.py with more kills."""

from pathlib import Path

import pytest

from benchmarks.durability import run
from tests.postgres import running_postgres


@pytest.mark.parametrize("victim", ["shalt.recording", "shalt.worker"])
def test_a_kill_loses_nothing_acknowledged_and_doubles_nothing(victim: str, tmp_path: Path) -> None:
    result = run(victim, kills=3, rate=100, seed=1, data_dir=tmp_path)
    assert result.acknowledged > 50
    assert (result.lost, result.doubled, result.ledger_error) == (0, 0, 0)


@pytest.mark.parametrize("victim", ["shalt.recording", "postgres"])
def test_two_hosts_lose_and_double_nothing_in_one_store(victim: str, tmp_path: Path) -> None:
    with running_postgres(sync=True) as server:
        server.prepare_template()
        result = run(victim, kills=3, rate=100, seed=1, data_dir=tmp_path, server=server)
    assert result.acknowledged > 50
    assert (result.lost, result.doubled, result.ledger_error) == (0, 0, 0)
