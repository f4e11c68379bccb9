"""Rows deleted with all that hangs on them, and what stays."""

import json

from storage import database
from storage.deletion import delete_bodies, delete_calls, delete_tool_sets, unused_tool_sets
from storage.erasure import Kind, Selection, add
from storage.store import TraceStore
from storage.trace import Tool
from tests.storage.calls import ask, at, id_of, recorded

ERASURE = "e" * 32


def test_nothing_of_a_call_is_left_but_its_id(store: TraceStore) -> None:
    image = b'{"image": "%s"}' % (b"QUJD" * 20_000)
    calls = [recorded(number, tags={"n": "1"}, request=image, sampled=True) for number in (1, 2)]
    store.insert(calls, at(1))
    with database.writing(store.engine) as connection:
        selection = Selection(Kind.ID, ids=(id_of(1),))
        add(connection, ERASURE, "default", selection, reason="", now_us=1)
        assert delete_calls(connection, [id_of(1), id_of(9)], ERASURE) == 1
    for table in ("call", "body", "text_feature", "tag", "part"):
        assert ask(store, f"SELECT count(*) FROM {table}") == [(1,)], table
    erased = ask(store, "SELECT call_id FROM erased_call ORDER BY call_id")
    assert erased == [(id_of(1),), (id_of(9),)]
    left = store.get(id_of(2))
    assert left is not None
    assert left.capture == calls[1].capture


def test_a_body_goes_alone_and_its_part_with_the_last_that_needs_it(store: TraceStore) -> None:
    image = b'{"image": "%s"}' % (b"QUJD" * 20_000)
    store.insert([recorded(number, request=image) for number in (1, 2)], at(1))
    for number, parts in ((1, 1), (2, 0)):
        with database.writing(store.engine) as connection:
            delete_bodies(connection, [id_of(number)])
        assert ask(store, "SELECT count(*) FROM part") == [(parts,)]
    assert store.count("default") == 2


def test_a_session_that_others_still_have_keeps_its_name(store: TraceStore) -> None:
    store.insert([recorded(number, session_id="s") for number in (1, 2)], at(1))
    names = []
    for number in (1, 2):
        with database.writing(store.engine) as connection:
            delete_calls(connection, [id_of(number)])
        names.append(ask(store, "SELECT group_id FROM reservation")[0][0])
    assert names[0] == "s"
    assert len(names[1]) == 64


def test_a_root_keeps_its_name_for_it_is_a_hash(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    before = ask(store, "SELECT * FROM reservation")
    with database.writing(store.engine) as connection:
        delete_calls(connection, [id_of(1)])
    assert ask(store, "SELECT * FROM reservation") == before


def test_the_words_of_a_call_go_with_its_body_and_its_numbers_stay(store: TraceStore) -> None:
    store.insert([recorded(number, sampled=True) for number in (1, 2)], at(1))
    with database.writing(store.engine) as connection:
        delete_bodies(connection, [id_of(1)])
    assert ask(store, "SELECT call_id FROM text_feature") == [(id_of(2),)]
    assert ask(store, "SELECT count(prompt_words) FROM call") == [(2,)]


def test_tool_sets_that_no_call_offers_are_found_and_deleted(store: TraceStore) -> None:
    tools = [(Tool("find"),), (Tool("find"),), (Tool("stop"),)]
    store.insert([recorded(number, tools=offered) for number, offered in enumerate(tools)], at(1))
    with database.writing(store.engine) as connection:
        assert unused_tool_sets(connection) == []
        delete_calls(connection, [id_of(0), id_of(2)])
        unused = unused_tool_sets(connection)
        assert len(unused) == 1
        assert delete_tool_sets(connection, unused) == 1
    assert [json.loads(tools)[0][:5] for (tools,) in ask(store, "SELECT tools FROM tool_set")] == [
        "find@"
    ]
