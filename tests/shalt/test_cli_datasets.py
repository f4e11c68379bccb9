"""Each of these commands answers to --help with an example; what is missing is asked for."""

import pytest
from typer.testing import CliRunner

from shalt.cli import app


@pytest.mark.parametrize("command", ["verify", "drift", "drift ls", "drift show"])
def test_the_help_of_a_command_ends_with_an_example(command: str) -> None:
    run = CliRunner().invoke(app, [*command.split(), "--help"])
    assert run.exit_code == 0
    assert f"shalt {command}" in run.stdout.partition("Example")[2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "say both windows"),
        (["--reference", "dataset"], "say both windows"),
        (["--reference", "a", "--current", "7d", "--alpha", "1"], "between 0 and 1"),
    ],
)
def test_a_comparison_that_is_not_said_whole_is_asked_for(options: list[str], problem: str) -> None:
    run = CliRunner().invoke(app, ["drift", *options])
    assert run.exit_code == 2
    assert problem in run.output
