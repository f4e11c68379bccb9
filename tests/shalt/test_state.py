"""`shalt status`, over the demo's traffic."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt import state
from shalt.places import DataDirError
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import DropReason, SystemClock
from storage.ledger import Ledger, is_balanced
from storage.poison import PoisonDirectory, undigested
from tests.storage.calls import capture_of


def test_status_as_json_has_the_ledger_the_spool_the_store_and_the_sides(
    demo_settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    state.status(demo_settings, as_json=True)
    shown = json.loads(capsysbinary.readouterr().out)
    with closing(open_store(demo_settings)) as store:
        stored = store.count("default")
    assert shown["ledger"]["accepted"] == shown["ledger"]["stored"] == stored
    assert shown["ledger"]["balanced"] is True
    assert set(shown["ledger"]["dropped"]) == set(DropReason)
    assert sum(side["calls"] for side in shown["sides"].values()) == stored
    assert shown["spool"]["oldest_seconds"] == 0
    assert shown["store"]["bytes"] > 100_000


def test_status_for_people_says_the_same(
    demo_settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    state.status(demo_settings, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert text.startswith("accepted ")
    assert "do not add up" not in text
    assert "train" in text
    assert "project" not in text


def test_the_sides_are_said_to_be_of_one_project_where_there_are_others(
    demo_settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    state.status(demo_settings.model_copy(update={"project": "shop"}), as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "project   shop; others that have calls: default\ntrain " in text


def test_a_ledger_with_a_hole_is_not_balanced() -> None:
    dropped = dict.fromkeys(DropReason, 0)
    assert is_balanced(Ledger(5, 3, 0, 0, dropped, 1, 1, True))
    assert not is_balanced(Ledger(6, 3, 0, 0, dropped, 1, 1, True))


def test_a_missing_data_directory_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataDirError, match="`shalt serve` makes it"):
        state.status(Settings(data_dir=tmp_path / "absent"), as_json=False)


def test_a_store_that_is_not_there_yet_leaves_the_ledger_readable(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "spool").mkdir()
    state.status(Settings(data_dir=tmp_path), as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "NOT READABLE" in text
    assert "shalt.sqlite is not there" in " ".join(text.split())


def test_poison_is_counted_and_its_place_named(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    poison = PoisonDirectory(tmp_path / "poison")
    poison.put(undigested(capture_of(1), ValueError("x")), "f" * 32, SystemClock())
    state.status(Settings(data_dir=tmp_path), as_json=False)
    assert f"1 call in {tmp_path / 'poison'}" in capsysbinary.readouterr().out.decode()
    state.status(Settings(data_dir=tmp_path), as_json=True)
    assert json.loads(capsysbinary.readouterr().out)["poison"]["calls"] == 1
