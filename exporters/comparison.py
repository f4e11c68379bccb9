"""Two windows that are being compared, and what every finding of theirs says alike.

What became of a feature is a `Difference`. How many findings it may have, and how many calls each
names, is bounded: `FINDINGS_MAX`, `EXAMPLES_MAX`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.findings import Distribution, Effect, Finding, Slice, percent
from exporters.measures import Category, Feature, Kind, Set, Side
from exporters.statistics import Interval
from exporters.windows import IntArray, Window

CONFIDENCE = 0.95  # of the interval of an effect
EXAMPLES_MAX = 5
FINDINGS_MAX = 50  # of each feature, those with the largest effects
SLICES = 24
OVER_TIME_FROM_HOURS = 6  # a shorter window is one moment
HOUR_MICROSECONDS = 3_600_000_000

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """The windows, and how unlikely by chance, 0..1, a verdict must be."""

    reference: Window
    current: Window
    alpha: float


@dataclass(frozen=True)
class Difference:
    """What became of one feature. `p_adjusted` is corrected for every test of the whole report.

    `note` says why there was no test; then there is no effect either.
    """

    name: str
    side: Side
    kind: Kind
    p_adjusted: float = 1.0
    findings: tuple[Finding, ...] = ()
    effect: Effect | None = None
    floor: float = 0.0
    distribution: Distribution | None = None
    note: str = ""

    @property
    def drift(self) -> bool:
        """Whether a finding is beyond chance and beyond its floor."""
        return any(finding.drift for finding in self.findings)


def not_tested(feature: Feature, note: str) -> Difference:
    """Say why a feature was not tested."""
    return Difference(feature.name, feature.side, feature.kind, note=note)


def effect_of(interval: Interval) -> Effect:
    """Make an interval a part of a report."""
    return Effect(interval.estimate, interval.lower, interval.upper)


def share_finding(
    feature: Feature,
    *,
    value: str,
    says: str,
    shares: tuple[float, float],
    effect: Effect,
    floor: float,
    p_values: tuple[float, float],
    examples: tuple[str, ...],
    over_time: tuple[Slice, ...] = (),
    term_hash: int | None = None,
) -> Finding:
    """Describe a share of the calls that changed, or a number by its share beyond a value."""
    return Finding(
        feature=feature.name,
        side=feature.side,
        kind=feature.kind,
        value=value,
        sentence=f"{percent(shares[1])} of {says} now; {percent(shares[0])} in the reference.",
        reference=shares[0],
        current=shares[1],
        effect=effect,
        floor=floor,
        p_value=p_values[0],
        p_adjusted=p_values[1],
        unseen=shares[0] == 0 and isinstance(feature, Category | Set),
        drift=effect.bound > floor,
        example_call_ids=examples,
        over_time=over_time,
        term_hash=term_hash,
    )


def newest(window: Window, rows: IntArray) -> tuple[str, ...]:
    """Name the calls of the last of some rows, the last first; ids are in order of time."""
    return tuple(window.call_ids[row] for row in rows[: -EXAMPLES_MAX - 1 : -1].tolist())


def examples_of(comparison: Comparison, before: IntArray, after: IntArray) -> tuple[str, ...]:
    """Name current calls that have a value, or reference calls where none has it any more."""
    if len(after):
        return newest(comparison.current, after)
    return newest(comparison.reference, before)


def over_time(window: Window, rows: IntArray, counted: IntArray | None = None) -> tuple[Slice, ...]:
    """Cut a window into SLICES equal spans of time; say which share of each is in `rows`.

    `counted` are the rows that could be; all, unless given. Nothing for a window of less than
    OVER_TIME_FROM_HOURS hours.
    """
    counted = np.arange(len(window)) if counted is None else counted
    times = window.started_at
    first, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    if last - first < OVER_TIME_FROM_HOURS * HOUR_MICROSECONDS:
        return ()
    width = (last - first) // SLICES + 1
    totals = np.bincount((times[counted] - first) // width, minlength=SLICES)
    having = np.bincount((times[rows] - first) // width, minlength=SLICES)
    return tuple(
        Slice(first + number * width, total, some / total if total else 0.0)
        for number, (total, some) in enumerate(zip(totals.tolist(), having.tolist(), strict=True))
    )
