"""Like hours with like hours: a cycle is no drift, and what is left out is said."""

import numpy as np

from exporters.cycles import REFERENCE_MIN, match_hours
from exporters.windows import IntArray, Window, hour_of_week
from tests.exporters.columns_made import HOUR, made

MONDAY = 96 * HOUR  # 1970 began on a Thursday


def calls(count: int, seed: int, hours: "tuple[int, int]" = (0, 168), prefix: str = "a") -> Window:
    """Make calls in some hours of the weeks, most of them by day."""
    chance = np.random.default_rng(seed)
    week = np.arange(*hours)
    weight = 1.2 + np.sin(week / 24 * 2 * np.pi)
    hour = chance.choice(week, count, p=weight / weight.sum())
    started = MONDAY + (hour + 168 * chance.integers(0, 8, count)) * HOUR
    return made(count, started_at=np.sort(started), prefix=prefix)


def mix(window: Window) -> IntArray:
    return np.bincount(hour_of_week(window), minlength=168)


def test_a_monday_is_compared_with_mondays() -> None:
    reference, current = calls(20_000, 1), calls(2_000, 2, (0, 24))
    matched = match_hours(reference, current)
    assert "by hour of the week" in matched.says
    assert mix(matched.reference)[24:].sum() == 0
    kept = mix(matched.reference)[:24], mix(matched.current)[:24]
    shares = [each / each.sum() for each in kept]
    assert float(np.abs(shares[0] - shares[1]).sum()) < 0.02
    assert len(matched.reference) > 1_500
    assert len(matched.current) >= 1_800


def test_a_small_reference_is_matched_by_a_coarser_division() -> None:
    matched = match_hours(calls(6_000, 1), calls(500, 2, (10, 11)))
    assert "weekdays and weekends apart" in matched.says
    assert len(matched.reference) >= REFERENCE_MIN
    assert set((hour_of_week(matched.reference) // 24).tolist()) == {0, 1, 2, 3, 4}


def test_windows_of_whole_weeks_keep_every_call() -> None:
    reference, current = calls(20_000, 1), calls(5_000, 2)
    matched = match_hours(reference, current)
    assert (matched.reference, matched.current) == (reference, current)
    assert "same mix" in matched.says


def test_a_reference_of_other_hours_is_left_whole_and_the_report_says_so() -> None:
    reference, current = calls(5_000, 1, (0, 10)), calls(1_000, 2, (130, 140))
    matched = match_hours(reference, current)
    assert (matched.reference, matched.current) == (reference, current)
    assert "not matched" in matched.says


def test_the_same_calls_are_left_out_every_time() -> None:
    reference, current = calls(20_000, 1), calls(2_000, 2, (0, 24))
    first, second = (match_hours(reference, current) for _ in range(2))
    assert first.reference.call_ids == second.reference.call_ids


def test_empty_windows_are_returned() -> None:
    empty = made(0)
    assert match_hours(empty, empty).reference is empty
