"""Each of these commands answers to --help with an example that can be pasted."""

import pytest
from typer.testing import CliRunner

from shalt.cli import app


@pytest.mark.parametrize("command", "verify drift".split())
def test_the_help_of_a_command_ends_with_an_example(command: str) -> None:
    run = CliRunner().invoke(app, [command, "--help"])
    assert run.exit_code == 0
    assert f"shalt {command}" in run.stdout.partition("Example")[2]
