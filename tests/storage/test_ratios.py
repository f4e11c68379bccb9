"""Larger ratios and top-ups take only what was never trained on; smaller ones release nothing."""

import math

import pytest

from storage import database
from storage.deletion import delete_calls
from storage.ratios import GROUPS_AT_ONCE, change_ratios, preview_ratios, top_up
from storage.reservation import PolicyError, u_of
from storage.rows import DatasetItem, SideCount
from storage.store import TraceStore
from storage.trace import Side
from tests.storage.calls import StillClock, ask, at, id_of, recorded

CLOCK = StillClock()
SIDES = "SELECT group_id, side FROM call ORDER BY id"


def fill(store: TraceStore, count: int) -> dict[str, float]:
    """Store `count` sessions of one call; return each one's u."""
    store.insert([recorded(n, session_id=f"s{n}") for n in range(1, count + 1)], at(1))
    policy = store.policy("default")
    assert policy is not None
    return {f"s{n}": u_of(policy.salt, "default", f"s{n}") for n in range(1, count + 1)}


def train(store: TraceStore, *groups: str) -> None:
    """Let groups leave in a train or val file, on the side they are on."""
    sides = dict(ask(store, SIDES))
    items = [DatasetItem(id_of(int(group[1:])), group, Side(sides[group])) for group in groups]
    store.record_dataset("default", "/tmp/d", "0" * 64, items)


def test_a_raised_ratio_moves_what_it_places_elsewhere(store: TraceStore) -> None:
    places = fill(store, 60)
    before = preview_ratios(store, "default", 0.5, 0.25)
    done = change_ratios(store, "default", 0.5, 0.25, clock=CLOCK)
    sides = dict(ask(store, SIDES))
    for group, u in places.items():
        assert sides[group] == ("test" if u < 0.5 else "val" if u >= 0.75 else "train")
    assert done == before
    assert done.moving[Side.TEST].groups == sum(0.1 <= u < 0.5 for u in places.values())
    assert store.policy("default") is not None
    assert preview_ratios(store, "default", 0.5, 0.25).moving[Side.TEST] == SideCount(0, 0)


def test_what_has_left_for_training_stays_and_is_counted(store: TraceStore) -> None:
    places = fill(store, 60)
    left = [group for group, u in places.items() if 0.1 <= u < 0.3]
    assert left
    train(store, *left)
    done = change_ratios(store, "default", 0.5, 0.05, clock=CLOCK)
    assert done.staying[Side.TEST] == SideCount(len(left), len(left))
    sides = dict(ask(store, SIDES))
    assert {sides[group] for group in left} == {"train"}
    assert {sides[group] for group, u in places.items() if 0.3 <= u < 0.5} == {"test"}


def test_a_lowered_ratio_releases_nothing(store: TraceStore) -> None:
    fill(store, 40)
    change_ratios(store, "default", 0.5, 0.25, clock=CLOCK)
    before = ask(store, SIDES)
    done = change_ratios(store, "default", 0.0, 0.0, clock=CLOCK)
    assert ask(store, SIDES) == before
    assert done.moving == {Side.TEST: SideCount(0, 0), Side.VAL: SideCount(0, 0)}


def test_what_was_interrupted_is_finished_by_saying_it_again(store: TraceStore) -> None:
    places = fill(store, 40)
    store.change_policy("default", 0.5, 0.05)  # as if it had stopped after this
    change_ratios(store, "default", 0.5, 0.05, clock=CLOCK)
    sides = dict(ask(store, SIDES))
    assert {sides[group] for group, u in places.items() if u < 0.5} == {"test"}


def test_more_groups_than_one_batch_move(sqlite_store: TraceStore) -> None:
    fill(sqlite_store, 2 * GROUPS_AT_ONCE)
    done = change_ratios(sqlite_store, "default", 0.9, 0.05, clock=CLOCK)
    assert done.moving[Side.TEST].groups > GROUPS_AT_ONCE
    assert sqlite_store.sides("default")[Side.TRAIN].groups < 2 * GROUPS_AT_ONCE * 0.1


def test_ratios_that_leave_no_train_move_nothing(store: TraceStore) -> None:
    fill(store, 5)
    before = ask(store, SIDES)
    with pytest.raises(PolicyError):
        change_ratios(store, "default", 0.9, 0.2, clock=CLOCK)
    assert ask(store, SIDES) == before


def test_a_tombstone_keeps_its_side_through_ratios_and_top_ups(store: TraceStore) -> None:
    fill(store, 30)
    sides = dict(ask(store, SIDES))
    gone = next(group for group, side in sides.items() if side == "train")
    with database.writing(store.engine) as connection:
        delete_calls(connection, [id_of(int(gone[1:]))])
    change_ratios(store, "default", 0.9, 0.05, clock=CLOCK)
    top_up(store, "default", 30, clock=CLOCK)
    store.insert([recorded(99, session_id=gone)], at(2))
    assert dict(ask(store, SIDES))[gone] == "train"


def test_a_top_up_takes_the_lowest_u_and_twice_is_once(store: TraceStore) -> None:
    store.change_policy("default", 0.0, 0.0)
    places = fill(store, 45)
    store.change_policy("default", 0.10, 0.0)
    lowest = sorted(places, key=places.__getitem__)
    train(store, lowest[1])
    done = top_up(store, "default", clock=CLOCK)
    assert (done.groups, done.wanted, done.before, done.after) == (45, math.ceil(4.5), 0, 5)
    assert [each.group_id for each in done.taken] == [lowest[0], *lowest[2:6]]
    assert store.sides("default")[Side.TEST].groups == 5
    again = top_up(store, "default", clock=CLOCK)
    assert (again.before, again.after, again.taken) == (5, 5, ())


def test_two_hundred_groups_need_no_top_up_unless_asked_for(sqlite_store: TraceStore) -> None:
    fill(sqlite_store, 200)
    before = sqlite_store.sides("default")[Side.TEST].groups
    assert top_up(sqlite_store, "default", clock=CLOCK).taken == ()
    assert top_up(sqlite_store, "default", before + 3, clock=CLOCK).after == before + 3


def test_made_up_calls_are_neither_counted_nor_taken(store: TraceStore) -> None:
    store.change_policy("default", 0.0, 0.0)
    fill(store, 20)
    ask(store, f"UPDATE call SET source = 'synthetic' WHERE id > '{id_of(10)}'")
    done = top_up(store, "default", 20, clock=CLOCK)
    assert (done.groups, done.after) == (10, 10)


def test_an_empty_project_has_nothing_to_move(store: TraceStore) -> None:
    assert top_up(store, "default", clock=CLOCK).taken == ()
    assert preview_ratios(store, "default", 0.5, 0.1).moving[Side.TEST] == SideCount(0, 0)
