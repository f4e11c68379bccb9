"""Tests of storage.known."""

from storage.known import ids_after, known_ids
from storage.store import TraceStore
from tests.storage.calls import at, id_of, recorded


def test_stored_ids_are_known_and_others_are_not(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2)], at(100))
    assert known_ids(store, [id_of(number) for number in (1, 2, 3)]) == {id_of(1), id_of(2)}
    assert known_ids(store, []) == set()


def test_more_ids_than_one_query_takes_are_asked_in_parts(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(40)], at(100))
    assert len(known_ids(store, {id_of(number) for number in range(2_000)})) == 40


def test_ids_after_a_place_come_in_order_and_of_one_project(store: TraceStore) -> None:
    batch = [recorded(number, project="shop" if number % 2 else "default") for number in range(9)]
    store.insert(batch, at(100))
    assert ids_after(store, "shop", id_of(1), limit=2) == [id_of(3), id_of(5)]
    assert ids_after(store, "shop", id_of(7), limit=2) == []
