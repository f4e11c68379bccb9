"""Tests of review.bars."""

from datetime import UTC, datetime, timedelta

import pytest

from review.bars import BARS, HEIGHT, LONGEST, STEPS, Step, period, picture, step_back_to
from storage.rows import PeriodCount

NOW = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
SINCE, UNTIL = period(NOW, LONGEST)


def test_the_period_ends_with_the_hour_that_is_not_over() -> None:
    assert UNTIL == datetime(2026, 9, 21, 15, tzinfo=UTC)
    assert UNTIL - SINCE == timedelta(hours=BARS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.each)
def test_what_a_picture_says_of_its_length_is_its_length(step: Step) -> None:
    number, unit = step.all.split()
    assert step.length * BARS == timedelta(**{unit: int(number)})


@pytest.mark.parametrize(
    ("ago", "each"),
    [
        (timedelta(minutes=3), "one minute"),
        (timedelta(minutes=71), "one minute"),
        (timedelta(minutes=73), "5 minutes"),
        (timedelta(hours=7), "20 minutes"),
        (timedelta(hours=30), "one hour"),
        (timedelta(days=300), "one hour"),
    ],
)
def test_a_bar_is_as_short_as_the_calls_allow(ago: timedelta, each: str) -> None:
    assert step_back_to(NOW - ago, NOW).each == each


def test_a_bar_is_as_high_as_its_share_of_the_highest_and_never_invisible() -> None:
    counts = [PeriodCount(SINCE, 1000, 1), PeriodCount(UNTIL - timedelta(hours=1), 500, 0)]
    drawn = picture(counts, SINCE, LONGEST, None, lambda condition: condition)
    first, last = drawn.bars
    assert (first.x, last.x) == (0, (BARS - 1) * 10)
    assert first.failed == 1.0
    assert first.complete + first.failed <= HEIGHT
    assert last.complete == 49.0


def test_the_picture_says_what_it_shows() -> None:
    drawn = picture([PeriodCount(SINCE, 1500, 20)], SINCE, LONGEST, None, str)
    assert drawn.description == (
        "1,500 calls in 72 hours, 20 of them not complete; at most 1,500 in one hour"
    )
    assert drawn.bars[0].title == "Fri 18 Sep 15:00–16:00 UTC: 1,500 calls, 20 not complete"


def test_a_bar_leads_to_the_calls_of_its_time() -> None:
    drawn = picture([PeriodCount(SINCE, 1, 0)], SINCE, LONGEST, None, str)
    assert drawn.bars[0].href == (
        "started_at >= '2026-09-18T15:00Z' and started_at < '2026-09-18T16:00Z'"
    )


def test_days_and_noons_are_labelled_at_their_place() -> None:
    drawn = picture([], SINCE, LONGEST, None, str)
    assert [text for _, text in drawn.labels] == [
        "Sat 19 Sep", "12:00", "Sun 20 Sep", "12:00", "Mon 21 Sep", "12:00"
    ]  # fmt: skip
    assert drawn.labels[0][0] == 12.5


def test_minutes_are_labelled_every_ten() -> None:
    since, _ = period(NOW, STEPS[0])
    drawn = picture([], since, STEPS[0], None, str)
    assert [text for _, text in drawn.labels] == [
        "13:10", "13:20", "13:30", "13:40", "13:50", "14:00", "14:10"
    ]  # fmt: skip


def test_a_picture_of_nothing_has_no_bars() -> None:
    assert picture([], SINCE, LONGEST, None, str).bars == ()
