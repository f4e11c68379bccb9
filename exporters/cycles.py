"""Compare like hours with like hours: a Monday morning is no drift from a week.

Traffic differs by hour of the day and day of the week, in volume and in what it is. Where the
windows hold another mix of hours, calls of the reference are left out until both have the same mix
(matching, so that every test stays exact; weights would not). The finest division of the week is
taken at which enough of the reference is left: by hour of the week, by hour of the day apart for
weekdays and weekends, by quarter of the day, by weekday or weekend. The report says which.

Where the reference has too few calls of the current window's hours, as a training set of one
afternoon has, nothing is left out, and the report says that. Limits: hours are UTC; holidays and
months are not cycles here. Deterministic. Cost: 10 ms for 100,000 calls.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exporters.statistics import CountArray, chi_square
from exporters.windows import IntArray, Window, hour_of_week, take

# Mixes of hours that chance alone explains need no matching, which costs calls.
ALIKE_P = 0.05
# What must be left for matching to be worth it.
REFERENCE_MIN = 400
REFERENCE_PER_CURRENT_MIN = 0.25
CURRENT_KEPT_MIN_RATIO = 0.9
WEEK_HOURS = 168
WEEKEND_HOUR = 120  # Saturday begins; hour 0 is Monday's first
SEED = 0  # of which calls are left out: the same windows, the same report


@dataclass(frozen=True, eq=False)
class Matched:
    """Both windows as they are to be compared, and what was done, in a sentence."""

    reference: Window
    current: Window
    says: str


def match_hours(reference: Window, current: Window) -> Matched:
    """Leave out calls until both windows have the same mix of hours of the week."""
    hours = hour_of_week(reference), hour_of_week(current)
    if min(map(len, hours)) == 0:
        return Matched(reference, current, "")
    if _alike(*hours):
        says = "Both windows have the same mix of hours of the week, as far as chance can tell."
        return Matched(reference, current, says)
    for name, strata in _divisions(*hours):
        counts = [np.bincount(side, minlength=WEEK_HOURS) for side in strata]
        kept = _kept_sizes(counts[0], counts[1])
        if kept is None:
            continue
        rows = [_choose(side, sizes) for side, sizes in zip(strata, kept, strict=True)]
        says = (
            f"Like hours are compared with like hours, {name}: {len(rows[0]):,} of "
            f"{len(reference):,} reference groups and {len(rows[1]):,} of {len(current):,} "
            "current groups have the same mix."
        )
        return Matched(take(reference, rows[0]), take(current, rows[1]), says)
    says = (
        "The reference has too few calls of the current window's hours of the week, so hours are "
        "not matched: what differs by hour or weekday may look like drift."
    )
    return Matched(reference, current, says)


def _alike(reference: IntArray, current: IntArray) -> bool:
    """Say whether chance explains that the mixes differ, in every division of the week."""
    p_values = [
        chi_square(
            np.bincount(first, minlength=WEEK_HOURS), np.bincount(second, minlength=WEEK_HOURS)
        )
        for _, (first, second) in _divisions(reference, current)
    ]
    return min(p_values) * len(p_values) > ALIKE_P


def _divisions(
    reference: IntArray, current: IntArray
) -> Iterator[tuple[str, tuple[IntArray, IntArray]]]:
    """Divide the hours of the week, the finest first."""
    sides = reference, current
    weekend = [(side >= WEEKEND_HOUR).astype(np.int64) for side in sides]
    yield "by hour of the week", sides
    hour = [end * 24 + side % 24 for side, end in zip(sides, weekend, strict=True)]
    yield "by hour of the day, weekdays and weekends apart", (hour[0], hour[1])
    quarter = [end * 4 + side % 24 // 6 for side, end in zip(sides, weekend, strict=True)]
    yield "by quarter of the day, weekdays and weekends apart", (quarter[0], quarter[1])
    yield "weekdays and weekends apart", (weekend[0], weekend[1])


def _kept_sizes(reference: CountArray, current: CountArray) -> tuple[CountArray, CountArray] | None:
    """Choose how many of each stratum stay on both sides; None where too few would.

    With `factor` reference calls for each current call, a stratum that has fewer gives up current
    calls. The factor is the one that leaves the largest effective sample, n m / (n + m).
    """
    factors = np.unique(reference[current > 0] / current[current > 0])
    factors = factors[factors > 0]
    if len(factors) == 0:
        return None
    after = np.minimum(current, reference / factors[:, None])
    before = after * factors[:, None]
    n, m = before.sum(axis=1), after.sum(axis=1)
    effective = np.where(m >= CURRENT_KEPT_MIN_RATIO * current.sum(), n * m / (n + m), 0.0)
    best = int(effective.argmax())
    if effective[best] == 0 or n[best] < max(REFERENCE_MIN, REFERENCE_PER_CURRENT_MIN * m[best]):
        return None
    return np.rint(before[best]).astype(np.int64), np.rint(after[best]).astype(np.int64)


def _choose(strata: IntArray, sizes: CountArray) -> IntArray:
    """Choose so many rows of each stratum, by lot."""
    lot = np.random.default_rng(SEED).random(len(strata))
    order = np.lexsort((lot, strata))
    counts = np.bincount(strata, minlength=len(sizes))
    place = np.arange(len(strata)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen: IntArray = np.sort(order[place < np.repeat(sizes, counts)])
    return chosen
