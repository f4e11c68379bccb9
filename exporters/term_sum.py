"""Whether the terms of two samples of texts differ in sum, where no single term stands out.

The statistic is the sum, over all terms that at least `CALLS_MIN` calls have, of the squared
difference of the two shares of calls that have it, each over its variance p (1 - p): the squared
distance of the two samples' means with every term on one scale (Srivastava and Du, J. Multivariate
Analysis 2008). It sees what is a little different in very many words: another model behind the
same name, a topic that grows. `exporters.term_differences` sees what is very different in a few.

The p-value is that of permuting calls between the samples, without doing so. Mean and variance of
the statistic over all permutations are exact functions of the Gram matrix of the calls
(Kazi-Aoual et al., Computational Statistics & Data Analysis 1995), whose off-diagonal squares and
products of three are added up over `GRAM_ROWS` of them; the tail is that of a gamma distribution
moved to these moments and this skewness (Pearson III), made heavier below `TAIL_FROM`
(`corrected_tail`).

Assumptions: one call of each group; some hundreds a side. Limits: `ROWS_MAX` calls of a side,
evenly over time. Tails are right to a third at 0.01 (benchmarks/drift_power.py).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from exporters.statistics import FloatArray, Interval, distance_interval
from exporters.windows import HashArray, IntArray, Terms

CALLS_MIN = 2  # a term of one call says nothing of which side it is of
ROWS_MIN = 50  # of a side
ROWS_MAX = 7_000
GRAM_ROWS = 500
TAIL_FROM = 0.004
TAIL_GROWTH = 2.3  # for every factor of ten below it, as many times the p-value more
SEED = 0  # which rows the Gram matrix is of: the same windows, the same p-value
BUCKET_BITS = 20  # one term of ten shares its bucket with another, where there are 100,000 terms


@dataclass(frozen=True, eq=False)
class TermSum:
    """`distance`: of the two means, over a call's typical distance from their common mean, with
    its interval; 0 where nothing changed.

    `witness`: for the calls of each side that were used, how much more they are like the current
    side than like the reference; `rows` are their numbers in `Terms.rows`.
    """

    p_value: float
    distance: Interval
    witness: tuple[FloatArray, FloatArray]
    rows: tuple[IntArray, IntArray]


def term_sum(reference: Terms, current: Terms, confidence: float) -> TermSum | None:
    """Compare the terms of two samples; None with fewer than ROWS_MIN calls or no term to compare.

    `confidence`, 0..1, is that of the interval of the distance. Cost: 40 ms of CPU for two samples
    of 7,000 calls of 100 terms.
    """
    rows = _some(len(reference.rows)), _some(len(current.rows))
    counts = len(rows[0]), len(rows[1])
    if min(counts) < ROWS_MIN:
        return None
    has = _matrix(reference, current, rows)
    if not has.shape[1]:
        return None
    total = sum(counts)
    share = np.asarray(has.sum(axis=0), dtype=np.float64).ravel() / total
    before = np.asarray(has[: counts[0]].sum(axis=0), dtype=np.float64).ravel() / counts[0]
    # Of both shares' weighted mean, so that no side is favoured.
    after = (share * total - before * counts[0]) / counts[1]
    weights = 1 / (share * (1 - share))
    shift = after - before
    squared = float((shift * shift * weights).sum())
    lengths = has @ (weights * (1 - 2 * share)) + float((share * share * weights).sum())
    moments = permutation_moments(_sums(has, share, weights, lengths), counts)
    witness = has @ (weights * shift)
    sides = witness[: counts[0]], witness[counts[0] :]
    # The witness of unchanged samples is noise, twice the variance of the null: it counts once.
    spread = 4 * float(sides[0].var() / counts[0] + sides[1].var() / counts[1])
    of_shift = spread - 2 * moments.variance
    unit = float(lengths.mean())
    excess = squared - moments.mean
    return TermSum(
        corrected_tail(pearson_tail(excess / np.sqrt(moments.variance), moments.skewness)),
        distance_interval(
            excess / unit, moments.variance / unit**2, of_shift / unit**2, confidence
        ),
        sides,
        rows,
    )


@dataclass(frozen=True)
class GramSums:
    """Sums over the Gram matrix K of the calls, their mean taken off."""

    trace: float
    diagonal: float  # of K[i, i] squared
    squares: float  # of K[i, j] squared, the diagonal included
    triples: float  # of K[i, j] K[j, k] K[k, i], all different


@dataclass(frozen=True)
class Moments:
    mean: float
    variance: float
    skewness: float


def permutation_moments(sums: GramSums, counts: tuple[int, int]) -> Moments:
    """Give the moments of the squared distance over all ways to divide the calls so.

    With s[i] = -1 / n for calls of the first side and 1 / m for those of the second, the statistic
    is the sum of K[i, j] s[i] s[j]; rows of K add up to nothing, and so do all s. What remains are
    the expectations of products of four s, all drawn from one urn.
    """
    n, m = counts
    total = n + m
    second = 1 / n + 1 / m  # the sum of s squared, and of its fourth power
    fourth = 1 / n**3 + 1 / m**3
    pairs = total * (total - 1)
    threes, fours = pairs * (total - 2), pairs * (total - 2) * (total - 3)
    all_same = fourth / total
    two_pairs = (second**2 - fourth) / pairs
    three_same = -fourth / pairs
    one_pair = (2 * fourth - second**2) / threes
    none_same = (3 * second**2 - 6 * fourth) / fours
    diagonal, squares, trace_squared = sums.diagonal, sums.squares, sums.trace**2
    mean = sums.trace * second / (total - 1)
    expected_square = (
        diagonal * all_same
        + (trace_squared + 2 * squares - 3 * diagonal) * two_pairs
        - 4 * diagonal * three_same
        + (12 * diagonal - 2 * trace_squared - 4 * squares) * one_pair
        + (trace_squared + 2 * squares - 6 * diagonal) * none_same
    )
    variance = max(expected_square - mean**2, np.finfo(float).tiny)
    third = 8 * sums.triples * (second / total) ** 3
    # A sum of chi-squares is no less skewed than if all its weights were one.
    skewness = max(third / variance**1.5, 2 * np.sqrt(variance) / mean)
    return Moments(mean, variance, float(skewness))


def _sums(
    has: sparse.csr_array, share: FloatArray, weights: FloatArray, lengths: FloatArray
) -> GramSums:
    """Add up over the Gram matrix; over a sample of its rows where products of calls are needed."""
    total = has.shape[0]
    size = min(total, GRAM_ROWS)
    chosen = np.sort(np.random.default_rng(SEED).permutation(total)[:size])
    part = has[chosen].astype(np.float32)
    weighed = part.copy()
    weighed.data = weights.astype(np.float32)[part.indices]
    gram = (weighed @ part.T).toarray().astype(np.float64)
    to_mean = part @ (weights * share)
    gram -= to_mean[:, None] + to_mean[None, :] - float((share * share * weights).sum())
    np.fill_diagonal(gram, 0)
    ordered = size * (size - 1)
    off_diagonal = float((gram**2).sum()) * total * (total - 1) / ordered
    threes = float(np.einsum("ij,ij->", gram @ gram, gram))
    diagonal = float((lengths**2).sum())
    return GramSums(
        float(lengths.sum()),
        diagonal,
        diagonal + off_diagonal,
        threes * total * (total - 1) * (total - 2) / (ordered * (size - 2)),
    )


def pearson_tail(deviations: float, skewness: float) -> float:
    """Give the upper tail of Pearson's type III at so many standard deviations from its mean."""
    shape = 4 / skewness**2
    return float(special.gammaincc(shape, max(0.0, shape + deviations * np.sqrt(shape))))


def corrected_tail(p_value: float) -> float:
    """Correct a tail for what three moments do not tell of it: it is heavier far out.

    Permutations of real texts gave 1.3 times the p-value at 0.01 and 2 to 5 times it near 0.0003.
    """
    if p_value >= TAIL_FROM or p_value <= 0:
        return p_value
    return p_value * (1 + TAIL_GROWTH * float(np.log10(TAIL_FROM / p_value)))


def _some(count: int) -> IntArray:
    if count <= ROWS_MAX:
        return np.arange(count)
    return np.linspace(0, count - 1, ROWS_MAX).astype(np.int64)


def _matrix(reference: Terms, current: Terms, rows: tuple[IntArray, IntArray]) -> sparse.csr_array:
    """Write which call has which term, reference first; terms that all or hardly any have left out.

    Terms are told apart by the first BUCKET_BITS of their hash. No sorting: those of a call come
    sorted, so two that share a bucket are neighbours, and count once.
    """
    sides = (reference, rows[0]), (current, rows[1])
    lengths = np.concatenate([terms.starts[some + 1] - terms.starts[some] for terms, some in sides])
    starts = np.concatenate(([0], np.cumsum(lengths)))
    buckets = np.concatenate([_hashes(terms, some) for terms, some in sides])
    buckets >>= np.uint32(32 - BUCKET_BITS)
    again = np.zeros(len(buckets) + 1, dtype=bool)
    np.equal(buckets[1:], buckets[:-1], out=again[1:-1])
    again[starts] = False
    total = len(lengths)
    counts = np.bincount(buckets[~again[:-1]], minlength=1 << BUCKET_BITS)
    kept = (counts >= CALLS_MIN) & (counts < total)
    numbers = np.where(kept, np.cumsum(kept, dtype=np.int32) - np.int32(1), np.int32(-1))
    column = numbers[buckets]
    stays = (column >= 0) & ~again[:-1]
    column = column[stays]
    before = np.concatenate(([0], np.cumsum(stays, dtype=np.int32)))[starts]
    data = np.ones(len(column), dtype=np.float32)
    return sparse.csr_array((data, column, before), shape=(total, int(kept.sum())))


def _hashes(terms: Terms, rows: IntArray) -> HashArray:
    """Return the hashes of some calls, one after the other."""
    if len(rows) == len(terms.rows):
        return terms.hashes
    lengths = terms.starts[rows + 1] - terms.starts[rows]
    ends = np.cumsum(lengths)
    at = np.arange(int(ends[-1])) + np.repeat(terms.starts[rows] - (ends - lengths), lengths)
    hashes: HashArray = terms.hashes[at]
    return hashes
