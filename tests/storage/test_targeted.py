"""A targeted set is what was chosen, for ever; of its groups nothing is trained on."""

import pytest

from storage.filters import FilterError
from storage.reservation import Cause
from storage.rows import DatasetItem
from storage.store import TraceStore
from storage.targeted import TestSetError, create_test_set, remove_test_set
from storage.trace import Side
from tests.storage.calls import StillClock, ask, at, id_of, recorded

CLOCK = StillClock()
FIRST_THREE = "session_id in ('s1', 's2', 's3')"


@pytest.fixture
def stocked(store: TraceStore) -> TraceStore:
    """Give a store of five sessions with a call each: s1 on test, s2 on val, the others train."""
    store.change_policy("default", 0.0, 0.0)
    store.insert([recorded(number, session_id=f"s{number}") for number in range(1, 6)], at(1))
    for side, number in (("test", 1), ("val", 2)):
        ask(store, f"UPDATE call SET side = '{side}' WHERE id = '{id_of(number)}'")
        ask(store, f"UPDATE reservation SET side = '{side}' WHERE group_id = 's{number}'")
    return store


def test_a_set_holds_what_matched_and_the_filter(stocked: TraceStore) -> None:
    made = create_test_set(stocked, "default", "hard", FIRST_THREE, note="why", clock=CLOCK)
    assert (made.name, made.where, made.note, made.random) == ("hard", FIRST_THREE, "why", False)
    assert (made.calls, made.groups, made.refused_calls) == (3, 3, 0)
    assert stocked.test_sets("default") == [made]
    assert stocked.test_set_calls("default", "hard") == [id_of(1), id_of(2), id_of(3)]


def test_a_thousand_calls_later_it_holds_the_same(stocked: TraceStore) -> None:
    made = create_test_set(stocked, "default", "hard", FIRST_THREE, clock=CLOCK)
    before = stocked.test_set_calls("default", "hard")
    more = [recorded(number, session_id=f"s{number % 9}") for number in range(10, 1010)]
    stocked.insert(more, at(2))
    assert stocked.test_set_calls("default", "hard") == before
    assert stocked.test_sets("default") == [made]


def test_its_groups_are_withheld_but_those_on_the_test_side_stay_in_both(
    stocked: TraceStore,
) -> None:
    create_test_set(stocked, "default", "hard", FIRST_THREE, clock=CLOCK)
    ledger = ask(stocked, "SELECT group_id, side, reason FROM reservation_change ORDER BY group_id")
    assert ledger == [("s2", "val", "targeted"), ("s3", "train", "targeted")]
    withheld = stocked.withheld("default")
    assert [withheld.of(f"s{number}") for number in (3, 4)] == [Cause.TARGETED, None]
    assert ask(stocked, f"SELECT side FROM call WHERE id = '{id_of(1)}'") == [("test",)]


def test_what_has_left_for_training_is_listed_and_not_taken(stocked: TraceStore) -> None:
    item = DatasetItem(id_of(3), "s3", Side.TRAIN)
    stocked.record_dataset("default", "/tmp/d", "0" * 64, [item])
    made = create_test_set(stocked, "default", "hard", FIRST_THREE, clock=CLOCK)
    assert (made.calls, made.refused_calls, made.refused_groups) == (2, 1, 1)
    assert stocked.test_set_calls("default", "hard") == [id_of(1), id_of(2)]
    with pytest.raises(TestSetError, match="all that match, 1 call, are"):
        create_test_set(stocked, "default", "other", "session_id = 's3'", clock=CLOCK)


def test_what_nobody_said_and_what_is_in_quarantine_is_not_taken(stocked: TraceStore) -> None:
    ask(stocked, f"UPDATE call SET source = 'synthetic' WHERE id = '{id_of(2)}'")
    ask(stocked, f"UPDATE call SET side = 'quarantine' WHERE id = '{id_of(3)}'")
    create_test_set(stocked, "default", "hard", FIRST_THREE, clock=CLOCK)
    assert stocked.test_set_calls("default", "hard") == [id_of(1)]


def test_a_removed_set_frees_neither_its_groups_nor_its_name(stocked: TraceStore) -> None:
    create_test_set(stocked, "default", "hard", FIRST_THREE, clock=CLOCK)
    assert remove_test_set(stocked, "default", "hard", clock=CLOCK).calls == 3
    assert stocked.test_sets("default") == []
    assert stocked.withheld("default").of("s3") is Cause.TARGETED
    with pytest.raises(TestSetError, match="take another name"):
        create_test_set(stocked, "default", "hard", "session_id = 's4'", clock=CLOCK)
    with pytest.raises(TestSetError, match="has no test set"):
        remove_test_set(stocked, "default", "hard", clock=CLOCK)


@pytest.mark.parametrize("name", ["", "Hard", "a/b", "../x", "-x", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(stocked: TraceStore, name: str) -> None:
    with pytest.raises(TestSetError, match="is no name"):
        create_test_set(stocked, "default", name, FIRST_THREE, clock=CLOCK)


def test_a_filter_that_matches_nothing_or_is_none_makes_no_set(stocked: TraceStore) -> None:
    with pytest.raises(TestSetError, match="no call"):
        create_test_set(stocked, "default", "hard", "session_id = 'nobody'", clock=CLOCK)
    with pytest.raises(FilterError):
        create_test_set(stocked, "default", "hard", "session = 1", clock=CLOCK)
    assert stocked.test_sets("default") == []
