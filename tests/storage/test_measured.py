"""Columns of what was measured: which calls, and null where nothing was."""

import pyarrow as pa
import pytest
from sqlalchemy import update

from storage import erasure, measured
from storage.capture import Endpoint, Outcome, new_id
from storage.database import insert_rows, writing
from storage.deletion import delete_bodies
from storage.erasure import Kind, Selection
from storage.features import FEATURE_VERSION
from storage.filters import FilterError
from storage.measured import (
    count_between,
    id_ranges,
    measured_whole,
    read_candidates,
    read_columns,
    read_leaving,
    read_score_values,
    read_terms,
    read_tool_sets,
    visible_ids,
)
from storage.schema import call, text_feature, tool_set
from storage.store import TraceStore
from storage.trace import Side
from tests.storage.calls import START_NS, StillClock, at, id_of, recorded
from tests.storage.saying import score

CHATS = frozenset({Endpoint.CHAT_COMPLETIONS})
SCHEMA = pa.schema(
    [
        ("call_id", pa.string()),
        ("request_model", pa.string()),
        ("feature_version", pa.int32()),
        ("turn_count", pa.int32()),
        ("sample_bits", pa.int32()),
        ("prompt_language", pa.string()),
        ("tools", pa.string()),
        ("prompt_terms", pa.binary()),
    ]
)


def candidates(store: TraceStore, where: str | None = None) -> list[str]:
    with store.reading() as connection:
        pages = read_candidates(connection, "default", where, CHATS)
        return sorted(call_id for page in pages for call_id, _, _ in page)


def exported(store: TraceStore, side: Side) -> set[str]:
    with store.reading() as connection:
        pages = read_leaving(connection, "default", None, CHATS, [side])
        return {call_id for page in pages for call_id, _, _, _ in page}


def sample(store: TraceStore, number: int, version: int = FEATURE_VERSION) -> None:
    row = {
        "call_id": id_of(number),
        "feature_version": version,
        "sample_bits": 3,
        "prompt_language": "en",
        "answer_language": "",
        "prompt_terms": b"1234",
        "answer_terms": b"",
        "answer_fields": b"5678",
    }
    with writing(store.engine) as connection:
        insert_rows(connection, text_feature, [row])


def test_ranges_of_ids_hold_every_call_once(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(1, 8)], at(1))
    for calls in (1, 3, 7, 8):
        with store.reading() as connection:
            ranges = id_ranges(connection, "default", calls)
            held = [
                [
                    call_id
                    for page in read_leaving(connection, "default", None, CHATS, list(Side), among)
                    for call_id, _, _, _ in page
                ]
                for among in ranges
            ]
        assert [len(each) for each in held if each] == [
            min(calls, 7 - start) for start in range(0, 7, calls)
        ]
        assert sorted(sum(held, [])) == [id_of(number) for number in range(1, 8)]


def test_complete_conversations_that_somebody_had_are_candidates(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(1, 6)], at(1))
    others = [("outcome", Outcome.CLIENT_GONE.value), ("endpoint", Endpoint.EMBEDDINGS.value)]
    with writing(store.engine) as connection:
        for number, (column, value) in enumerate([*others, ("source", "synthetic")], 1):
            changed = update(call).where(call.c.id == id_of(number))
            connection.execute(changed.values({column: value}))
    assert candidates(store) == [id_of(4), id_of(5)]
    assert candidates(store, f"id = '{id_of(5)}'") == [id_of(5)]
    with pytest.raises(FilterError):
        candidates(store, "no_such_column = 1")


def test_what_is_to_be_forgotten_is_no_candidate(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(1, 4)], at(1))
    selection = Selection(Kind.ID, ids=(id_of(2),))
    now_us = START_NS // 1000 + 10**9
    with writing(store.engine) as connection:
        erasure.add(
            connection, new_id(StillClock()), "default", selection, reason="", now_us=now_us
        )
    assert candidates(store) == [id_of(1), id_of(3)]


def test_columns_come_in_the_order_of_ids_whatever_the_page(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.insert([recorded(number) for number in range(1, 8)], at(1))
    sample(store, 3)
    wanted = [id_of(number) for number in (1, 3, 4, 7, 9)]
    with store.reading() as connection:
        table = read_columns(connection, wanted, SCHEMA)
        monkeypatch.setattr(measured, "ROWS_AT_ONCE", 2)
        assert read_columns(connection, wanted, SCHEMA).equals(table)
        none = read_columns(connection, [], SCHEMA)
    assert none.schema == table.schema == SCHEMA
    assert table["call_id"].to_pylist() == wanted[:4]
    assert table["sample_bits"].to_pylist() == [None, 3, None, None]
    assert table["prompt_language"].to_pylist() == [None, "en", None, None]
    assert set(table["feature_version"].to_pylist()) == {FEATURE_VERSION}
    assert table["tools"].null_count == table["prompt_terms"].null_count == 4


def test_text_measured_by_another_version_is_no_part_of_a_row(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    sample(store, 1, FEATURE_VERSION + 1)
    with store.reading() as connection:
        assert read_columns(connection, [id_of(1)], SCHEMA)["sample_bits"].to_pylist() == [None]


def test_terms_are_those_of_the_sample(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2)], at(1))
    sample(store, 2)
    with store.reading() as connection:
        terms = read_terms(connection, [id_of(1), id_of(2)])
    assert {id: tuple(each) for id, each in terms.items()} == {id_of(2): (b"1234", b"", b"5678")}


def test_tool_sets_are_read_by_their_hash(store: TraceStore) -> None:
    with writing(store.engine) as connection:
        insert_rows(connection, tool_set, [{"tools_hash": "ab", "tools": '["a@1"]'}])
    with store.reading() as connection:
        assert read_tool_sets(connection, ["ab", "cd"]) == {"ab": '["a@1"]'}


def test_the_newest_score_under_a_name_counts(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2)], at(1))
    with store.reading() as connection:
        assert read_score_values(connection, "default", [id_of(1)]) == {}
    said = [
        score(2, 1, 0.5, name="rating"),
        score(1, 1, 0.25, name="rating"),
        score(3, 1, True),
        score(4, 1, "billing", name="topic"),
    ]
    store.insert([], at(2), said=said)
    with store.reading() as connection:
        found = read_score_values(connection, "default", [id_of(1), id_of(2)])
    assert found == {id_of(1): {"rating": 0.5, "good": 1.0, "topic": "billing"}}


def test_calls_of_a_time_are_counted_but_for_those_to_be_forgotten(store: TraceStore) -> None:
    store.insert([recorded(number) for number in (1, 2, 3_600, 3_601)], at(1))
    start, hour = START_NS // 1000, 3_600 * 10**6
    ids = [id_of(number) for number in (1, 2, 3_600, 9)]
    with store.reading() as connection:
        assert count_between(connection, "default", start, start + hour) == 4  # a minute around
        assert count_between(connection, "default", start - hour, start - hour // 2) == 0
        assert count_between(connection, "other", start, start + hour) == 0
        assert visible_ids(connection, ids) == set(ids[:3])
    selection = Selection(Kind.ID, ids=(id_of(2),))
    with writing(store.engine) as connection:
        asked = new_id(StillClock())
        now_us = start + 2 * hour
        erasure.add(connection, asked, "default", selection, reason="", now_us=now_us)
    with store.reading() as connection:
        assert count_between(connection, "default", start, start + hour) == 3
        assert visible_ids(connection, ids) == {ids[0], ids[2]}


def test_calls_for_an_export_are_of_one_side_and_have_their_bodies(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(1, 41)], at(1))
    sides = {side: exported(store, side) for side in Side}
    assert sorted(id for ids in sides.values() for id in ids) == candidates(store)
    rows = store.rows([id_of(number) for number in range(1, 41)])
    assert all(row.id in sides[row.side] for row in rows)
    some = next(iter(sides[Side.TRAIN]))
    with writing(store.engine) as connection:
        delete_bodies(connection, [some])
    assert exported(store, Side.TRAIN) == sides[Side.TRAIN] - {some}


def test_calls_count_as_measured_where_features_and_texts_are_of_the_version(
    store: TraceStore,
) -> None:
    store.insert([recorded(number) for number in range(1, 5)], at(1))
    sample(store, 1)
    sample(store, 2, FEATURE_VERSION - 1)
    ids = [id_of(number) for number in range(1, 6)]
    with store.reading() as connection:
        assert measured_whole(connection, ids, FEATURE_VERSION) == {id_of(1)}
        assert measured_whole(connection, ids, FEATURE_VERSION + 1) == set()
