"""What a reservoir keeps depends on the calls, not on their order."""

import random

from exporters.reservoir import Reservoir, choose_calls
from exporters.windows import Measured
from storage.trace import Understood
from tests.exporters.calls import measured_of


def offered(rows: list[Measured], groups_max: int) -> Reservoir:
    reservoir = Reservoir(groups_max)
    for row in rows:
        reservoir.offer(row.group_id, row.call_id, lambda row=row: row)  # type: ignore[misc]
    return reservoir


def test_a_reservoir_keeps_the_same_calls_in_any_order() -> None:
    rows = [
        measured_of(Understood(), f"{number:032x}", f"group {number % 40}") for number in range(400)
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
    calls = [(f"{number:032x}", f"group {chance.randrange(90)}") for number in range(600)]
    rows = [measured_of(Understood(), *call) for call in calls]
    for groups_max in (1, 20, 89, 90, 1_000):
        chosen = [row.call_id for row in offered(rows, groups_max).rows()]
        assert len(chosen) == min(groups_max, 90)
        for page_size in (1, 7, 600):
            pages = [calls[start : start + page_size] for start in range(0, 600, page_size)]
            assert choose_calls(pages, groups_max) == (chosen, 600)


def test_no_calls_are_chosen_of_none() -> None:
    assert choose_calls([], 10) == ([], 0)
