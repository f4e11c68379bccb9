"""A call becomes rows that any database takes, and comes back as it was."""

from datetime import UTC, datetime

import pytest

from storage.rows import (
    CallRow,
    Placed,
    call_values,
    feature_values,
    microseconds_of,
    storable,
    tag_values,
    time_of,
)
from storage.schema import call
from storage.store import TraceStore
from storage.trace import Side, Usage
from tests.storage.calls import at, id_of, recorded

PLACED = Placed("g", "root", Side.TRAIN)


def test_a_row_has_every_column_and_a_call_every_field() -> None:
    row, measured = call_values(recorded(1), PLACED), feature_values(recorded(1))
    assert sorted([*row, *measured]) == sorted(call.c.keys())
    assert {*CallRow.__struct_fields__} == {*row, "tags"}


def test_times_come_back_to_the_microsecond() -> None:
    moment = datetime(2026, 10, 25, 1, 30, 0, 123_456, tzinfo=UTC)
    assert time_of(microseconds_of(moment)) == moment
    assert microseconds_of(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1_000_000


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("ä€😀", "ä€😀"),
        ("a\0b", "a\ufffdb"),
        ("a\ud83d", "a\ufffd"),
        ("ä\0\udc00", "ä\ufffd\ufffd"),
    ],
)
def test_what_no_database_keeps_is_replaced(text: str, kept: str) -> None:
    assert storable(text) == kept


def test_a_strange_text_is_stored_and_said_so(store: TraceStore) -> None:
    strange = recorded(
        1,
        request_model="m\0",
        provider_id="\ud800",
        tags={"k\0": "\udfff"},
        note="odd",
        system_fingerprint="f\0",
    )
    store.insert([strange], at(1))
    found = store.get(id_of(1))
    assert found is not None
    assert (found.row.request_model, found.row.provider_id) == ("m\ufffd", "\ufffd")
    assert found.row.tags == {"k\ufffd": "\ufffd"}
    assert found.row.note == "odd; characters that no database can store were replaced"
    ((measured,),) = store.features("default")
    assert measured.features.system_fingerprint == "f\ufffd"


def test_a_link_by_a_strange_id_still_holds(store: TraceStore) -> None:
    parent = recorded(1, provider_id="r\0")
    store.insert([parent, recorded(2, previous_id="r\0")], at(1))
    (group,) = store.largest_groups("default", 9)
    assert (group.group_id, group.calls) == (parent.group.id, 2)


@pytest.mark.parametrize("count", [-1, 2**31, 10**30])
def test_a_count_out_of_range_is_null_and_said_so(count: int) -> None:
    values = call_values(recorded(1, usage=Usage(count, 3, cached_tokens=count)), PLACED)
    assert (values["input_tokens"], values["cached_tokens"], values["output_tokens"]) == (
        None,
        None,
        3,
    )
    assert values["note"] == "a count of tokens was out of range"


def test_tags_that_become_the_same_are_one_row() -> None:
    assert len(tag_values(recorded(1, tags={"a\0": "1", "a\ufffd": "2"}))) == 1
