"""Tests of review.bars."""

from datetime import UTC, datetime, timedelta

from review.bars import HEIGHT, HOURS, period, picture
from storage.rows import HourCount

NOW = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
SINCE, UNTIL = period(NOW)


def test_the_period_ends_with_the_hour_that_is_not_over() -> None:
    assert UNTIL == datetime(2026, 9, 21, 15, tzinfo=UTC)
    assert UNTIL - SINCE == timedelta(hours=HOURS)


def test_a_bar_is_as_high_as_its_share_of_the_highest_and_never_invisible() -> None:
    counts = [HourCount(SINCE, 1000, 1), HourCount(UNTIL - timedelta(hours=1), 500, 0)]
    drawn = picture(counts, SINCE, UNTIL, None, lambda condition: condition)
    first, last = drawn.bars
    assert (first.x, last.x) == (0, (HOURS - 1) * 10)
    assert first.failed == 1.0
    assert first.complete + first.failed <= HEIGHT
    assert last.complete == 49.0


def test_the_picture_says_what_it_shows() -> None:
    drawn = picture([HourCount(SINCE, 1500, 20)], SINCE, UNTIL, None, str)
    assert drawn.description == (
        "1,500 calls in 72 hours, 20 of them not complete; at most 1,500 in one hour"
    )
    assert drawn.bars[0].title == "Fri 18 Sep 15:00–16:00 UTC: 1,500 calls, 20 not complete"


def test_a_bar_leads_to_the_calls_of_its_hour() -> None:
    drawn = picture([HourCount(SINCE, 1, 0)], SINCE, UNTIL, None, str)
    assert drawn.bars[0].href == (
        "started_at >= '2026-09-18T15:00Z' and started_at < '2026-09-18T16:00Z'"
    )


def test_days_and_noons_are_labelled_at_their_place() -> None:
    drawn = picture([], SINCE, UNTIL, None, str)
    assert [text for _, text in drawn.labels] == [
        "Sat 19 Sep", "12:00", "Sun 20 Sep", "12:00", "Mon 21 Sep", "12:00"
    ]  # fmt: skip
    assert drawn.labels[0][0] == 12.5


def test_a_picture_of_nothing_has_no_bars() -> None:
    assert picture([], SINCE, UNTIL, None, str).bars == ()
