"""Scores and labels find their calls, whichever comes first, are kept once, and are forgotten."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest

from storage import database
from storage.deletion import delete_bodies, delete_calls
from storage.label_rows import count_waiting
from storage.label_store import expire, keep_apart
from storage.labels import Said
from storage.rows import Recorded
from storage.store import TraceStore
from tests.relaying import wait_until
from tests.storage.calls import ask, at, id_of, recorded
from tests.storage.saying import label, score, time_at, verdict


def put(store: TraceStore, *things: Recorded | Said) -> None:
    """Store calls and what was said, each in a batch of its own, in this order."""
    for thing in things:
        if isinstance(thing, Recorded):
            store.insert([thing], at(1))
        else:
            store.insert([], at(1), said=[thing])


def scored(store: TraceStore, *numbers: int) -> dict[int, list[float]]:
    """The values of calls' scores, by the number of the call, of those that have any."""
    found = store.scores([id_of(number) for number in numbers])
    values = {n: [float(each.value) for each in found.get(id_of(n), ())] for n in numbers}
    return {n: kept for n, kept in values.items() if kept}


def waiting(store: TraceStore) -> int:
    with store.reading() as connection:
        return count_waiting(connection)


@pytest.mark.parametrize("early", [True, False])
def test_a_score_by_id_finds_its_call(store: TraceStore, early: bool) -> None:
    things: list[Recorded | Said] = [recorded(1, project="ours"), score(2, 1), label(3, 1)]
    put(store, *(reversed(things) if early else things))
    assert scored(store, 1) == {1: [1.0]}
    assert store.scores([id_of(1)])[id_of(1)][0].project == "ours"
    assert len(store.labels([id_of(1)])) == 1
    assert waiting(store) == 0


@pytest.mark.parametrize("early", [True, False])
def test_a_score_by_the_providers_id_finds_its_call(store: TraceStore, early: bool) -> None:
    other = recorded(5, project="other", provider_id="chatcmpl-7")
    things: list[Recorded | Said] = [
        recorded(1, provider_id="chatcmpl-7"),
        score(2, provider_id="chatcmpl-7"),
        label(3, provider_id="chatcmpl-7"),
    ]
    put(store, other, *(reversed(things) if early else things))
    assert scored(store, 1, 5) == {1: [1.0]}
    assert len(store.labels([id_of(1)])) == 1
    assert waiting(store) == 0


def test_a_score_of_a_session_counts_for_its_last_call_in_any_order(store: TraceStore) -> None:
    calls: list[Recorded | Said] = [recorded(n, session_id="tea") for n in (1, 2, 9)]
    for number, things in enumerate(permutations([*calls, score(4, session_id="tea")])):
        put(store, *things)
        assert scored(store, 1, 2, 9) == {2: [1.0]}, number
        with database.writing(store.engine) as connection:
            delete_calls(connection, [id_of(n) for n in (1, 2, 9)])
        assert ask(store, "SELECT count(*) FROM score") == [(0,)]


def test_a_session_that_had_not_begun_gives_its_first_call(store: TraceStore) -> None:
    put(store, score(1, session_id="tea"), *(recorded(n, session_id="tea") for n in (4, 3, 5)))
    assert scored(store, 3, 4, 5) == {3: [1.0]}


def test_what_is_replayed_or_said_twice_is_kept_once(store: TraceStore) -> None:
    put(store, recorded(1), score(2, 1), score(2, 1, 0.0), score(3, 1), score(4, 1, 0.0))
    put(store, score(5, 1), label(6, 1), label(6, 1), verdict(7, 1, 6), verdict(7, 1, 6))
    assert scored(store, 1) == {1: [1.0, 0.0, 1.0]}  # 3 says what 2 said; 5 is news again
    assert ask(store, "SELECT count(*) FROM label") == [(2,)]


@pytest.mark.parametrize("value", [True, "1.0"])
def test_another_kind_of_value_is_something_else(store: TraceStore, value: bool | str) -> None:
    put(store, recorded(1), score(2, 1, 1.0), score(3, 1, value), score(4, 1, value))
    assert len(store.scores([id_of(1)])[id_of(1)]) == 2


def test_what_waits_is_kept_once_too(store: TraceStore) -> None:
    early = [score(n, provider_id=each) for n, each in ((1, "a"), (2, "a"), (3, "b"))]
    put(store, *early, recorded(4, provider_id="a"), recorded(5, provider_id="b"))
    assert scored(store, 4, 5) == {4: [1.0], 5: [1.0]}


def test_what_has_waited_too_long_expires(store: TraceStore) -> None:
    put(store, recorded(1), score(2, 1), score(3, 99), label(4, session_id="tea"), score(8, 98))
    before_us = int(time_at(5).timestamp() * 1e6)
    with database.writing(store.engine) as connection:
        assert [expire(connection, before_us), expire(connection, before_us)] == [2, 0]
    assert scored(store, 1) == {1: [1.0]}
    assert waiting(store) == 1


def test_a_body_takes_labels_and_comments_along_and_leaves_values(store: TraceStore) -> None:
    put(store, recorded(1), recorded(2), score(3, 1, 0.5, comment="rude"), label(4, 1), label(5, 2))
    with database.writing(store.engine) as connection:
        delete_bodies(connection, [id_of(1)])
    (kept,) = store.scores([id_of(1)])[id_of(1)]
    assert (kept.value, kept.comment) == (0.5, "")
    assert list(store.labels([id_of(1), id_of(2)])) == [id_of(2)]


def test_who_says_something_waits_for_the_batch_that_is_being_stored(store: TraceStore) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time anyway")
    waiters = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as threads:
        with database.writing(store.engine) as connection:
            keep_apart(connection, adding=False)
            put(store, recorded(1, provider_id="chatcmpl-1"))  # another batch need not wait
            adding = threads.submit(put, store, score(2, provider_id="chatcmpl-3"))
            wait_until(lambda: ask(store, waiters) == [(1,)])
            assert not adding.done()
        adding.result(60)
    assert waiting(store) == 1
