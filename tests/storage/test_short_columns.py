"""Columns of calls that say less than they mean are read in full, and found by their indexes."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Select, func, select

from storage.capture import endpoint_of
from storage.column_types import answer_end, answer_end_of
from storage.grouping import GROUP_ID_CHARS_MAX
from storage.rows import Recorded
from storage.schema import call
from storage.short_columns import (
    SAME,
    USUAL_PATHS,
    of_answer,
    of_answers,
    of_session,
    read_column,
    shorten,
)
from storage.store import TraceStore
from tests.storage.calls import ask, at, id_of, recorded

SESSIONS = ("", "s", SAME, "x" * (GROUP_ID_CHARS_MAX + 1))


def test_most_calls_have_marks(store: TraceStore) -> None:
    store.insert([recorded(1, session_id="s"), recorded(2)], at(1))
    columns = "session_id, trace_id, path, method, source"
    found = ask(store, f"SELECT {columns} FROM call ORDER BY id")
    assert found == [(SAME, "", "", "", ""), ("", "", "", "", "")]


@pytest.mark.parametrize("is_grouped", [True, False])
@pytest.mark.parametrize("session_id", SESSIONS)
def test_a_session_is_read_as_it_was_given(
    store: TraceStore, session_id: str, is_grouped: bool
) -> None:
    store.insert([_call(1, session_id, is_grouped), _call(2, "other", is_grouped)], at(1))
    assert [row.session_id for row in store.list("default", limit=9)] == ["other", session_id]
    assert [row.id for row in store.list("default", f"session_id = '{session_id}'", limit=9)] == [
        id_of(1)
    ]
    assert store.count("default", f"session_id <> '{session_id}'") == 1
    assert _ids(store, of_session("default", session_id)) == [id_of(1)]
    assert _ids(store, of_session("elsewhere", session_id)) == []


def test_a_group_that_is_a_conversation_is_no_session(store: TraceStore) -> None:
    store.insert([recorded(1, conversation_id="conv_1")], at(1))
    (row,) = store.list("default", limit=9)
    assert (row.session_id, row.group_id, row.group_source) == ("", "conv_1", "session")
    assert _ids(store, of_session("default", "conv_1")) == []


def test_a_row_that_was_written_in_full_is_read_alike(store: TraceStore) -> None:
    new = [recorded(number, session_id="s", provider_id="chatcmpl-1") for number in (1, 2)]
    store.insert(new, at(1))
    short, _ = store.list("default", limit=9)
    ask(
        store,
        "UPDATE call SET session_id = 's', path = '/v1/chat/completions', method = 'POST',"
        f" source = 'relay', dialect = 'openai', trace_id = '{id_of(1)}' WHERE id = '{id_of(1)}'",
    )
    _, full = store.list("default", limit=9)
    named = ("session_id", "path", "method", "source", "dialect")
    assert [getattr(full, name) for name in named] == [getattr(short, name) for name in named]
    assert full.trace_id == full.id
    assert _ids(store, of_session("default", "s")) == [id_of(1), id_of(2)]


def test_what_is_unusual_is_kept_as_it_is() -> None:
    values = {"id": "1", "trace_id": "t", "group_source": "root", "group_id": "g"}
    values |= {"session_id": "g", "endpoint": "messages", "path": "/u/a/v1/messages"}
    values |= {"method": "GET", "dialect": "anthropic", "source": "otlp"}
    before = dict(values)
    shorten(values)
    assert values == before


def test_a_usual_path_is_one_of_its_endpoint() -> None:
    assert {path: endpoint_of("POST", path).value for path in USUAL_PATHS.values()} == {
        path: endpoint for endpoint, path in USUAL_PATHS.items()
    }


@pytest.mark.parametrize("provider_id", ["a", "chatcmpl-1", "chatcmpl-ü12345", "12345678"])
def test_the_end_of_an_answers_id_is_the_same_everywhere(
    store: TraceStore, provider_id: str
) -> None:
    store.insert([recorded(1, provider_id=provider_id), recorded(2, provider_id="z")], at(1))
    with store.reading() as connection:
        query = select(answer_end(call.c.provider_id)).order_by(call.c.id)
        assert connection.scalars(query).first() == answer_end_of(provider_id)
        several = of_answers(connection, "default", [provider_id, "nobody's"])
    for found_by in (of_answer("default", provider_id), several):
        assert _ids(store, found_by) == [id_of(1)]
    assert _ids(store, of_answer("elsewhere", provider_id)) == []
    same_end = f"0{answer_end_of(provider_id)}"
    assert _ids(store, of_answer("default", same_end)) == []
    assert [row.id for row in store.list("default", f"provider_id = '{provider_id}'", limit=9)] == [
        id_of(1)
    ]


@pytest.mark.parametrize(
    ("meant", "indexes"),
    [
        (
            lambda: of_session("default", "s"),
            ["ix_call_project_group_id (project=? AND group_id=?)", "ix_call_session_id"],
        ),
        (lambda: of_answer("default", "chatcmpl-1"), ["ix_call_answer_end (<expr>=?)"]),
    ],
)
def test_each_is_found_by_its_index(
    sqlite_store: TraceStore, meant: Callable[[], ColumnElement[bool]], indexes: list[str]
) -> None:
    id = func.coalesce(call.c.id, "")
    for query in (select(call.c.id).where(meant()).limit(1), select(func.max(id)).where(meant())):
        plan = _plan(sqlite_store, query)
        assert [index for index in indexes if index in plan] == indexes


def test_a_column_that_is_read_has_its_name() -> None:
    names = ["id", "trace_id", "session_id", "path", "provider_id", "method", "group_id"]
    assert [read_column(name).key for name in names] == names


def _call(number: int, session_id: str, is_grouped: bool) -> Recorded:
    """Make a call whose group is its session, or another."""
    made = recorded(number, session_id=session_id)
    group = made.group if is_grouped else type(made.group)(f"group {number}", "user")
    return Recorded(made.capture, made.span, group, made.features)


def _ids(store: TraceStore, meant: ColumnElement[bool]) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(select(call.c.id).where(meant).order_by(call.c.id)))


def _plan(store: TraceStore, query: Select[Any]) -> str:
    with store.reading() as connection:
        sql = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        return " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))
