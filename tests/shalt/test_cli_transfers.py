"""Tests of shalt.cli_transfers."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from importers.formats import FORMATS
from shalt.cli import app
from shalt.cli_transfers import Format
from tests.importers.reading import CORPUS


@pytest.mark.parametrize("command", "import forward".split())
def test_the_help_of_a_command_ends_with_an_example(command: str) -> None:
    run = CliRunner().invoke(app, [command, "--help"])
    assert run.exit_code == 0
    assert f"shalt {command}" in run.stdout.partition("Example")[2]


def test_the_formats_that_can_be_named_are_those_there_are() -> None:
    assert {form.value for form in Format} == {"auto", *FORMATS}


def test_import_takes_files_tags_and_a_project(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path), "--project", "shop"]
    file = str(CORPUS / "litellm.csv")
    run = CliRunner().invoke(app, ["import", file, "--tag", "a=b=c", "--json", *place])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["added"] == 3
    listed = CliRunner().invoke(app, ["ls", "--json", *place])
    assert json.loads(listed.stdout.splitlines()[0])["tags"]["a"] == "b=c"


def test_a_tag_without_a_value_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path)]
    file = str(CORPUS / "litellm.csv")
    assert CliRunner().invoke(app, ["import", file, "--tag", "a", *place]).exit_code == 2
    assert CliRunner().invoke(app, ["import", "none.jsonl", *place]).exit_code == 2
