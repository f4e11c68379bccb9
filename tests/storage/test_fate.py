"""Tests of storage.fate; the whole of an answer is tested in test_tracing."""

from datetime import UTC, datetime

import msgspec
import pytest

from storage import database, erasure
from storage.capture import DropReason
from storage.erasure import Kind, Selection
from storage.fate import (
    CallIdError,
    Fate,
    State,
    fates_in_store,
    only_one,
    parse_call_id,
    time_of_id,
)
from storage.schema import erasure as erasure_table
from storage.store import TraceStore
from tests.storage.calls import START_NS, at, id_of, recorded

ID = "019a3c7e5f107d3c8a12b0c4d5e6f708"


def fates(store: TraceStore, prefix: str) -> dict[str, State]:
    with database.reading(store.engine) as connection:
        return {fate.call_id: fate.state for fate in fates_in_store(connection, prefix).fates}


@pytest.mark.parametrize("given", [ID, f" {ID.upper()}\n", "019a3c7e-5f10-7d3c-8a12-b0c4d5e6f708"])
def test_an_id_is_understood_however_it_is_written(given: str) -> None:
    assert parse_call_id(given) == ID


@pytest.mark.parametrize("given", ["", "019a3c7", ID + "0", "not-an-id", "019a3c7e%", "chatcmpl-1"])
def test_what_is_no_id_is_said_so(given: str) -> None:
    with pytest.raises(CallIdError, match="is no id of a call"):
        parse_call_id(given)


def test_the_beginning_of_several_ids_names_some_of_them() -> None:
    assert only_one("019a", []) is None
    assert only_one("019a", [ID]) == ID
    with pytest.raises(CallIdError, match=f"more than one id: .*{ID}"):
        only_one("019a", ["019b" * 8, ID])


def test_an_id_tells_when_its_call_began() -> None:
    assert time_of_id(id_of(0)) == datetime.fromtimestamp(START_NS / 1e9, UTC)
    assert time_of_id(id_of(0)[:8]) <= time_of_id(id_of(0))
    assert time_of_id("f" * 32).year == 9999


def test_the_store_knows_stored_erased_and_dropped_calls(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2)], at(1))
    store.note_dropped({id_of(3): DropReason.SPOOL_FULL})
    with database.writing(store.engine) as connection:
        selection = Selection(Kind.ID, ids=(id_of(2),))
        erasure.add(connection, "e" * 32, "default", selection, reason="", now_us=START_NS)
    assert fates(store, id_of(1)) == {id_of(1): State.STORED}
    assert fates(store, id_of(2)) == {id_of(2): State.ERASED}
    assert fates(store, id_of(3)) == {id_of(3): State.DROPPED}
    assert fates(store, id_of(4)) == {}
    assert set(fates(store, id_of(1)[:8])) == {id_of(1), id_of(2), id_of(3)}


def test_what_retention_has_deleted_is_known_by_its_time(store: TraceStore) -> None:
    selection = Selection(Kind.RETENTION, until=START_NS // 1000)
    with database.writing(store.engine) as connection:
        connection.execute(
            erasure_table.insert().values(
                id="e" * 32, project="default", kind="retention", bodies_only=False, reason="",
                selector=msgspec.json.encode(selection).decode(), requested_at=1, call_count=5,
                deleted_at=2,
            )
        )  # fmt: skip
    with database.reading(store.engine) as connection:
        assert fates_in_store(connection, id_of(1)).kept_since_us == START_NS // 1000


def test_a_fate_says_of_a_dropped_call_why() -> None:
    assert isinstance(Fate(ID, State.UNKNOWN, ""), Fate)
