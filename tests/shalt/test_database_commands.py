"""`shalt db …`: what is said of a store, and done to it."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt import database_commands as commands
from shalt.places import DataDirError, Places
from shalt.recording import open_store
from shalt.settings import Settings
from storage.backup import StoreInTheWay
from storage.schema import SCHEMA_REVISION
from tests.storage.calls import ask, at, id_of, recorded


@pytest.fixture
def settings(tmp_path: Path, store_url: str) -> Settings:
    """Settings of a data directory with a store of ten calls."""
    made = Settings(data_dir=tmp_path, store=store_url)
    with closing(open_store(made)) as store:
        store.upgrade()
        store.insert([recorded(number) for number in range(10)], at(1))
    return made


def printed(capture: pytest.CaptureFixture[bytes]) -> str:
    return capture.readouterr().out.decode()


def test_an_upgrade_says_from_where_to_where(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    settings = Settings(data_dir=tmp_path)
    commands.upgrade(settings)
    said = capsysbinary.readouterr()
    assert f"revision none → {SCHEMA_REVISION}" in said.out.decode()
    steps = said.err.decode().splitlines()
    assert [each[:14] for each in steps] == [
        f"revision {number:04d}:" for number in range(1, len(steps) + 1)
    ]
    assert steps[-1].startswith(f"revision {SCHEMA_REVISION}: ")
    commands.upgrade(settings)
    assert f"is at revision {SCHEMA_REVISION} already" in printed(capsysbinary)


def test_a_sound_store_is_said_to_be_so(
    settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands.check(settings, full=True, as_json=False)
    assert printed(capsysbinary) == "sound; 10 bodies decoded\n"


def test_a_fault_is_printed_and_an_error(
    settings: Settings, store_url: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    blob = "x'00ff'" if store_url.startswith("sqlite") else r"'\x00ff'"
    ask(store_url, f"UPDATE body SET capture = {blob} WHERE call_id = '{id_of(3)}'")
    with pytest.raises(commands.StoreUnsound, match="is not sound"):
        commands.check(settings, full=False, as_json=True)
    shown = json.loads(printed(capsysbinary))
    assert shown["bodies_read"] == 10
    assert id_of(3) in shown["faults"][0]


def test_stats_are_for_people_and_scripts(
    settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands.stats(settings, as_json=True)
    shown = json.loads(printed(capsysbinary))
    assert (shown["calls"], shown["bodies"]) == (10, 10)
    assert shown["bytes_a_call"] == shown["bytes"] / 10
    assert shown["oldest"] == "2026-09-21T14:13:20Z"
    commands.stats(settings, as_json=False)
    text = printed(capsysbinary)
    assert "10 calls, 10 with their bodies" in text
    assert "ix_call_project_id" in text


def test_a_copy_is_put_back(
    settings: Settings, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands.backup(settings, tmp_path / "copy")
    assert "MB, verified" in printed(capsysbinary)
    with closing(open_store(settings)) as store:
        store.insert([recorded(number) for number in range(20)], at(2))
    with pytest.raises(StoreInTheWay):
        commands.restore(settings, tmp_path / "copy", force=False)
    commands.restore(settings, tmp_path / "copy", force=True)
    assert "Erase again what was erased since." in printed(capsysbinary)
    with closing(open_store(settings)) as store:
        assert store.count("default") == 10


def test_nothing_is_put_back_while_a_shalt_runs(settings: Settings, tmp_path: Path) -> None:
    commands.backup(settings, tmp_path / "copy")
    places = Places(tmp_path)
    places.prepare()
    with places.lock(), pytest.raises(DataDirError, match="another shalt is running"):
        commands.restore(settings, tmp_path / "copy", force=True)
