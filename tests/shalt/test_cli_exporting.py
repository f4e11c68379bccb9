"""The words of the command line are those of the modules that do the work."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters import formats, images, selection, toolsets, trainers
from shalt import cli_exporting
from shalt.cli import app
from shalt.settings import Settings


def test_the_help_of_a_command_ends_with_an_example() -> None:
    run = CliRunner().invoke(app, ["export", "--help"])
    assert run.exit_code == 0
    assert "shalt export" in run.stdout.partition("Example")[2]


def test_every_choice_is_one_that_there_is() -> None:
    assert [form.value for form in cli_exporting.Format] == list(formats.FORMATS)
    assert [one.value for one in cli_exporting.Turns] == [one.value for one in selection.Turns]
    assert [one.value for one in cli_exporting.Images] == [one.value for one in images.Images]
    assert [one.value for one in cli_exporting.Tools] == [one.value for one in toolsets.ToolMode]
    assert [one.value for one in cli_exporting.Method] == [one.value for one in trainers.Method]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subsets", "half"], "are no percents"),
        (["--time-holdout", "last week"], "is no range of time"),
        (["--labels", "nobody"], "label policy"),
        (["--tools", "drop"], "the current ones must be known"),
        (["--current", "absent.json"], "absent.json: No such file"),
        (["--format", "trl", "--label-field", "kind"], "no label to take from a field"),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, demo_settings: Settings
) -> None:
    out = tmp_path / "out"
    common = ["export", str(out), "--data-dir", str(demo_settings.data_dir)]
    run = CliRunner().invoke(app, [*common, *arguments])
    assert message in str(run.exception)
    assert not out.exists()
