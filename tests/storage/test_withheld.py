"""Which groups an export keeps out of train and val, and why."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from storage import database
from storage.deletion import delete_calls
from storage.reservation import Cause
from storage.rows import DatasetItem, time_of
from storage.store import TraceStore
from storage.targeted import create_test_set
from storage.trace import Apart, Side
from tests.storage.calls import START_NS, StillClock, ask, at, id_of, recorded

START = time_of(START_NS // 1000)


@dataclass(frozen=True)
class Range:
    start: datetime | None
    end: datetime | None


def second(number: int) -> datetime:
    """When call `number` started."""
    return START + timedelta(seconds=number)


@pytest.fixture
def stocked(store: TraceStore) -> TraceStore:
    """Give a store of calls 1 to 6 in sessions s1, s2, s3, s1, s2, s3, all on train."""
    store.change_policy("default", 0.0, 0.0)
    calls = [recorded(number, session_id=f"s{(number - 1) % 3 + 1}") for number in range(1, 7)]
    store.insert(calls, at(1))
    return store


def test_without_sets_and_holdouts_nothing_is_withheld(stocked: TraceStore) -> None:
    assert stocked.withheld("default").of("s1") is None


@pytest.mark.parametrize(
    ("start", "end", "held"),
    [(2, 3, {"s2"}), (2, None, {"s2", "s3"}), (None, 2, {"s1"}), (4, None, set())],
)
def test_a_time_holdout_takes_the_groups_that_began_in_it(
    stocked: TraceStore, start: int | None, end: int | None, held: set[str]
) -> None:
    time = Range(*(None if number is None else second(number) for number in (start, end)))
    withheld = stocked.withheld("default", time)
    assert withheld.held_by_time == held
    assert {s for s in ("s1", "s2", "s3") if withheld.of(s) is Cause.TIME_HOLDOUT} == held


def test_the_test_side_and_made_up_calls_are_not_held_out_by_time(stocked: TraceStore) -> None:
    ask(stocked, "UPDATE call SET side = 'test' WHERE group_id = 's1'")
    ask(stocked, "UPDATE call SET source = 'synthetic' WHERE group_id = 's2'")
    assert stocked.withheld("default", Range(None, None)).held_by_time == {"s3"}


def test_of_the_held_those_that_had_left_for_training_are_told(stocked: TraceStore) -> None:
    item = DatasetItem(id_of(2), "s2", Side.TRAIN)
    stocked.record_dataset("default", "/tmp/d", "0" * 64, [item])
    assert stocked.withheld("default", Range(None, None)).left_before == {"s2"}


def test_what_left_in_a_holdout_stays_withheld_without_one(stocked: TraceStore) -> None:
    item = DatasetItem(id_of(2), "s2", Apart.TIME_HOLDOUT)
    stocked.record_dataset("default", "/tmp/d", "0" * 64, [item])
    assert stocked.withheld("default").of("s2") is Cause.TIME_HOLDOUT


def test_a_withheld_group_that_was_erased_and_comes_back_is_withheld(stocked: TraceStore) -> None:
    create_test_set(stocked, "default", "hard", "session_id = 's2'", clock=StillClock())
    with database.writing(stocked.engine) as connection:
        delete_calls(connection, [id_of(2), id_of(5)])
    stocked.insert([recorded(8, session_id="s2")], at(2))
    assert stocked.withheld("default").of("s2") is Cause.TARGETED
    names = ask(stocked, "SELECT count(*) FROM test_set_call WHERE group_id = 's2'")
    assert names == [(0,)]


def test_a_group_that_a_chosen_call_was_joined_to_is_withheld(stocked: TraceStore) -> None:
    create_test_set(stocked, "default", "hard", "session_id = 's2'", clock=StillClock())
    ask(stocked, f"UPDATE call SET group_id = 's3' WHERE id = '{id_of(2)}'")
    assert stocked.withheld("default").of("s3") is Cause.TARGETED
