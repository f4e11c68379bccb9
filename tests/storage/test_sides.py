"""Groups move only to where they are further held out, with all their calls, and it is written."""

import threading

import pytest

from storage import database
from storage.deletion import delete_calls
from storage.reservation import Cause, Policy, sides_of
from storage.rows import Checkpoint, DatasetItem
from storage.sides import Change, change, hold, is_further, left_for_training, withheld_names
from storage.store import TraceStore
from storage.trace import Apart, Side
from tests.postgres import TEMPLATE, Server, wait_until
from tests.storage.calls import ask, at, id_of, new_store, recorded

CHANGES = "SELECT number, side, reason FROM reservation_change ORDER BY group_id, number"
SIDES = "SELECT side FROM call ORDER BY id"


def policy_of(store: TraceStore) -> Policy:
    policy = store.policy("default")
    assert policy is not None
    return policy


def move(store: TraceStore, *changes: Change) -> int:
    with database.writing(store.engine) as connection:
        hold(connection, "default", changing=True)
        return change(connection, "default", policy_of(store), changes, 7)


@pytest.mark.parametrize(
    ("side", "than", "further"),
    [
        (Side.TEST, Side.VAL, True),
        (Side.VAL, Side.TRAIN, True),
        (Side.TRAIN, Side.VAL, False),
        (Side.TEST, Side.TEST, False),
    ],
)
def test_test_is_further_than_val_and_val_than_train(side: Side, than: Side, further: bool) -> None:
    assert is_further(side, than=than) is further


def test_a_change_takes_all_calls_of_the_group_along_and_no_other(store: TraceStore) -> None:
    store.insert([recorded(n, session_id="s" if n < 3 else "other") for n in (1, 2, 3)], at(1))
    before = ask(store, SIDES)
    assert move(store, Change("s", Side.TEST, Cause.RATIO_RAISED)) in (0, 2)
    assert ask(store, SIDES) == [("test",), ("test",), before[2]]
    assert ask(store, CHANGES) == [(1, "test", "ratio_raised")]


def test_the_first_row_of_the_ledger_stays_and_the_last_counts(store: TraceStore) -> None:
    store.insert([recorded(1, session_id="s")], at(1))
    first = ask(store, "SELECT * FROM reservation")
    move(store, Change("s", Side.VAL, Cause.RATIO_RAISED))
    move(store, Change("s", Side.TEST, Cause.JOINED))
    assert ask(store, "SELECT * FROM reservation") == first
    assert ask(store, CHANGES) == [(1, "val", "ratio_raised"), (2, "test", "joined")]
    store.insert([recorded(2, session_id="s")], at(2))
    assert ask(store, SIDES) == [("test",), ("test",)]


def test_a_group_is_withheld_once(store: TraceStore) -> None:
    store.insert([recorded(1, session_id="s")], at(1))
    for cause in (Cause.TIME_HOLDOUT, Cause.TARGETED, Cause.TARGETED):
        move(store, Change("s", Side.TRAIN, cause))
    assert [row[2] for row in ask(store, CHANGES)] == ["time_holdout", "targeted"]
    with database.reading(store.engine) as connection:
        assert withheld_names(connection, "default") == {"s": Cause.TARGETED}


@pytest.mark.parametrize(
    ("word", "left"),
    [
        (Side.TRAIN, {"s"}),
        (Side.VAL, {"s"}),
        (Side.TEST, set()),
        (Apart.TARGETED, set()),
        (Apart.TIME_HOLDOUT, set()),
    ],
)
def test_only_train_and_val_files_are_for_training(
    store: TraceStore, word: Side | Apart, left: set[str]
) -> None:
    store.insert([recorded(1, session_id="s")], at(1))
    if isinstance(word, Side):
        ask(store, f"UPDATE call SET side = '{word.value}'")
    store.record_dataset("default", "/tmp/d", "0" * 64, [DatasetItem(id_of(1), "s", word)])
    with database.reading(store.engine) as connection:
        found = left_for_training(connection, "default", policy_of(store).salt, ["s", "other"])
    assert found == left


def test_a_group_has_left_also_under_another_name(store: TraceStore) -> None:
    """A call that was joined to the group after it left; a group that was erased and came back."""
    store.insert([recorded(1, session_id="s"), recorded(2, session_id="t")], at(1))
    sides = dict(ask(store, "SELECT id, side FROM call"))
    items = [
        DatasetItem(id_of(1), "earlier", Side(sides[id_of(1)])),
        DatasetItem(id_of(2), "t", Side(sides[id_of(2)])),
    ]
    ask(store, "UPDATE call SET side = 'train'")
    items = [DatasetItem(item.call_id, item.group_id, Side.TRAIN) for item in items]
    store.record_dataset("default", "/tmp/d", "0" * 64, items)
    with database.writing(store.engine) as connection:
        delete_calls(connection, [id_of(2)])
        salt = policy_of(store).salt
        assert left_for_training(connection, "default", salt, ["s", "t", "u"]) == {"s", "t"}


def test_a_change_survives_the_erasure_of_the_group_and_its_return(store: TraceStore) -> None:
    store.insert([recorded(1, session_id="s")], at(1))
    move(store, Change("s", Side.TEST, Cause.TOP_UP))
    with database.writing(store.engine) as connection:
        delete_calls(connection, [id_of(1)])
    assert ask(store, "SELECT count(*) FROM reservation_change WHERE group_id = 's'") == [(0,)]
    store.insert([recorded(2, session_id="s")], at(2))
    assert ask(store, SIDES) == [("test",)]
    move(store, Change("s", Side.TEST, Cause.TARGETED))
    assert [row[0] for row in ask(store, CHANGES)] == [1, 2]
    with database.reading(store.engine) as connection:
        sides = sides_of(connection, "default", policy_of(store).salt, ["s"])
    assert sides == {"s": Side.TEST}


def test_who_stores_a_call_of_a_group_that_moves_meanwhile_does_not_bring_its_side_back(
    postgres: Server,
) -> None:
    url = postgres.url(postgres.create(TEMPLATE))
    one, other = new_store(url), new_store(url)
    one.insert([recorded(1, session_id="s")], at(1))
    late = threading.Thread(
        target=other.insert, args=([recorded(2, session_id="s")], Checkpoint("0" * 32, 1, 1))
    )
    with database.writing(one.engine) as connection:
        hold(connection, "default", changing=True)
        late.start()
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: bool(ask(url, waiting)) or not late.is_alive())
        changes = [Change("s", Side.TEST, Cause.RATIO_RAISED)]
        change(connection, "default", policy_of(one), changes, 7)
    late.join()
    assert ask(url, SIDES) == [("test",), ("test",)]
    one.close()
    other.close()
    postgres.drop(url)
