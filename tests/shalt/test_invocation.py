"""Printed commands find the same data as the process that prints them."""

import shlex
from pathlib import Path

import pytest

from shalt.invocation import invocation, options_of
from shalt.settings import load


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_where_all_is_default_a_command_is_printed_as_it_is() -> None:
    Path("shalt.toml").write_text("port = 1\n")
    assert invocation(load(), "shalt drift ls", project=True) == "shalt drift ls"


def test_a_data_directory_is_named_absolutely_and_quoted(tmp_path: Path) -> None:
    settings = load(data_dir=Path("our data"), project="shop")
    words = shlex.split(invocation(settings, "shalt drift ls", project=True))
    assert words[3:] == ["--data-dir", str(tmp_path / "our data"), "--project", "shop"]
    assert "--project" not in invocation(settings, "shalt status")


def test_a_settings_file_is_named_however_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.toml").write_text('data_dir = "/srv/shalt"\n')
    named = ("--config", str(tmp_path / "ours.toml"), "--data-dir", "/srv/shalt")
    assert options_of(load(Path("ours.toml"))) == named
    monkeypatch.setenv("SHALT_CONFIG", "ours.toml")
    assert options_of(load()) == named


def test_options_are_known_to_a_child_process(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text("")
    settings = load(Path("ours.toml"))
    again = type(settings).model_validate_json(settings.model_dump_json(round_trip=True))
    assert options_of(again) == ("--config", str(tmp_path / "ours.toml"))
