"""Tests of storage.time_counts."""

from datetime import UTC, datetime, timedelta

import msgspec

from storage.capture import Outcome
from storage.rows import PeriodCount
from storage.store import TraceStore
from tests.storage.calls import at, recorded


def test_calls_are_counted_by_the_hour_they_started_in(store: TraceStore) -> None:
    for hour, seconds in enumerate((0, 1, 3_000, 3_600)):  # 14:13:20 and on
        call = recorded(seconds)
        outcome = Outcome.UPSTREAM_ERROR if seconds == 1 else Outcome.COMPLETE
        span = msgspec.structs.replace(call.span, outcome=outcome)
        store.insert([msgspec.structs.replace(call, span=span)], at(hour + 1))
    two = datetime(2026, 9, 21, 14, tzinfo=UTC)
    counts = store.counts_over_time("default", since=two, until=two + timedelta(hours=2))
    assert counts == [PeriodCount(two, 2, 1), PeriodCount(two + timedelta(hours=1), 2, 0)]


def test_counts_over_time_keep_to_the_filter_the_time_and_the_project(store: TraceStore) -> None:
    store.insert([recorded(number, tags={"n": str(number)}) for number in range(3)], at(1))
    store.insert([recorded(9, project="other")], at(2))
    start = datetime(2026, 9, 21, 14, 13, 21, tzinfo=UTC)
    later = store.counts_over_time("default", since=start, until=start + timedelta(days=1))
    assert [count.calls for count in later] == [2]
    one = store.counts_over_time(
        "default", "tags['n'] = '2'", since=start, until=start + timedelta(days=1)
    )
    assert [count.calls for count in one] == [1]


def test_calls_are_counted_by_periods_of_any_length(store: TraceStore) -> None:
    store.insert([recorded(seconds) for seconds in (0, 39, 40, 101)], at(1))  # from 14:13:20 on
    start = datetime(2026, 9, 21, 14, 13, tzinfo=UTC)
    minute = timedelta(minutes=1)
    counts = store.counts_over_time("default", since=start, until=start + 5 * minute, step=minute)
    calls = [((count.start - start) // minute, count.calls, count.failed) for count in counts]
    assert calls == [(0, 2, 0), (1, 1, 0), (2, 1, 0)]


def test_the_first_call_since_a_time_is_found(store: TraceStore) -> None:
    store.insert([recorded(number) for number in (0, 5, 9)], at(1))
    since = datetime(2026, 9, 21, 14, 13, 21, tzinfo=UTC)
    assert store.first_start("default", since=since) == since + timedelta(seconds=4)
    assert store.first_start("default", since=since + timedelta(minutes=1)) is None
    assert store.first_start("other", since=since) is None


def test_the_start_of_the_nth_newest_call_bounds_what_is_counted(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(5)], at(1))
    assert store.start_of_newest("default", 2) == datetime(2026, 9, 21, 14, 13, 23, tzinfo=UTC)
    assert store.start_of_newest("default", 6) is None
