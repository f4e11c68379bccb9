"""Tests of shalt.cli_watch: the command as it is typed."""

from pathlib import Path

from tests.serving import run_shalt


def test_it_has_help_with_an_example() -> None:
    told = run_shalt("watch", "--help")
    assert told.returncode == 0
    assert "  shalt watch --once" in told.stdout


def test_without_monitors_it_says_where_they_are_asked_for(tmp_path: Path) -> None:
    told = run_shalt("watch", "--once", "--data-dir", str(tmp_path))
    assert told.returncode == 2
    assert "[monitors.NAME]" in told.stderr
