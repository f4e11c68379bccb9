"""Tests of shalt.explaining: `shalt why`; the answers are tested in storage/test_tracing."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt.explaining import EXIT_UNKNOWN, why
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import DropReason
from storage.fate import CallIdError
from tests.storage.calls import at, id_of, recorded
from tests.stores import laid

Printed = pytest.CaptureFixture[bytes]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a store with one stored and one dropped call."""
    given = Settings(data_dir=tmp_path)
    with closing(open_store(laid(given))) as store:
        store.upgrade()
        store.insert([recorded(1)], at(1))
        store.note_dropped({id_of(2): DropReason.SPOOL_FULL})
    return given


def test_why_tells_people_what_became_of_a_call(settings: Settings, capsysbinary: Printed) -> None:
    assert why(settings, id_of(1), as_json=False) == 0
    assert f"shalt show {id_of(1)}" in capsysbinary.readouterr().out.decode()
    assert why(settings, id_of(2)[:14], as_json=False) == 0
    text = capsysbinary.readouterr().out.decode()
    assert f"{id_of(2)}  dropped (spool_full)" in text
    assert "spool_bytes_max" in text


def test_why_tells_scripts_the_same(settings: Settings, capsysbinary: Printed) -> None:
    why(settings, id_of(2), as_json=True)
    told = json.loads(capsysbinary.readouterr().out)
    assert (told["call_id"], told["state"], told["reason"]) == (id_of(2), "dropped", "spool_full")


def test_an_unknown_call_is_another_exit_code(settings: Settings, capsysbinary: Printed) -> None:
    assert why(settings, id_of(99), as_json=True) == EXIT_UNKNOWN
    assert json.loads(capsysbinary.readouterr().out)["state"] == "unknown"


def test_what_is_no_id_is_said_so(settings: Settings) -> None:
    with pytest.raises(CallIdError):
        why(settings, "chatcmpl-123", as_json=False)
