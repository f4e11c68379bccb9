"""Lists: whichever index finds the calls, they are those that a look at every call would find."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from sqlalchemy import Connection, select

from storage import lists, search_postgres
from storage.capture import Outcome
from storage.rows import Recorded
from storage.schema import call as calls
from storage.store import TraceStore
from tests.postgres import KINDS, fresh_url
from tests.storage.calls import at, id_of, new_store, recorded

CALLS = 300


def call(number: int) -> Recorded:
    tags = {"app": "abc"[number % 3]} | ({"rare": "yes"} if number % 100 == 7 else {})
    session = f"session {number % 10}" if number % 50 < 10 else ""
    made = recorded(number, tags=tags, session_id=session, request_model=f"model-{number % 7}")
    outcome = Outcome.CLIENT_GONE if number % 10 == 0 else Outcome.COMPLETE
    return msgspec.structs.replace(made, span=msgspec.structs.replace(made.span, outcome=outcome))


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TraceStore]:
    with fresh_url(request, tmp_path_factory.mktemp("lists")) as url:
        store = new_store(url, searchable=True)
        store.insert([call(number) for number in range(CALLS)], at(1))
        store.insert([recorded(number, project="other") for number in range(CALLS, 310)], at(2))
        yield store
        store.close()


FILTERS: dict[str, Callable[[int], bool]] = {
    "tags['app'] = 'a'": lambda n: n % 3 == 0,
    "tags['app'] = 'b' and outcome <> 'complete'": lambda n: n % 3 == 1 and n % 10 == 0,
    "tags['rare'] = 'yes' and tags['app'] = 'b'": lambda n: n % 100 == 7 and n % 3 == 1,
    "outcome in ('client_gone', 'refused')": lambda n: n % 10 == 0,
    "outcome = 'complete' and request_model = 'model-3' and tags['app'] = 'c'": lambda n: (
        n % 10 != 0 and n % 7 == 3 and n % 3 == 2
    ),
    "started_at >= '2026-09-21T14:14:00Z' and started_at < '2026-09-21T14:14:40Z'": lambda n: (
        40 <= n < 80
    ),
    "tags['app'] = 'a' and started_at < '2026-09-21T14:14:00Z'": lambda n: n % 3 == 0 and n < 40,
    "tags['app'] = 'nothing'": lambda n: False,
    "tags['app'] = 'a' and tags['app'] = 'b'": lambda n: False,
    "session_id = 'session 3' and streamed = false": lambda n: n % 50 == 3,
    "session_id = ''": lambda n: n % 50 != n % 10,
}


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_pages_together_are_all_that_match_newest_first(
    filled: TraceStore, where: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "CANDIDATES_MIN", 2)
    monkeypatch.setattr(lists, "CANDIDATES_MAX", 5)
    expected = [id_of(number) for number in range(CALLS) if FILTERS[where](number)][::-1]
    found: list[str] = []
    while True:
        before = found[-1] if found else None
        page = filled.list("default", where, limit=limit, before=before)
        found += [row.id for row in page]
        if len(page) < limit or len(found) > CALLS:
            break
    assert found == expected
    assert filled.count("default", where) == len(expected)


@pytest.mark.parametrize(
    "where", ["tags['app'] = 'a'", "outcome <> 'complete'", "streamed = false"]
)
def test_a_page_towards_the_newer_is_the_one_before(filled: TraceStore, where: str) -> None:
    first = filled.list("default", where, limit=4)
    second = filled.list("default", where, limit=4, before=first[-1].id)
    assert filled.list("default", where, limit=4, after=second[0].id) == first


SEARCHES: dict[tuple[str, str], Callable[[int], bool]] = {
    ("question", "tags['app'] = 'a'"): lambda n: n % 3 == 0,
    ("question -17", "tags['app'] = 'c' and request_model = 'model-3'"): lambda n: (
        n % 3 == 2 and n % 7 == 3 and n != 17
    ),
    ('"question 17"', "tags['app'] = 'c'"): lambda n: n == 17,
    ("question", "tags['rare'] = 'yes'"): lambda n: n % 100 == 7,
    ("question", "tags['app'] = 'b' and outcome <> 'complete'"): lambda n: (
        n % 3 == 1 and n % 10 == 0
    ),
    ("question -question", "tags['app'] = 'a'"): lambda n: False,
    ("nowhere", "tags['app'] = 'a'"): lambda n: False,
}


@pytest.mark.parametrize(("words", "where"), SEARCHES)
def test_words_and_a_tag_find_the_same_whichever_comes_first(
    filled: TraceStore, words: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_postgres, "LOOKED_AT_ONCE", 10)
    monkeypatch.setattr(search_postgres, "COMMON_RATIO", 0.5)
    expected = [id_of(n) for n in range(CALLS) if SEARCHES[words, where](n)][::-1]
    newest = filled.list("default", where, limit=3, search=words)
    assert [row.id for row in newest] == expected[:3]
    oldest = filled.list("default", where, limit=3, search=words, after="")
    assert [row.id for row in oldest] == expected[-3:]
    assert filled.list("other", where, limit=3, search=words) == []


def test_a_tag_of_another_project_is_not_found(filled: TraceStore) -> None:
    assert filled.list("other", "tags['app'] = 'a'", limit=9) == []


def test_failures_are_found_by_their_own_index(sqlite_store: TraceStore) -> None:
    sqlite_store.insert([call(number) for number in range(30)], at(1))
    plan = _plan_of(sqlite_store, "outcome = 'client_gone'")
    assert "ix_call_project_id_failed" in plan
    assert "B-TREE" not in plan


def test_a_time_is_found_by_the_ids(sqlite_store: TraceStore) -> None:
    sqlite_store.insert([call(number) for number in range(30)], at(1))
    plan = _plan_of(sqlite_store, "started_at >= '2026-09-21' and started_at < '2026-09-22'")
    assert "ix_call_project_id (project=? AND id>? AND id<?)" in plan
    assert "B-TREE" not in plan


def test_a_session_is_found_by_its_index(sqlite_store: TraceStore) -> None:
    sqlite_store.insert([call(number) for number in range(30)], at(1))
    assert "ix_call_session_id (session_id=?)" in _plan_of(sqlite_store, "session_id = 'session 3'")
    assert "ix_call_answer_end (<expr>=?)" in _plan_of(sqlite_store, "provider_id = 'chatcmpl-1'")
    assert "ix_call_project_id" in _plan_of(sqlite_store, "session_id = ''")


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("user_id = 'u'", "ix_call_project_id (project=? AND id>?)"),
        ("outcome = 'client_gone'", "ix_call_project_id_failed (project=? AND id>?)"),
        ("session_id = 's'", "ix_call_project_group_id (project=? AND group_id=?)"),
        ("provider_id = 'a'", "ix_call_answer_end (<expr>=?)"),
    ],
)
def test_what_needs_no_order_reads_the_calls_as_they_lie(
    sqlite_store: TraceStore, where: str, index: str
) -> None:
    with sqlite_store.reading() as connection:
        matching = lists.conditions("default", where, has_order=False)
        query = select(calls.c.status_code).where(*matching)
        explained = _explained(connection, lambda: connection.execute(query))
    assert index in explained


def _plan_of(store: TraceStore, where: str) -> str:
    listing = lists.Listing("default", where, limit=50)
    with store.reading() as connection:
        return _explained(connection, lambda: listing.read(connection))


def _explained(connection: Connection, read: Callable[[], object]) -> str:
    """Say by what plan the calls are read."""
    statements: list[str] = []
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.set_trace_callback(statements.append)
    read()
    raw.set_trace_callback(None)
    statement = next(sql for sql in statements if "FROM call" in sql)
    steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
    return " ".join(str(step[3]) for step in steps)
