"""Ranges of ids and the times they stand for."""

import pytest

from storage.capture import new_id
from storage.id_range import (
    ALL_IDS,
    CLOCK_MILLISECONDS,
    MILLISECONDS_MAX,
    IdRange,
    after,
    ids_between,
)
from tests.storage.calls import START_NS, StillClock


def test_an_id_minted_between_two_times_lies_in_their_range() -> None:
    id, now = new_id(StillClock()), START_NS // 1000
    assert ids_between(now, now).has(id)
    assert ids_between(None, now).has(id)
    assert ids_between(now, None).has(id)


def test_a_range_allows_for_clocks_and_no_more() -> None:
    id, now = new_id(StillClock()), START_NS // 1000
    slack = (CLOCK_MILLISECONDS + 1) * 1000
    assert not ids_between(now + slack, None).has(id)
    assert not ids_between(None, now - slack).has(id)


@pytest.mark.parametrize("id", ["", "01a", "01a" + "f" * 29, "f" * 32])
def test_what_comes_after_an_id_is_all_that_is_greater(id: str) -> None:
    greater = [each for each in ("0" * 32, "01a" + "0" * 29, "01b" + "0" * 29) if each > id]
    assert all(IdRange(after(id), None).has(each) for each in greater)
    assert not IdRange(after(id), None).has(id)


def test_times_before_1970_and_far_away_are_ends_like_others() -> None:
    everything = ids_between(-(10**18), 10**18)
    assert everything.has("0" * 32)
    assert everything.has(f"{MILLISECONDS_MAX - 1:012x}" + "0" * 20)


def test_ranges_meet_in_what_both_have() -> None:
    assert IdRange("1", "8").meeting(IdRange("2", None)) == IdRange("2", "8")
    assert IdRange(None, "8").meeting(IdRange("2", "5")) == IdRange("2", "5")
    assert ALL_IDS.meeting(ALL_IDS) == ALL_IDS


@pytest.mark.parametrize(
    ("ids", "milliseconds"),
    [
        (ALL_IDS, (0, MILLISECONDS_MAX)),
        (IdRange("00000000000a", "00000000000b" + "0" * 20), (10, 11)),
        (IdRange("8", "8"), (1 << 47, 1 << 47)),
        (IdRange("xyz", "Zz"), (0, MILLISECONDS_MAX)),
        (IdRange("", "0000 DROP"), (0, MILLISECONDS_MAX)),
    ],
)
def test_the_milliseconds_of_a_range_are_those_of_its_ends(
    ids: IdRange, milliseconds: tuple[int, int]
) -> None:
    assert ids.milliseconds() == milliseconds
