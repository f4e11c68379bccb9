"""Whether a test side is a fair draw from the same groups as the rest: tests at group level.

A group is on the test side by a hash that knows nothing of it, so the groups of that side must look
like the others in everything: lengths, turns, tools, models, days. Each group counts once, by the
means of its rows, because tests over rows lie: on correct splits of conversations a chi-square over
rows raised a false alarm every time, over groups in 3 of 100 (docs/datasets.md).

    Kolmogorov-Smirnov of every number, chi-square of every category, and a classifier told to
    find the test side; all corrected together by Holm

FALSE_ALARM_RATE is the share of correct splits that fail at the most. A split is drawn once for a
project's life, so a false alarm would come back with every export of it: the rate is that of
projects, not of exports. Pure. Limits: fewer than GROUPS_MIN groups on a side are not tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from exporters import statistics
from exporters.statistics import FloatArray
from exporters.two_samples import BoolArray, separability

FALSE_ALARM_RATE = 0.01
GROUPS_MIN = 20
CLASSIFIED_GROUPS_MAX = 20_000
CLASSIFIED_VALUES_MAX = 20  # of each category, the commonest
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Groups:
    """What is known of each group, in an order that has nothing to do with its side.

    `test`: whether it is on the test side; `numbers`: means over its rows; `categories`: a value.
    """

    test: BoolArray
    numbers: Mapping[str, FloatArray]
    categories: Mapping[str, Sequence[str]]


class FairnessTest(msgspec.Struct, frozen=True):
    """One test; `p_adjusted` below FALSE_ALARM_RATE is a failure."""

    feature: str
    test: Literal["ks", "chi_square", "classifier"]
    p_value: float
    p_adjusted: float


class Fairness(msgspec.Struct, frozen=True):
    """All tests, the least likely first. `auc`: how well the test side can be told; 0.5: not."""

    test_groups: int
    other_groups: int
    auc: float
    tests: tuple[FairnessTest, ...]

    @property
    def failed(self) -> tuple[FairnessTest, ...]:
        """The tests whose result one correct split in a hundred would give."""
        return tuple(test for test in self.tests if test.p_adjusted < FALSE_ALARM_RATE)


def fairness(groups: Groups) -> Fairness | None:
    """Test whether the test side is like the rest; None where there are too few groups to tell."""
    test, rest = groups.test, ~groups.test
    counts = int(test.sum()), int(rest.sum())
    if min(counts) < GROUPS_MIN:
        return None
    found: list[tuple[str, Literal["ks", "chi_square", "classifier"], float]] = []
    columns: list[FloatArray] = []
    for name, numbers in groups.numbers.items():
        if numbers.min() < numbers.max():
            result = statistics.ks_two_sample(numbers[rest], numbers[test], _CONFIDENCE)
            found.append((name, "ks", result.p_value))
            columns.append(np.log1p(np.maximum(numbers, 0)))
    for name, values in groups.categories.items():
        every, codes = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)
        if len(every) > 1:
            tables = [np.bincount(codes[side], minlength=len(every)) for side in (rest, test)]
            found.append((name, "chi_square", statistics.chi_square(*tables)))
            commonest = np.argsort(-(tables[0] + tables[1]), kind="stable")
            columns += [
                (codes == code).astype(np.float64) for code in commonest[:CLASSIFIED_VALUES_MAX]
            ]
    auc = 0.5
    if columns:
        features = np.column_stack(columns)[:CLASSIFIED_GROUPS_MAX]
        told = separability(features, test[:CLASSIFIED_GROUPS_MAX], _CONFIDENCE)
        auc = told.interval.estimate
        found.append(("all of these", "classifier", told.p_value))
    corrected = statistics.holm(np.array([p_value for _, _, p_value in found])).tolist()
    tests = [FairnessTest(*each, p) for each, p in zip(found, corrected, strict=True)]
    tests.sort(key=lambda each: each.p_value)
    return Fairness(*counts, auc, tuple(tests))
