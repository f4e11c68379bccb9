"""What a reservoir keeps depends on the calls, not on their order."""

import random
from collections.abc import Sequence
from functools import partial

import msgspec

from exporters.reservoir import Reservoir, choose_calls
from exporters.windows import SLOT_MICROSECONDS, Measured, rank_of
from storage.trace import Understood
from tests.exporters.calls import measured_of


def same(row: Measured) -> Measured:
    return row


def started(row: Measured, slot: int) -> Measured:
    return msgspec.structs.replace(row, started_at=slot * SLOT_MICROSECONDS + 7)


def offered(rows: list[Measured], groups_max: int) -> Reservoir:
    reservoir = Reservoir(groups_max)
    for row in rows:
        reservoir.offer(row.group_id, row.call_id, row.started_at, partial(same, row))
    return reservoir


def test_a_reservoir_keeps_the_same_calls_in_any_order() -> None:
    rows = [
        started(measured_of(Understood(), f"{n:032x}", f"group {n % 40}"), n % 3)
        for n in range(400)
    ]
    kept = offered(rows, 10).rows()
    assert len({row.group_id for row in kept}) == len(kept) == 10
    for seed in range(20):
        random.Random(seed).shuffle(rows)
        assert offered(rows, 10).rows() == kept
    assert offered(rows, 10).call_count == 400


def test_a_reservoir_with_room_keeps_one_call_of_every_group() -> None:
    rows = [measured_of(Understood(), f"{n:032x}", f"group {n % 7}") for n in range(70)]
    kept = offered(rows, 100).rows()
    assert {row.group_id for row in kept} == {f"group {n}" for n in range(7)}


def test_calls_are_chosen_as_a_reservoir_chooses_them() -> None:
    chance = random.Random(3)
    rows = [
        started(
            measured_of(Understood(), f"{number:032x}", f"group {chance.randrange(90)}"),
            chance.randrange(4),
        )
        for number in range(600)
    ]
    calls = [(row.call_id, row.group_id, row.started_at) for row in rows]
    for groups_max in (1, 20, 89, 90, 1_000):
        chosen = [row.call_id for row in offered(rows, groups_max).rows()]
        assert len(chosen) == min(groups_max, 90)
        for page_size in (1, 7, 600):
            pages = [calls[start : start + page_size] for start in range(0, 600, page_size)]
            assert choose_calls(pages, groups_max) == (chosen, 600)


def test_no_calls_are_chosen_of_none() -> None:
    assert choose_calls([], 10) == ([], 0)


def test_a_group_is_represented_by_a_call_of_its_first_slot() -> None:
    calls = [(f"{number:032x}", "group", number // 5 * SLOT_MICROSECONDS) for number in range(50)]
    lowest = min((call_id for call_id, _, _ in calls[:5]), key=rank_of)
    assert choose_calls([calls], 10) == ([lowest], 50)
    assert choose_calls([[each] for each in reversed(calls)], 10) == ([lowest], 50)


def test_groups_that_are_passed_over_leave_their_places_to_others() -> None:
    calls = [(f"{number:032x}", f"group {number % 30}", 0) for number in range(90)]
    odd = {f"group {number}" for number in range(1, 30, 2)}
    asked: list[str] = []

    def passed_over(groups: Sequence[str]) -> set[str]:
        asked.extend(groups)
        return odd.intersection(groups)

    even = [call for call in calls if call[1] not in odd]
    for groups_max in (1, 14, 15):
        asked.clear()
        pages = [calls[start : start + 8] for start in range(0, 90, 8)]
        chosen, call_count = choose_calls(pages, groups_max, passed_over)
        assert (chosen, call_count) == (choose_calls([even], groups_max)[0], 90)
        assert len(asked) <= 30
