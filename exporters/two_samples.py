"""How far two samples of grouped calls differ: lift, standardised difference, a classifier.

The unit is the group. Each group weighs 1, shared by its calls, and errors are those of the groups:
a statistic is a function of totals over groups, and its variance is that of its influence on them
(linearisation; Woodruff, JASA 1971; Binder, International Statistical Review 1983). So calls of one
conversation, which resemble each other, are not taken for many, and a group of which one part was
chosen and the other not counts for both with the right covariance.

Assumption of all: groups are independent, and there are enough of each kind for a mean of them to
be nearly normal: use from 20 on. Pure functions; time and memory are linear in the calls.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are first used, as in exporters.statistics
from numpy.typing import NDArray

from exporters.statistics import CountArray, FloatArray, Interval

BoolArray = NDArray[np.bool_]

FOLDS = 2
# A ridge of one call's weight: enough that two samples which a feature tells apart for certain have
# finite coefficients, too little to matter elsewhere.
RIDGE = 1.0
NEWTON_STEPS_MAX = 25
NEWTON_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Estimate:
    """An estimate, the interval that holds it, and the p-value of there being no difference."""

    interval: Interval
    p_value: float


@dataclass(frozen=True)
class Difference:
    """Means of the chosen calls and of the others, and by how many standard deviations they differ.

    The standard deviation is the root of the mean of both variances (Austin, Statistics in Medicine
    2009), so neither side's spread decides alone.
    """

    chosen: float
    others: float
    standardised: Estimate


class Samples:
    """Which calls were chosen, and which groups they belong to.

    `groups`: for each call the number of its group, 0 to G - 1, each of which occurs; `chosen`: for
    each call, whether it is in the first sample.
    """

    def __init__(self, groups: CountArray, chosen: BoolArray) -> None:
        self._groups = groups
        self.group_count = int(groups.max()) + 1 if len(groups) else 0
        weights = 1 / np.bincount(groups, minlength=self.group_count)
        self._chosen = np.where(chosen, weights[groups], 0.0)
        self._others = np.where(chosen, 0.0, weights[groups])
        self.chosen_groups = _effective(self._totals(self._chosen))
        self.other_groups = _effective(self._totals(self._others))
        self.chosen_ratio = float(self._chosen.sum()) / max(1, self.group_count)

    def share(self, has: BoolArray) -> tuple[float, float]:
        """Give the share of all calls, and that of the chosen ones, for which `has` holds."""
        every = float((self._chosen[has].sum() + self._others[has].sum()) / self.group_count)
        return every, float(self._chosen[has].sum() / self._chosen.sum())

    def expected(self, has: BoolArray) -> float:
        """Say in how many groups a choice by chance would find the value among the chosen calls.

        A value that one call in four of every group has is in as many groups as one that all calls
        of every group have: groups count by how evenly they have it.
        """
        having = self._totals((self._chosen + self._others) * has)
        return _effective(having) * self.chosen_ratio

    def lift(self, has: BoolArray, confidence: float) -> Estimate:
        """Estimate a value's share among the chosen over its share among all: 1 is no selection.

        `has`: which calls have the value; some must. The interval is symmetric in the logarithm.
        Where none was chosen the upper bound is the exact one of a Poisson count of nought, and the
        p-value that of seeing nought.
        """
        every, kept = self.share(has)
        if kept == 0:
            expected = self.expected(has)
            upper = -float(np.log((1 - confidence) / 2)) / expected
            return Estimate(Interval(0.0, 0.0, upper), min(1.0, 2 * float(np.exp(-expected))))
        chosen, others = self._totals(self._chosen), self._totals(self._others)
        having = self._totals(self._chosen * has)
        every_having = having + self._totals(self._others * has)
        influence = (
            having / having.sum()
            - chosen / chosen.sum()
            - every_having / every_having.sum()
            + (chosen + others) / self.group_count
        )
        error = _standard_error(influence)
        lift = kept / every
        factor = float(np.exp(self._quantile(confidence) * error))
        p_value = self._p_value(float(np.log(lift)), error)
        return Estimate(Interval(lift, lift / factor, lift * factor), p_value)

    def difference(self, values: FloatArray, confidence: float) -> Difference:
        """Estimate the standardised mean difference of a number, chosen calls less the others.

        Both samples must have calls. The error of the standard deviation is part of the interval.
        """
        first, second = (self._moments(weights, values) for weights in (self._chosen, self._others))
        spread = float(np.sqrt((first.variance + second.variance) / 2))
        if spread == 0:
            return Difference(first.mean, second.mean, Estimate(Interval(0.0, 0.0, 0.0), 1.0))
        standardised = (first.mean - second.mean) / spread
        influence = (first.on_mean - second.on_mean) / spread - standardised * (
            first.on_variance + second.on_variance
        ) / (4 * spread**2)
        error = _standard_error(influence)
        margin = self._quantile(confidence) * error
        interval = Interval(standardised, standardised - margin, standardised + margin)
        estimate = Estimate(interval, self._p_value(standardised, error))
        return Difference(first.mean, second.mean, estimate)

    def _moments(self, weights: FloatArray, values: FloatArray) -> "_Moments":
        total = weights.sum()
        mean = float((weights * values).sum() / total)
        variance = float((weights * (values - mean) ** 2).sum() / total)
        deviation = self._totals(weights * (values - mean))
        squares = self._totals(weights * ((values - mean) ** 2 - variance))
        return _Moments(mean, variance, deviation / total, squares / total)

    def _totals(self, weights: FloatArray) -> FloatArray:
        return np.bincount(self._groups, weights, minlength=self.group_count).astype(np.float64)

    def _quantile(self, confidence: float) -> float:
        return float(scipy.stats.t.isf((1 - confidence) / 2, self._degrees))

    def _p_value(self, effect: float, error: float) -> float:
        if error == 0:
            return 1.0 if effect == 0 else 0.0
        return 2 * float(scipy.stats.t.sf(abs(effect) / error, self._degrees))

    @property
    def _degrees(self) -> float:
        """Of freedom: the smaller sample decides how well the error itself is known."""
        return max(1.0, min(self.chosen_groups, self.other_groups) - 1)


@dataclass(frozen=True)
class _Moments:
    """Mean and variance of one sample, and each group's influence on both."""

    mean: float
    variance: float
    on_mean: FloatArray
    on_variance: FloatArray


def separability(features: FloatArray, chosen: BoolArray, confidence: float) -> Estimate:
    """Estimate how well a classifier tells two samples apart by their features: an AUC.

    0.5 is not at all, 1 is every time (classifier two-sample test; Lopez-Paz and Oquab, ICLR 2017).
    `features`: a row for each group, in an order that has nothing to do with `chosen`. A logistic
    regression is fitted to each half and judged on the other; the AUC is the mean of both. Interval
    after DeLong (Biometrics 1988), p-value after Mann and Whitney, one-sided, for below 0.5 nothing
    is told apart. The error is that of one half: both fits learn from the same difference of the
    halves, so their AUCs may be one number twice (taken for independent, they raised twice the
    false alarms, as did five folds). Both samples need 2 * FOLDS members.
    """
    spread = features.std(axis=0)
    varied = features[:, spread > 0]
    scaled = (varied - varied.mean(axis=0)) / spread[spread > 0]
    design = np.column_stack([np.ones(len(scaled)), scaled])
    # Each sample dealt out in turn: both halves have their share of it.
    fold = np.empty(len(chosen), dtype=np.int64)
    for sample in (chosen, ~chosen):
        fold[sample] = np.arange(int(sample.sum())) % FOLDS
    areas = []
    for number in range(FOLDS):
        held = fold == number
        scores = design[held] @ logistic_regression(design[~held], chosen[~held])
        areas.append(area_under_curve(scores[chosen[held]], scores[~chosen[held]]))
    area, variance, spread_if_equal = np.array(areas).mean(axis=0).tolist()
    margin = float(scipy.stats.norm.isf((1 - confidence) / 2) * np.sqrt(variance))
    interval = Interval(area, max(0.0, area - margin), min(1.0, area + margin))
    return Estimate(interval, float(scipy.stats.norm.sf((area - 0.5) / np.sqrt(spread_if_equal))))


def logistic_regression(design: FloatArray, labels: BoolArray) -> FloatArray:
    """Fit the coefficients of a logistic regression by Newton's method.

    The first column of `design` is the constant, and alone is not shrunk by the RIDGE (the other
    columns ought to have a standard deviation of 1). Both labels weigh the same in all, so that a
    rare one is not given up. The objective is convex; steps are halved until it falls.
    """
    weights = np.where(
        labels, len(labels) / (2 * labels.sum()), len(labels) / (2 * (~labels).sum())
    )
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 0.0
    coefficients = np.zeros(design.shape[1])
    loss = _loss(design, labels, weights, penalty, coefficients)
    for _ in range(NEWTON_STEPS_MAX):
        chance = scipy.special.expit(design @ coefficients)
        gradient = design.T @ (weights * (chance - labels)) + penalty * coefficients
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(penalty + NEWTON_TOLERANCE), gradient)
        size = 1.0
        while size > NEWTON_TOLERANCE:
            lower = _loss(design, labels, weights, penalty, coefficients - size * step)
            if lower <= loss:
                break
            size /= 2
        else:
            break
        coefficients = coefficients - size * step
        if loss - lower <= NEWTON_TOLERANCE * abs(loss):
            break
        loss = lower
    return coefficients


def _loss(
    design: FloatArray,
    labels: BoolArray,
    weights: FloatArray,
    penalty: FloatArray,
    coefficients: FloatArray,
) -> float:
    scores = design @ coefficients
    told = np.where(labels, scores, -scores)
    shrunk = float((penalty * coefficients**2).sum()) / 2
    return float((weights * np.logaddexp(0, -told)).sum()) + shrunk


def area_under_curve(chosen: FloatArray, others: FloatArray) -> tuple[float, float, float]:
    """Estimate the chance that a chosen one's score is above another's; give its variance too,
    and what that would be if every order of the scores were as likely."""
    both = scipy.stats.rankdata(np.concatenate([chosen, others]))
    above = (both[: len(chosen)] - scipy.stats.rankdata(chosen)) / len(others)
    below = (both[len(chosen) :] - scipy.stats.rankdata(others)) / len(chosen)
    variance = above.var(ddof=1) / len(chosen) + below.var(ddof=1) / len(others)
    if_equal = (len(chosen) + len(others) + 1) / (12 * len(chosen) * len(others))
    return float(above.mean()), float(variance), if_equal


def _effective(totals: FloatArray) -> float:
    """Count the groups that weigh in, the unequal ones by how much (Kish, Survey Sampling 1965)."""
    squares = float((totals**2).sum())
    return float(totals.sum()) ** 2 / squares if squares else 0.0


def _standard_error(influence: FloatArray) -> float:
    count = len(influence)
    centred = influence - influence.mean()
    return float(np.sqrt(count / max(1, count - 1) * (centred**2).sum()))
