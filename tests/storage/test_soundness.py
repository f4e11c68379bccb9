"""What is wrong with a store is found, and said of which call."""

import sqlite3

import pytest

from storage.database import StoreNotReady
from storage.labels import Said
from storage.soundness import PAGE_IDS, SAMPLE, examine
from storage.store import TraceStore
from tests.storage.calls import StillClock, ask, at, id_of, recorded
from tests.storage.saying import label, said_id, score


@pytest.mark.parametrize("full", [False, True])
def test_a_whole_store_has_no_fault(store: TraceStore, full: bool) -> None:
    assert examine(store, full=full).bodies_read == 0
    store.insert([recorded(number, tags={"a": "b"}) for number in range(300)], at(1))
    counts: list[int] = []
    findings = examine(store, full=full, progress=counts.append)
    assert (findings.faults, findings.bodies_read) == ([], 300)
    assert counts == [PAGE_IDS, 300]


def test_of_many_bodies_a_sample_is_read_unless_all_are_asked_for(store: TraceStore) -> None:
    count = 3 * SAMPLE
    store.insert([recorded(number) for number in range(count)], at(1))
    assert SAMPLE / 2 < examine(store).bodies_read <= SAMPLE
    assert examine(store, full=True).bodies_read == count


def test_a_damaged_body_is_named(store: TraceStore, store_url: str) -> None:
    store.insert([recorded(number) for number in range(10)], at(1))
    blob = "x'00ff00'" if store_url.startswith("sqlite") else r"'\x00ff00'"
    ask(store, f"UPDATE body SET capture = {blob} WHERE call_id = '{id_of(7)}'")
    (fault,) = examine(store).faults
    assert fault.startswith(f"body of call {id_of(7)} cannot be read: ")


@pytest.mark.parametrize("table", ["body", "tag"])
def test_a_row_without_its_call_is_found(store: TraceStore, store_url: str, table: str) -> None:
    store.insert([recorded(number, tags={"a": "b"}) for number in range(3)], at(1))
    delete = f"DELETE FROM call WHERE id = '{id_of(1)}'"
    if store_url.startswith("sqlite"):
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as raw:  # checks no keys
            raw.execute(delete)
        raw.close()
    else:
        ask(store, delete)
    assert any(fault.startswith(f"{table}: ") for fault in examine(store).faults)


def test_a_body_without_what_it_is_encoded_against_is_found(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    ask(store, f"UPDATE body SET base_id = '{id_of(9)}' WHERE call_id = '{id_of(1)}'")
    (fault,) = examine(store).faults
    assert fault == f"body: 1 rows of base_id {id_of(9)}, which body does not have"


def test_what_was_said_is_looked_at_too(store: TraceStore) -> None:
    said: list[Said] = [score(2, 1), label(3, 1), label(4, 1), score(5, 9)]
    store.insert([recorded(1)], at(1), said=said)
    assert examine(store).faults == []
    ask(store, f"UPDATE score SET call_id = '{id_of(8)}' WHERE id = '{said_id(2)}'")
    ask(store, f"UPDATE label SET message = '[1]' WHERE id = '{said_id(3)}'")
    first, second = examine(store).faults
    assert first == f"score {said_id(2)} is of call {id_of(8)}, which call does not have"
    assert second.startswith(f"label {said_id(3)} is no message: ")


def test_a_store_of_another_revision_is_not_looked_at(empty_url: str) -> None:
    store = TraceStore(empty_url, clock=StillClock())
    with pytest.raises(StoreNotReady):
        examine(store)
    store.close()
