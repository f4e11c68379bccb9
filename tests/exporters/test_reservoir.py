"""Which calls are chosen depends on the calls, not on their order."""

import random
from collections.abc import Sequence

from exporters.reservoir import Reservoir, choose_calls, lowest
from exporters.windows import SLOT_MICROSECONDS, rank_of


def test_calls_are_chosen_as_their_ids_rank_in_any_order_and_pages() -> None:
    chance = random.Random(3)
    calls = [
        (f"{number:032x}", f"group {chance.randrange(90)}", chance.randrange(4) * SLOT_MICROSECONDS)
        for number in range(600)
    ]
    groups = sorted({group for _, group, _ in calls}, key=rank_of)
    firsts = [
        min((at, rank_of(call), call) for call, of, at in calls if of == group)[2]
        for group in groups
    ]
    for groups_max in (1, 20, 89, 90, 1_000):
        expected = sorted(firsts[:groups_max])
        for page_size in (1, 7, 600):
            chance.shuffle(calls)
            pages = [calls[start : start + page_size] for start in range(0, 600, page_size)]
            assert choose_calls(pages, groups_max) == (expected, 600)


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


def test_what_is_chosen_of_parts_adds_up_to_what_is_chosen_of_all() -> None:
    """A group may have calls in several of them."""
    chance = random.Random(5)
    calls = [
        (f"{number:032x}", f"group {chance.randrange(60)}", chance.randrange(3) * SLOT_MICROSECONDS)
        for number in range(300)
    ]
    for groups_max in (1, 20, 60, 100):
        reservoirs = [Reservoir(groups_max) for _ in range(3)]
        for number, each in enumerate(reservoirs):
            each.add(calls[number * 100 : (number + 1) * 100])
        chosen = lowest((each.chosen() for each in reservoirs), groups_max)
        assert chosen == choose_calls([calls], groups_max)[0]
        assert sum(each.call_count for each in reservoirs) == 300
