"""What leaves is looked at again: nothing that has changed sides since, nothing withheld."""

import pytest

from storage import database
from storage.departures import ChangedMeanwhile, find_departure, list_departed
from storage.erasure import Kind, Selection, remember, unfinished
from storage.receipts import request
from storage.reservation import Cause
from storage.rows import DatasetItem
from storage.sides import withheld_names
from storage.store import TraceStore
from storage.targeted import create_test_set
from storage.trace import Apart, Side
from tests.storage.calls import StillClock, ask, at, id_of, recorded

CLOCK = StillClock()


def leave(store: TraceStore, number: int, word: Side | Apart) -> None:
    item = DatasetItem(id_of(number), f"s{number}", word)
    store.record_dataset("default", "/tmp/d", "0" * 64, [item])


@pytest.fixture
def on_train(store: TraceStore) -> TraceStore:
    """Give a store of two sessions, s1 and s2, both on train."""
    store.change_policy("default", 0.0, 0.0)
    store.insert([recorded(number, session_id=f"s{number}") for number in (1, 2)], at(1))
    return store


def test_a_call_that_has_moved_meanwhile_does_not_leave(on_train: TraceStore) -> None:
    ask(on_train, f"UPDATE call SET side = 'test' WHERE id = '{id_of(1)}'")
    with pytest.raises(ChangedMeanwhile, match="make it again"):
        leave(on_train, 1, Side.TRAIN)
    assert ask(on_train, "SELECT count(*) FROM dataset") == [(0,)]
    leave(on_train, 1, Side.TEST)


def test_a_group_of_a_targeted_set_made_meanwhile_does_not_leave_for_training(
    on_train: TraceStore,
) -> None:
    create_test_set(on_train, "default", "hard", "session_id = 's1'", clock=CLOCK)
    with pytest.raises(ChangedMeanwhile):
        leave(on_train, 1, Side.TRAIN)
    leave(on_train, 1, Apart.TARGETED)
    leave(on_train, 2, Side.TRAIN)


def test_a_targeted_call_that_was_trained_on_meanwhile_does_not_leave(
    on_train: TraceStore,
) -> None:
    leave(on_train, 1, Side.TRAIN)
    with pytest.raises(ChangedMeanwhile):
        leave(on_train, 1, Apart.TARGETED)


def test_what_left_in_a_time_holdout_is_never_trained_on_again(on_train: TraceStore) -> None:
    leave(on_train, 1, Apart.TIME_HOLDOUT)
    leave(on_train, 1, Apart.TIME_HOLDOUT)
    with database.reading(on_train.engine) as connection:
        assert withheld_names(connection, "default") == {"s1": Cause.TIME_HOLDOUT}
    assert ask(on_train, "SELECT count(*) FROM reservation_change") == [(1,)]
    with pytest.raises(ChangedMeanwhile):
        leave(on_train, 1, Side.TRAIN)


def test_what_has_left_is_found_by_its_manifest_with_what_was_erased_since(
    on_train: TraceStore,
) -> None:
    assert find_departure(on_train, "0" * 64) is None
    leave(on_train, 1, Side.TRAIN)
    found = find_departure(on_train, "0" * 64)
    assert found is not None
    assert (found.project, found.directory) == ("default", "/tmp/d")
    assert (found.calls, found.erased) == (1, 0)
    request(on_train, "default", Selection(Kind.ID, (id_of(1),)), reason="", clock=CLOCK)
    with database.writing(on_train.engine) as connection:
        remember(connection, {id_of(1): unfinished(connection)[0].id})
    found = find_departure(on_train, "0" * 64)
    assert found is not None
    assert (found.calls, found.erased) == (1, 1)


def test_datasets_that_left_are_listed_newest_first(on_train: TraceStore) -> None:
    for directory, numbers in (("/tmp/first", (1,)), ("/tmp/second", (1, 2))):
        items = [DatasetItem(id_of(number), f"s{number}", Side.TRAIN) for number in numbers]
        on_train.record_dataset("default", directory, "0" * 64, items)
    listed = [(each.directory, each.calls) for each in list_departed(on_train, 9)]
    assert listed == [("/tmp/second", 2), ("/tmp/first", 1)]
    assert len(list_departed(on_train, 1)) == 1
