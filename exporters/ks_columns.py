"""The distance of two samples in each of many columns of numbers: Kolmogorov-Smirnov, in a batch.

What `exporters.statistics.ks_two_sample` does for one column, for all at a tenth of the cost:
whole numbers of a small range are counted and not sorted, and p-values are computed together.

With ties, as counts have, the p-value errs on the large side: a false alarm is no likelier, a
change of a count of few values is found later (`exact_counts` finds it sooner; both are used).

Assumption: calls are independent, so one of each group. Cost: 0.3 ms a column of counts, 1.5 ms of
others, for two samples of 10,000.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from exporters.statistics import FloatArray, Interval, ks_two_sample

# Whole numbers whose range is at most so many times the sample are counted: linear, no sorting.
COUNTED_RANGE = 4
# So few values the limiting distribution knows nothing of: the exact test is used.
EXACT_BELOW = 20


@dataclass(frozen=True)
class KsColumn:
    """`at`: the value where the distribution functions are furthest apart. `rises`: the current
    values are the larger ones there. `distance` 0..1 with its interval."""

    p_value: float
    distance: Interval
    at: float
    rises: bool


Pair = tuple[FloatArray, FloatArray]


def ks_columns(columns: Sequence[Pair], confidence: float) -> list[KsColumn]:
    """Compare (reference, current) in each column; no value may be NaN, no side empty.

    The p-value is Smirnov's limit, Q(sqrt(n m / (n + m)) D) with Kolmogorov's Q; exact for fewer
    than EXACT_BELOW values together. The interval is that of Dvoretzky, Kiefer and Wolfowitz with
    Massart's constant (Annals of Probability 1990), the error shared equally by both samples.
    """
    found = [_furthest(reference, current) for reference, current in columns]
    distances = np.array([abs(gap) for gap, _ in found])
    sizes = np.array([[len(side) for side in pair] for pair in columns], dtype=np.float64)
    if not columns:
        return []
    scale = np.sqrt(sizes[:, 0] * sizes[:, 1] / sizes.sum(axis=1))
    p_values = special.kolmogorov(scale * distances)
    margins = np.sqrt(np.log(4 / (1 - confidence)) / (2 * sizes)).sum(axis=1)
    tests = []
    for number, (gap, at) in enumerate(found):
        distance, margin = float(distances[number]), float(margins[number])
        p_value = float(p_values[number])
        if sizes[number].sum() < EXACT_BELOW:
            p_value = ks_two_sample(*columns[number], confidence).p_value
        interval = Interval(distance, max(0.0, distance - margin), min(1.0, distance + margin))
        tests.append(KsColumn(p_value, interval, at, gap > 0))
    return tests


def _furthest(reference: FloatArray, current: FloatArray) -> tuple[float, float]:
    """Find by how much the reference's distribution function is above the current one, and where.

    Negative where it is below. The functions are those of "at most x".
    """
    low = min(float(reference.min()), float(current.min()))
    span = max(float(reference.max()), float(current.max())) - low
    if span <= COUNTED_RANGE * (len(reference) + len(current)) and _whole(reference, current):
        size = int(span) + 1
        below = [
            np.cumsum(np.bincount((side - low).astype(np.int64), minlength=size)) / len(side)
            for side in (reference, current)
        ]
        gaps = below[0] - below[1]
        index = int(np.abs(gaps).argmax())
        return float(gaps[index]), low + index
    first, second = np.sort(reference), np.sort(current)
    # The functions step at values of either side only, and are furthest apart at such a step.
    met = np.concatenate([first, second])
    gaps = np.searchsorted(first, met, "right") / len(first)
    gaps -= np.searchsorted(second, met, "right") / len(second)
    index = int(np.abs(gaps).argmax())
    return float(gaps[index]), float(met[index])


def _whole(*samples: FloatArray) -> bool:
    return all(bool((sample == np.floor(sample)).all()) for sample in samples)
