"""Mangled WebSocket frames for a moment: benchmarks/socket_fuzz.py does it for minutes."""

from pathlib import Path

from benchmarks.socket_fuzz import run


def test_mangled_frames_pass_unchanged_and_are_recorded_in_their_order(tmp_path: Path) -> None:
    fuzzing = run(seconds=0.3, seed=1, sockets=8, folder=tmp_path)
    assert fuzzing.violations == []
    assert fuzzing.counts["directions"] >= 16
