"""Tests of storage.dropped."""

from storage import database
from storage.capture import DropReason
from storage.dropped import note_dropped
from storage.store import TraceStore
from tests.storage.calls import WRITER, ask, at, id_of, recorded

FULL, DIED = DropReason.SPOOL_FULL, DropReason.WORKER_DIED


def test_a_dropped_call_is_remembered_once_with_its_first_reason(store: TraceStore) -> None:
    store.note_dropped({id_of(1): FULL, id_of(2): DIED})
    store.note_dropped({id_of(1): DIED})
    store.note_dropped({})
    found = ask(store, "select call_id, reason from dropped_call order by call_id")
    assert found == [(id_of(1), "spool_full"), (id_of(2), "worker_died")]


def test_a_call_that_is_stored_was_not_dropped(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    store.note_dropped({id_of(1): DIED, id_of(2): DIED})
    assert ask(store, "select call_id from dropped_call") == [(id_of(2),)]
    assert store.writers()[WRITER].stored == 1


def test_the_newest_are_remembered_and_no_more(store: TraceStore) -> None:
    with database.writing(store._engine) as connection:
        for number in range(20):
            note_dropped(connection, {id_of(number): FULL}, dropped_max=5)
    found = ask(store, "select call_id from dropped_call order by call_id")
    assert found == [(id_of(number),) for number in range(15, 20)]
