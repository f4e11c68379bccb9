"""What an erasure would take, and what it says when there is nothing to take."""

import pytest

from storage.erasure import IDS_MAX, Kind, Selection
from storage.receipts import (
    AlreadyErased,
    NothingToErase,
    TooManyIds,
    preview,
    project_of,
    receipt,
    request,
)
from storage.rows import DatasetItem
from storage.store import TraceStore
from tests.storage.calls import START_NS, StillClock, at, id_of, recorded

CLOCK = StillClock(START_NS + 10**15)


def by_id(*numbers: int) -> Selection:
    return Selection(Kind.ID, ids=tuple(map(id_of, numbers)))


def test_a_preview_counts_calls_and_datasets_and_changes_nothing(store: TraceStore) -> None:
    store.insert([recorded(number, session_id="s") for number in range(5)], at(1))
    (side,) = {row.side for row in store.list("default", limit=5)}
    store.record_dataset("default", "/d", "0" * 64, [DatasetItem(id_of(2), "s", side)])
    found = preview(store, "default", Selection(Kind.SESSION, value="s"), clock=CLOCK)
    assert (found.calls, [each.calls for each in found.datasets]) == (5, [1])
    assert found.first is not None
    assert found.last is not None
    assert (found.last - found.first).total_seconds() == 4
    assert store.count("default") == 5


@pytest.mark.parametrize("selection", [by_id(7), by_id(1, 7), Selection(Kind.USER, value="nobody")])
def test_what_is_not_there_is_never_said_to_be_erased(
    store: TraceStore, selection: Selection
) -> None:
    store.insert([recorded(1)], at(1))
    with pytest.raises(NothingToErase, match="nothing was erased"):
        preview(store, "default", selection, clock=CLOCK)


def test_what_is_being_erased_says_by_which_erasure(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    made = request(store, "default", by_id(1), reason="ticket 7", clock=CLOCK)
    with pytest.raises(AlreadyErased, match=made.id):
        preview(store, "default", by_id(1), clock=CLOCK)


def test_a_receipt_is_of_one_project(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    made = request(store, "default", by_id(1), reason="ticket 7", clock=CLOCK)
    assert (made.reason, made.calls, made.deleted_at, made.scrubbed_at) == (
        "ticket 7",
        0,
        None,
        None,
    )
    assert receipt(store, made.id, "default") == made
    assert receipt(store, made.id, "other") is None
    assert receipt(store, "f" * 32) is None
    assert project_of(store, id_of(1)) == "default"
    assert project_of(store, id_of(2)) is None


def test_one_request_names_a_bounded_number_of_ids(store: TraceStore) -> None:
    with pytest.raises(TooManyIds):
        preview(store, "default", by_id(*range(IDS_MAX + 1)), clock=CLOCK)
