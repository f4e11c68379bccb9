"""Counts over time as the bars of a picture: how many calls, and how many did not end well.

The picture has BARS bars. What one stands for depends on how far back the calls go: a minute where
all are of the last hour, an hour where they are of the last days (STEPS).

A bar is in units of the picture, 0..HEIGHT from its bottom; the template draws it. What is few is
still seen: a share that is not nought is at least one unit high. Times are UTC.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from storage.counted import counted
from storage.rows import PeriodCount

BARS: Final = 72
WIDTH: Final = 10  # of one bar
HEIGHT: Final = 100

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Step(msgspec.Struct, frozen=True):
    """What one bar stands for, and the whole picture; every so often there is a label."""

    length: timedelta
    each: str
    all: str
    label_every: timedelta


STEPS: Final = (
    Step(_MINUTE, "one minute", "72 minutes", 10 * _MINUTE),
    Step(5 * _MINUTE, "5 minutes", "6 hours", 60 * _MINUTE),
    Step(20 * _MINUTE, "20 minutes", "24 hours", 240 * _MINUTE),
    Step(60 * _MINUTE, "one hour", "72 hours", 720 * _MINUTE),
)
LONGEST: Final = STEPS[-1]


class Bar(msgspec.Struct, frozen=True):
    """One period: where it stands, how high its two parts are, and what it says when asked."""

    x: int
    complete: float
    failed: float
    title: str
    href: str  # the list of exactly this period


class Picture(msgspec.Struct, frozen=True):
    """The bars up to a time. `labels` are (share of the width in percent, text)."""

    bars: tuple[Bar, ...]
    step: Step
    calls: int
    failed: int
    highest: int
    labels: tuple[tuple[float, str], ...]
    counted_from: datetime | None  # the calls before it were too many to count; None: all were

    @property
    def description(self) -> str:
        """What the picture shows, for those who do not see it."""
        return (
            f"{counted(self.calls, 'call')} in {self.step.all}, {self.failed:,} of them "
            f"not complete; at most {self.highest:,} in {self.step.each}"
        )


def period(now: datetime, step: Step) -> tuple[datetime, datetime]:
    """Say from when to when the picture is: BARS steps, of which the last has not ended."""
    until = _EPOCH + ((now - _EPOCH) // step.length + 1) * step.length
    return until - BARS * step.length, until


def step_back_to(earliest: datetime, now: datetime) -> Step:
    """Choose the shortest step with which the picture goes back to a time; the longest at most."""
    return next((step for step in STEPS if period(now, step)[0] <= earliest), LONGEST)


def picture(
    counts: Sequence[PeriodCount],
    since: datetime,
    step: Step,
    counted_from: datetime | None,
    address: Callable[[str], str],
) -> Picture:
    """Draw the counts of the periods from `since` on; `address` is of a condition's list."""
    highest = max((count.calls for count in counts), default=0)
    return Picture(
        bars=tuple(_bar(count, since, step, highest, address) for count in counts),
        step=step,
        calls=sum(count.calls for count in counts),
        failed=sum(count.failed for count in counts),
        highest=highest,
        labels=tuple(_labels(since, step)),
        counted_from=counted_from,
    )


def _bar(
    count: PeriodCount, since: datetime, step: Step, highest: int, address: Callable[[str], str]
) -> Bar:
    start, end = count.start, count.start + step.length
    failed = f", {count.failed:,} not complete" if count.failed else ""
    return Bar(
        x=(start - since) // step.length * WIDTH,
        complete=_height(count.calls - count.failed, highest),
        failed=_height(count.failed, highest),
        title=f"{start:%a %d %b %H:%M}–{end:%H:%M} UTC: {counted(count.calls, 'call')}{failed}",
        href=address(
            f"started_at >= '{start:%Y-%m-%dT%H:%MZ}' and started_at < '{end:%Y-%m-%dT%H:%MZ}'"
        ),
    )


def _height(calls: int, highest: int) -> float:
    return max(1.0, round(calls * (HEIGHT - 2) / highest, 2)) if calls else 0.0


def _labels(since: datetime, step: Step) -> Iterator[tuple[float, str]]:
    for number in range(BARS):
        start = since + number * step.length
        if (start - _EPOCH) % _DAY == timedelta():
            yield number * 100 / BARS, f"{start:%a %d %b}"
        elif (start - _EPOCH) % step.label_every == timedelta():
            yield number * 100 / BARS, f"{start:%H:%M}"
