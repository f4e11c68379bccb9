"""What every finding says alike."""

import numpy as np

from exporters.comparison import (
    EXAMPLES_MAX,
    SLICES,
    Difference,
    examples_of,
    newest,
    over_time,
    share_finding,
)
from exporters.findings import Effect
from exporters.measures import Number, Set
from tests.exporters.columns_made import HOUR, compared, made

YEARS = Set("prompt_years", "prompt", "prompts name the year")


def test_the_newest_calls_come_first_and_few_of_them() -> None:
    window = made(10)
    named = newest(window, np.arange(10))
    assert named == tuple(reversed(window.call_ids[-EXAMPLES_MAX:]))
    assert newest(window, np.array([3])) == (window.call_ids[3],)
    assert newest(window, np.array([], int)) == ()


def test_examples_are_of_the_reference_only_where_no_current_call_has_the_value() -> None:
    both = compared(made(5, prefix="a"), made(5, prefix="b"))
    assert examples_of(both, np.array([1]), np.array([2])) == (both.current.call_ids[2],)
    assert examples_of(both, np.array([1]), np.array([], int)) == (both.reference.call_ids[1],)


def test_shares_over_time_are_of_the_calls_of_each_span() -> None:
    window = made(48, started_at=np.arange(48) * HOUR)
    slices = over_time(window, np.arange(24, 48))
    assert len(slices) == SLICES
    assert sum(each.calls for each in slices) == 48
    assert (slices[0].share, slices[-1].share) == (0.0, 1.0)


def test_a_short_window_is_one_moment() -> None:
    assert over_time(made(10, started_at=np.arange(10)), np.arange(3)) == ()
    assert over_time(made(0), np.arange(0)) == ()


def test_only_a_value_may_be_unseen_and_only_a_bound_beyond_its_floor_is_drift() -> None:
    findings = [
        share_finding(
            feature,
            value="2024",
            says="prompts name the year 2024",
            shares=(0.0, 0.1),
            effect=Effect(0.1, 0.02, 0.2),
            floor=floor,
            p_values=(0.0, 0.0),
            examples=(),
        )
        for feature, floor in ((YEARS, 0.01), (Number("n", "call", "{}"), 0.05))
    ]
    assert [finding.unseen for finding in findings] == [True, False]
    assert [finding.drift for finding in findings] == [True, False]
    assert findings[0].sentence == "10 % of prompts name the year 2024 now; 0 % in the reference."
    assert Difference("n", "call", "number", findings=tuple(findings)).drift
