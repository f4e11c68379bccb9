"""Counts by hour as the bars of a picture: how many calls, and how many did not end well.

A bar is in units of the picture, 0..HEIGHT from its bottom; the template draws it. What is few is
still seen: a share that is not nought is at least one unit high. Times are UTC.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from storage.rows import HourCount

HOURS = 72
WIDTH = 10  # of one hour
HEIGHT = 100
_HOUR = timedelta(hours=1)


class Bar(msgspec.Struct, frozen=True):
    """One hour: where it stands, how high its two parts are, and what it says when asked."""

    x: int
    complete: float
    failed: float
    title: str
    href: str  # the list of exactly this hour


class Picture(msgspec.Struct, frozen=True):
    """The hours up to a time. `labels` are (share of the width in percent, text)."""

    bars: tuple[Bar, ...]
    hours: int
    calls: int
    failed: int
    highest: int
    labels: tuple[tuple[float, str], ...]
    counted_from: datetime | None  # the calls before it were too many to count; None: all were

    @property
    def description(self) -> str:
        """What the picture shows, for those who do not see it."""
        return (
            f"{self.calls:,} calls in {self.hours} hours, {self.failed:,} of them not complete; "
            f"at most {self.highest:,} in one hour"
        )


def period(now: datetime) -> tuple[datetime, datetime]:
    """Say from when to when the picture is: HOURS hours, of which the last has not ended."""
    until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
    return until - HOURS * _HOUR, until


def picture(
    counts: Sequence[HourCount],
    since: datetime,
    until: datetime,
    counted_from: datetime | None,
    address: Callable[[str], str],
) -> Picture:
    """Draw the counts of the hours from `since` to `until`; `address` is of a condition's list."""
    hours = (until - since) // _HOUR
    highest = max((count.calls for count in counts), default=0)
    return Picture(
        bars=tuple(_bar(count, since, highest, address) for count in counts),
        hours=hours,
        calls=sum(count.calls for count in counts),
        failed=sum(count.failed for count in counts),
        highest=highest,
        labels=tuple(_labels(since, hours)),
        counted_from=counted_from,
    )


def _bar(count: HourCount, since: datetime, highest: int, address: Callable[[str], str]) -> Bar:
    end = count.hour + _HOUR
    failed = f", {count.failed:,} not complete" if count.failed else ""
    return Bar(
        x=(count.hour - since) // _HOUR * WIDTH,
        complete=_height(count.calls - count.failed, highest),
        failed=_height(count.failed, highest),
        title=f"{count.hour:%a %d %b %H:00}–{end:%H:00} UTC: {count.calls:,} calls{failed}",
        href=address(
            f"started_at >= '{count.hour:%Y-%m-%dT%H:%MZ}' and started_at < '{end:%Y-%m-%dT%H:%MZ}'"
        ),
    )


def _height(calls: int, highest: int) -> float:
    return max(1.0, round(calls * (HEIGHT - 2) / highest, 2)) if calls else 0.0


def _labels(since: datetime, hours: int) -> Iterator[tuple[float, str]]:
    for number in range(hours):
        hour = since + number * _HOUR
        if hour.hour == 0:
            yield number * 100 / hours, f"{hour:%a %d %b}"
        elif hour.hour == 12 and hours <= HOURS:
            yield number * 100 / hours, f"{hour:%H:00}"
