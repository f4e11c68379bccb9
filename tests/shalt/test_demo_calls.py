"""The demo's traffic: what it promises to whoever looks at drift."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from shalt.demo_calls import PERIODS, DemoCall, conversations


def calls_of(period: str) -> list[DemoCall]:
    return [call for conversation in conversations(period) for call in conversation]


def test_the_same_seed_gives_the_same_traffic() -> None:
    assert conversations("2023") == conversations("2023")
    assert conversations("2023", seed=1) != conversations("2023", seed=2)


@pytest.mark.parametrize("period", PERIODS)
def test_a_period_has_enough_groups_for_a_verdict(period: str) -> None:
    assert len({conversation[0].body for conversation in conversations(period)}) >= 220


def test_the_periods_mention_their_own_year_only() -> None:
    old, new = (b"".join(call.body for call in calls_of(period)) for period in PERIODS)
    assert old.count(b"2023") > 50
    assert b"2024" not in old
    assert b"2023" not in new


def test_each_kind_of_ending_occurs() -> None:
    answers = [call.answer for period in PERIODS for call in calls_of(period)]
    statuses = Counter(answer.status for answer in answers)
    assert statuses[429] > 0
    assert statuses[500] > 0
    assert {"stop", "length", "tool_calls"} == {answer.finish_reason for answer in answers}
    assert any(answer.message.get("refusal") for answer in answers)
    assert any(len(_tool_calls(answer.message)) == 2 for answer in answers)


def test_each_turn_carries_the_turns_before_it() -> None:
    turns = 0
    for conversation in conversations("2024"):
        bodies = [json.loads(call.body) for call in conversation if call.answer.status == 200]
        for before, after in pairwise(bodies):
            turns += 1
            assert after["messages"][: len(before["messages"])] == before["messages"]
    assert turns > 50


def _tool_calls(message: dict[str, object]) -> list[object]:
    calls = message.get("tool_calls", [])
    assert isinstance(calls, list)
    return calls
