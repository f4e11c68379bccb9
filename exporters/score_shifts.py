"""What was said of the answers of both windows: scores beside drift, which is no loss of quality.

The difference of two means with Welch's interval: t with the Welch-Satterthwaite degrees of freedom
(Welch 1947, doi:10.1093/biomet/34.1-2.28). A boolean is 0 or 1, so its mean is a share. Scores that
are texts have no mean and are compared as categories. Calls that were scored are seldom a fair draw
of all: people score what annoys them; a difference says something where both windows were scored in
the same way.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from exporters.columns import SCORE_PREFIX
from exporters.drift import ScoreShift
from exporters.findings import Effect
from exporters.windows import FloatArray, Window

CONFIDENCE = 0.95
SCORES_MAX = 20


def score_shifts(reference: Window, current: Window) -> tuple[ScoreShift, ...]:
    """Compare every score that a call of either window has, in the order of their names."""
    names = sorted(
        name
        for name in reference.numbers.keys() | current.numbers.keys()
        if name.startswith(SCORE_PREFIX)
    )
    return tuple(
        _shift(name.removeprefix(SCORE_PREFIX), _values(reference, name), _values(current, name))
        for name in names[:SCORES_MAX]
    )


def _values(window: Window, name: str) -> FloatArray:
    values = window.numbers.get(name)
    return np.empty(0) if values is None else values[~np.isnan(values)]


def _shift(name: str, before: FloatArray, after: FloatArray) -> ScoreShift:
    means = [float(values.mean()) if len(values) else 0.0 for values in (before, after)]
    return ScoreShift(
        name, len(before), len(after), means[0], means[1], welch_interval(before, after)
    )


def welch_interval(before: Sequence[float] | FloatArray, after: FloatArray) -> Effect | None:
    """Return mean(after) - mean(before) with its interval; None below two values a side.

    Assumes independent values with finite variance; exact for normal ones.
    """
    if min(len(before), len(after)) < 2:
        return None
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (before, after)]
    difference = float(np.mean(after) - np.mean(before))
    variance = sum(errors)
    if variance == 0:
        return Effect(difference, difference, difference)
    freedom = variance**2 / sum(
        error**2 / (len(values) - 1) for error, values in zip(errors, (before, after), strict=True)
    )
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return Effect(difference, difference - half, difference + half)
