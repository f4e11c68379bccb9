"""Say whether two samples differ, and by how much: pure functions with their sources.

Every test is two-sample: both sides are data and both have sampling error. Treating the
reference as exact is what makes common tools raise a false alarm on nearly every comparison of
two windows of a thousand calls. A p-value alone is never an alarm (with a million calls
everything differs), so each test has an interval of its effect beside it.

Assumption of all: calls are independent. They are not within a conversation, so the caller
hands over one call per group (`exporters.windows`). What is not here: PSI and Jensen-Shannon
distance. With fixed limits both call too often on small samples and too rarely on large ones
(arXiv 2307.11878).

Limits: memory and time are linear in the samples but for a sort. Good for 10^6 values a side.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are first used: 40 MB and half a second that few need
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
CountArray = NDArray[np.int64]

# Below this expected count a cell's chi-square contribution is not chi-square distributed
# (Cochran 1954); such cells are pooled into one.
EXPECTED_MIN = 5.0
# So few values the limiting distribution knows nothing of: two apart from one would have p 0.
KS_EXACT_BELOW = 20
# What a test set is to show: a difference found in four of five draws, a false one in twenty.
DETECTABLE_POWER = 0.80
DETECTABLE_ALPHA = 0.05


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds that hold it; all three in the unit of the estimate."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class KsTest:
    """`at`: the value where the distribution functions are furthest apart. `rises`: the current
    values are the larger ones there. `distance` 0..1 with its interval."""

    p_value: float
    distance: Interval
    at: float
    rises: bool


def ks_two_sample(reference: FloatArray, current: FloatArray, confidence: float) -> KsTest:
    """Compare two samples of numbers by the distance of their distribution functions.

    Kolmogorov-Smirnov, p-value from the limiting distribution at the effective sample size
    (`scipy.stats.ks_2samp`, method "asymp"); with ties, as in counts, p errs on the large side. Of
    fewer than KS_EXACT_BELOW values together it is exact: the limit knows nothing of so few.
    The interval is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant, the error
    shared equally by both samples. Both need at least one value.
    """
    few = len(reference) + len(current) < KS_EXACT_BELOW
    result = scipy.stats.ks_2samp(reference, current, method="exact" if few else "asymp")
    distance = float(result.statistic)
    error = (1 - confidence) / 2
    margin = sum(
        float(np.sqrt(np.log(2 / error) / (2 * len(sample)))) for sample in (reference, current)
    )
    return KsTest(
        p_value=float(result.pvalue),
        distance=Interval(distance, max(0.0, distance - margin), min(1.0, distance + margin)),
        at=float(result.statistic_location),
        rises=int(result.statistic_sign) > 0,
    )


def chi_square(reference: CountArray, current: CountArray) -> float:
    """Compare two rows of counts over the same categories; return the p-value.

    Pearson's test of homogeneity of a 2 x k table, without continuity correction. Categories
    expecting fewer than `EXPECTED_MIN` on either side are pooled into one, and that one joins
    the smallest kept category if it still expects too few. 1 when fewer than two are left.
    """
    table = np.stack([reference, current]).astype(np.float64)
    column_totals, row_totals = table.sum(axis=0), table.sum(axis=1)
    if row_totals.min() == 0:
        return 1.0
    expected = column_totals * row_totals.min() / row_totals.sum()
    kept, rest = table[:, expected >= EXPECTED_MIN], table[:, expected < EXPECTED_MIN].sum(axis=1)
    if expected[expected < EXPECTED_MIN].sum() >= EXPECTED_MIN:
        kept = np.column_stack([kept, rest])
    elif kept.shape[1]:
        kept[:, int(kept.sum(axis=0).argmin())] += rest
    if kept.shape[1] < 2:
        return 1.0
    return float(scipy.stats.chi2_contingency(kept, correction=False)[1])


def wilson(count: int, total: int, confidence: float) -> Interval:
    """Estimate a share of `count` in `total` with its score interval (Wilson, JASA 1927)."""
    share = count / total
    z = -float(scipy.special.ndtri((1 - confidence) / 2))
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = (
        z
        * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)))
        / (1 + z * z / total)
    )
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def newcombe(
    reference: int, reference_total: int, current: int, current_total: int, confidence: float
) -> Interval:
    """Estimate how much a share grew, -1..1, from the Wilson intervals of both sides.

    Method 10 of Newcombe, Statistics in Medicine 1998: holds its level for small counts, where
    the textbook interval does not, and never leaves -1..1.
    """
    before = wilson(reference, reference_total, confidence)
    after = wilson(current, current_total, confidence)
    growth = after.estimate - before.estimate
    down = np.hypot(after.estimate - after.lower, before.upper - before.estimate)
    up = np.hypot(after.upper - after.estimate, before.estimate - before.lower)
    return Interval(growth, float(growth - down), float(growth + up))


def distance_interval(excess: float, noise: float, of_shift: float, confidence: float) -> Interval:
    """Estimate the distance of two means from its square, whose expected noise is taken off.

    `excess`: that square; `noise`: its variance if nothing differed; `of_shift`: the variance that
    comes with a difference as large as estimated, which grows with its square. The bounds are the
    distances that a test of them would not refuse, as Wilson's are for a share: at a small distance
    there is little variance of a shift, so the lower bound is above 0 wherever `excess` is beyond
    the noise. With variances v0 and v, x is where (excess - x)^2 = z^2 (v0 + v x / excess).
    """
    z = -float(scipy.special.ndtri((1 - confidence) / 2))
    if excess <= 0:
        return Interval(0.0, 0.0, math.sqrt(max(0.0, excess + z * math.sqrt(noise))))
    half = excess + z * z * max(0.0, of_shift) / (2 * excess)
    root = math.sqrt(max(0.0, half * half - excess * excess + z * z * noise))
    return Interval(math.sqrt(excess), math.sqrt(max(0.0, half - root)), math.sqrt(half + root))


def bonferroni(p_value: float, test_count: int) -> float:
    """Correct a p-value for being one of `test_count`, whatever their dependence."""
    return min(1.0, p_value * test_count)


def holm(p_values: FloatArray) -> FloatArray:
    """Correct a family of p-values so that one false finding in it stays as rare as one alone.

    Step-down (Holm, Scandinavian Journal of Statistics 1979): valid whatever their dependence, and
    never weaker than `bonferroni`. The corrected values come in the order of the given ones.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(p_values), 0, -1) * p_values[order]
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def ks_uniform(values: FloatArray, lower: float, upper: float) -> float:
    """Test whether values lie evenly in lower..upper; return the p-value.

    Kolmogorov-Smirnov with one sample, exact (`scipy.stats.kstest`). Needs at least one value.
    """
    return float(scipy.stats.kstest(values, "uniform", args=(lower, upper - lower)).pvalue)


def binomial(count: int, total: int, ratio: float) -> float:
    """Test whether `count` of `total` is what a share of `ratio` gives; return the p-value.

    Two-sided by doubling the smaller tail, exact.
    """
    below = float(scipy.stats.binom.cdf(count, total, ratio))
    above = float(scipy.stats.binom.sf(count - 1, total, ratio))
    return min(1.0, 2 * min(below, above))


def binomial_below(count: int, total: int, ratio: float) -> float:
    """Test whether `count` of `total` is less than a share of `ratio` gives; exact, one-sided."""
    return float(scipy.stats.binom.cdf(count, total, ratio))


def detectable_difference(count: int, disagreement: float) -> float | None:
    """Give the least difference of two shares that a paired test set of `count` groups shows.

    Two outputs are judged right or wrong on each group, and disagree on a share `disagreement` of
    them. A difference so large is found (two-sided, 5 %) in four of five draws: (z.975 + z.80) *
    sqrt(disagreement / count), the sample size of McNemar's test turned round (Miettinen,
    Biometrics 1968). None where even all disagreements on one side would not be enough.
    """
    if count == 0:
        return None
    z = float(scipy.special.ndtri(DETECTABLE_POWER) - scipy.special.ndtri(DETECTABLE_ALPHA / 2))
    difference = z * math.sqrt(disagreement / count)
    return difference if difference <= disagreement else None
