"""Tests of shalt.cli_keys: the commands as they are typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT


def shalt(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shalt", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_a_command_has_help_with_an_example(command: str) -> None:
    told = shalt("keys", command, "--help")
    assert told.returncode == 0
    assert f"  shalt keys {command}" in told.stdout


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path / "data"))
    made = shalt("keys", "create", "ci", "--rate", "60", *place)
    assert made.returncode == 0
    assert len(made.stdout.splitlines()) == 1, "a script takes the key from standard output"
    assert "access_keys = true" in made.stderr
    id = made.stdout.split("-")[1]
    assert shalt("keys", "revoke", id, *place).stdout == f"revoked {id}\n"
    assert "revoked" in shalt("keys", "list", *place).stdout
    again = shalt("keys", "revoke", id, *place)
    assert again.returncode == 2
    assert "was revoked at" in again.stderr
