"""`shalt db search`: the index made of what is stored, kept up to date, and dropped."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt import calls, searching
from shalt.recording import open_store
from shalt.settings import Settings
from storage import database, search
from storage.rows import Recorded
from storage.search import SearchNotBuilt
from storage.store import TraceStore
from tests.storage.calls import at, recorded
from tests.stores import laid

Printed = pytest.CaptureFixture[bytes]


def asking(number: int, question: str, project: str = "default") -> Recorded:
    """Make a call whose bytes say what was asked, so that it can be understood again."""
    body = {"model": "small-1", "messages": [{"role": "user", "content": question}]}
    request = json.dumps(body).encode()
    return recorded(number, question, request=request, project=project)


def store_of(settings: Settings) -> closing[TraceStore]:
    return closing(open_store(settings))


def fill(settings: Settings, *some: Recorded) -> None:
    with store_of(laid(settings)) as store:
        store.upgrade()
        store.insert(some, at(1))


def run(settings: Settings, printed: Printed, *, build: bool = False, drop: bool = False) -> object:
    searching.search_index(settings, build=build, drop=drop, as_json=True)
    return json.loads(printed.readouterr().out)


def found(settings: Settings, text: str) -> list[str]:
    with store_of(settings) as store:
        return [row.id for row in store.list("default", search=text, limit=100)]


def test_calls_that_are_stored_are_indexed_once(tmp_path: Path, capsysbinary: Printed) -> None:
    settings = Settings(data_dir=tmp_path)
    old = [asking(1, "an old question"), asking(2, "another", project="other")]
    fill(settings, *old)
    with pytest.raises(SearchNotBuilt):
        found(settings, "old")
    counts = {"index": True, "kept_up_to_date": False, "indexed": 2, "stored": 2}
    assert run(settings, capsysbinary, build=True) == counts | {"added": 2}
    assert run(settings, capsysbinary, build=True) == counts | {"added": 0}
    assert found(settings, "old question") == [old[0].span.id]


def test_a_build_finds_what_came_between_though_it_is_older(
    tmp_path: Path, capsysbinary: Printed
) -> None:
    settings = Settings(data_dir=tmp_path)
    fill(settings, asking(5, "later"))
    run(settings, capsysbinary, build=True)
    fill(settings, asking(1, "earlier"))
    assert found(settings, "earlier") == []
    run(settings, capsysbinary, build=True)
    assert len(found(settings, "earlier")) == 1


def test_a_build_goes_on_where_it_was_stopped(
    tmp_path: Path, capsysbinary: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "IN_MAX", 4)
    settings = Settings(data_dir=tmp_path)
    fill(settings, *[asking(number, "question") for number in range(10)])
    with store_of(settings) as store, database.writing(store.engine) as connection:
        search.create(connection)
        ids, missing = search.missing(connection, "default", "")
        assert (len(ids), missing) == (4, set(ids))
        search.build(connection, "default", [], ids[-1])  # as if none of them had words
    run(settings, capsysbinary, build=True)
    assert len(found(settings, "question")) == 6
    run(settings, capsysbinary, build=True)
    assert len(found(settings, "question")) == 10


def test_with_the_setting_new_calls_are_found_at_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, search=True)
    call = asking(1, "Where is my parcel?")
    fill(settings, call)
    assert found(settings, "parcel certainly -order") == [call.span.id]
    assert found(settings, "parcel -certainly") == []


def test_without_the_setting_new_calls_are_not_indexed(
    tmp_path: Path, capsysbinary: Printed
) -> None:
    settings = Settings(data_dir=tmp_path)
    fill(settings, asking(1, "one"))
    run(settings, capsysbinary, build=True)
    fill(settings, asking(2, "two"))
    searching.search_index(settings, build=False, drop=False, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "1 of 2 calls indexed" in text
    assert "the setting search is false" in text


def test_recording_goes_on_when_the_index_is_dropped(tmp_path: Path, capsysbinary: Printed) -> None:
    settings = Settings(data_dir=tmp_path, search=True)
    with store_of(settings) as store:
        store.upgrade()
        store.insert([asking(1, "one")], at(1))
        searching.search_index(settings, build=False, drop=True, as_json=False)
        assert b"there is no index" in capsysbinary.readouterr().out
        assert store.insert([asking(2, "two")], at(2)) == 1


def test_a_search_is_joined_with_a_filter(tmp_path: Path, capsysbinary: Printed) -> None:
    settings = Settings(data_dir=tmp_path, search=True)
    fill(settings, *[asking(number, f"question {number % 2}") for number in range(9)])
    calls.ls(settings, where="substr(id, 32, 1) < '5'", search="question 1", limit=9, as_json=True)
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [row["id"][-1] for row in rows] == ["3", "1"]
