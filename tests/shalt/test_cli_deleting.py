"""Tests of shalt.cli_deleting: the commands as they are typed."""

from pathlib import Path

import pytest

from tests.serving import run_shalt


@pytest.mark.parametrize("command", ["erase", "retain"])
def test_a_command_has_help_with_an_example(command: str) -> None:
    told = run_shalt(command, "--help")
    assert told.returncode == 0
    assert f"  shalt {command}" in told.stdout


def test_an_erasure_that_names_nothing_is_refused(tmp_path: Path) -> None:
    told = run_shalt("erase", "--data-dir", str(tmp_path))
    assert told.returncode == 2
    assert "in exactly one way" in told.stderr
