"""Mangled requests and answers for a moment: benchmarks/relay_fuzz.py does it for minutes."""

from pathlib import Path

from benchmarks.relay_fuzz import run


def test_mangled_bytes_neither_crash_nor_smuggle(tmp_path: Path) -> None:
    fuzzing = run(seconds=1, seed=1, clients=8, folder=tmp_path)
    assert fuzzing.violations == []
    assert fuzzing.counts["requests that passed"] > 10
    assert fuzzing.counts["hostile answers"] > 2
