"""Tests of shalt.cli_keys: the commands as they are typed."""

from pathlib import Path

import pytest

from tests.serving import run_shalt


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_a_command_has_help_with_an_example(command: str) -> None:
    told = run_shalt("keys", command, "--help")
    assert told.returncode == 0
    assert f"  shalt keys {command}" in told.stdout


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path / "data"))
    made = run_shalt("keys", "create", "ci", "--rate", "60", *place)
    assert made.returncode == 0
    assert len(made.stdout.splitlines()) == 1, "a script takes the key from standard output"
    assert "access_keys = true" in made.stderr
    id = made.stdout.split("-")[1]
    assert run_shalt("keys", "revoke", id, *place).stdout == f"revoked {id}\n"
    assert "revoked" in run_shalt("keys", "list", *place).stdout
    again = run_shalt("keys", "revoke", id, *place)
    assert again.returncode == 2
    assert "was revoked at" in again.stderr
