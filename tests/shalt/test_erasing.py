"""Tests of shalt.erasing: what is asked, waited for and printed."""

import json
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest
import typer

from shalt.erasing import ErasureNotFound, erase, retain, show_receipt
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings, load
from storage.capture import SystemClock
from storage.erasure import Kind, Selection
from storage.receipts import NothingToErase
from storage.rows import Recorded
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from tests.storage.calls import at, id_of, recorded

BY_ID = Selection(Kind.ID, ids=(id_of(1),))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    loaded = load(data_dir=tmp_path, retain_days=30)
    with closing(open_store(loaded)) as store:
        store.upgrade()
        store.insert([recorded(1), recorded(2)], at(1))
    return loaded


def test_a_wait_ends_with_the_last_byte_and_a_receipt(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    erase(settings, BY_ID, reason="", yes=True, dry_run=False, wait=True, as_json=True)
    made = json.loads(capsys.readouterr().out)
    assert (made["calls"], made["selector"]["kind"]) == (1, "id")
    assert made["scrubbed_at"] >= made["deleted_at"] >= made["hidden_at"]
    show_receipt(settings, made["id"], as_json=True)
    assert json.loads(capsys.readouterr().out) == made
    show_receipt(settings, made["id"], as_json=False)
    assert "out of reach" in capsys.readouterr().out
    with pytest.raises(ErasureNotFound):
        show_receipt(settings, "f" * 32, as_json=False)


def test_what_waits_in_the_spool_is_stored_first_and_goes_too(settings: Settings) -> None:
    writer = SpoolWriter(Places(settings.data_dir).spool, limits=SpoolLimits(), clock=SystemClock())
    writer.counters.add("accepted")
    capture = recorded(3).capture
    header = (b"x-shalt-session", b"s")
    writer.append(FrameKind.CALL, msgspec.structs.replace(capture, request_headers=[header]))
    writer.close()
    with closing(open_store(settings)) as store:
        store.insert([recorded(4, session_id="s")], at(2))
        erase(
            settings, Selection(Kind.SESSION, value="s"),
            reason="", yes=True, dry_run=False, wait=True, as_json=True,
        )  # fmt: skip
        assert store.get(id_of(3)) is None
        assert store.ledger_totals().stored == 4


def test_a_dry_run_shows_and_a_no_leaves_everything(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    erase(settings, BY_ID, reason="", yes=False, dry_run=True, wait=False, as_json=False)
    assert "1 call of project default" in capsys.readouterr().out
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    with pytest.raises(typer.Exit):
        erase(settings, BY_ID, reason="", yes=False, dry_run=False, wait=False, as_json=False)
    with closing(open_store(settings)) as store:
        assert store.count("default") == 2


def of_user(user: str, call: Recorded) -> Recorded:
    """Make a call of this user."""
    return msgspec.structs.replace(call, span=msgspec.structs.replace(call.span, user_id=user))


def test_a_user_of_other_projects_is_not_taken_for_forgotten(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_store(settings)) as store:
        store.insert([of_user("u", recorded(5, project="shop")), of_user("v", recorded(6))], at(2))
    asked = partial(erase, settings, reason="", yes=True, dry_run=True, wait=False, as_json=False)
    with pytest.raises(NothingToErase):
        asked(Selection(Kind.USER, value="u"))
    assert "other projects, too" in capsys.readouterr().err
    asked(Selection(Kind.USER, value="v"))
    assert capsys.readouterr().err == ""


def test_an_unknown_id_is_no_success(settings: Settings) -> None:
    unknown = Selection(Kind.ID, ids=(id_of(1), "f" * 32))
    with pytest.raises(NothingToErase):
        erase(settings, unknown, reason="", yes=True, dry_run=False, wait=False, as_json=True)


def test_retention_is_shown_and_done_now(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    retain(settings, now=False, as_json=False)
    assert "calls   kept for 30 days, 2 are older" in capsys.readouterr().out
    retain(settings, now=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["deleted"] == {"bodies": 0, "calls": 2}
