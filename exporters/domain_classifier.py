"""How well a classifier tells current texts from reference texts that it has not learnt from.

Ridge regression on the words of a text, weighed by how rare they are, and on its numbers, in ranks:
the words tell topics apart, the numbers how a model writes. It learns from one half of the calls
and is judged on the other, then the halves change places; which half a call is in is a hash of its
id, so the same windows give the same report. The AUC is the mean of both judgements (classifier
two-sample test; Lopez-Paz and Oquab, ICLR 2017). Its error is that of one half: both fits learn
from the same difference, and taken for independent, halves raise twice the false alarms, five folds
up to three times (docs/drift.md).

Why not naive Bayes: of two models' answers to 400 + 400 questions it tells 75 % apart where this
tells all (gpt-4o and gpt-4o-mini, p < 0.01).

Assumption: calls are independent, so one of each group. Limits: `TRAINED_MAX` calls of a side are
learnt from in each half, `JUDGED_MAX` are judged, evenly over time. Cost: 40 ms for 10,000 a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from exporters.comparison import BoolArray
from exporters.ks_columns import ks_columns
from exporters.statistics import FloatArray, Interval
from exporters.two_samples import area_under_curve
from exporters.windows import HashArray, IntArray

HALF_MIN = 40  # calls of a side in each half
TRAINED_MAX = 500
JUDGED_MAX = 800
BUCKETS = 1 << 17  # a weight for each; two words in one share it
# Weights of the numbers, together, beside those of the words, whose vector is of length 1; and the
# ridge. Chosen on answers of eight models, where neither matters within a factor of three.
NUMBERS_WEIGHT = 0.3
RIDGE = 1.0
STEPS_MAX = 30
TOLERANCE = 1e-3
TYPICAL_MAX = 5
SEED = 0  # of the hash that halves the calls: the same windows, the same report


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts of one side: the hashes of call i are `hashes[starts[i]:starts[i + 1]]`, `numbers[i]`
    its numbers (NaN: none), and `first_half[i]` which half it is in."""

    starts: IntArray
    hashes: HashArray
    numbers: FloatArray
    first_half: BoolArray


@dataclass(frozen=True, eq=False)
class Judged:
    """`auc` with its interval; `p_value`, one-sided, of both sides being alike.

    `novel`: at least so large a share of the current texts, 0..1, is unlike the reference's, by the
    lower bound of the distance of their scores. `scores`: of the texts judged, reference and
    current, in standard deviations of the reference's. `shares` of them above the common median.
    `typical`: the texts of the current side that are least like the reference, by number.
    """

    auc: Interval
    p_value: float
    novel: float
    scores: tuple[FloatArray, FloatArray]
    shares: tuple[float, float]
    typical: tuple[int, ...]


def first_half(call_ids: Sequence[str]) -> BoolArray:
    """Say which calls are in the first half: by a bit of a hash of their ids."""
    if not call_ids:
        return np.zeros(0, dtype=bool)
    characters = np.array(call_ids, dtype=np.str_)[:, None].view(np.uint32)
    weights = np.random.default_rng(SEED).integers(1, 1 << 32, characters.shape[1], np.uint32)
    mixed = (characters * weights).sum(axis=1, dtype=np.uint32)
    halves: BoolArray = (mixed >> np.uint32(31)).astype(bool)
    return halves


def tell_apart(reference: Texts, current: Texts, confidence: float) -> Judged | None:
    """Learn from one half, judge the other, and the reverse; None where a half is too small."""
    smallest = min(
        min(int(side.first_half.sum()), int((~side.first_half).sum()))
        for side in (reference, current)
    )
    if smallest < HALF_MIN:
        return None
    halves = [_judge_half(reference, current, half, confidence) for half in (True, False)]
    auc, variance, z = np.mean([[half.auc, half.variance, half.z] for half in halves], axis=0)
    margin = float(-special.ndtri((1 - confidence) / 2) * np.sqrt(variance))
    before, after = (np.concatenate([half.scores[side] for half in halves]) for side in (0, 1))
    rows = np.concatenate([half.rows for half in halves])
    return Judged(
        Interval(float(auc), max(0.0, float(auc) - margin), min(1.0, float(auc) + margin)),
        float(special.ndtr(-z)),
        max(half.novel for half in halves),
        (before, after),
        (
            float(np.mean([half.shares[0] for half in halves])),
            float(np.mean([half.shares[1] for half in halves])),
        ),
        tuple(rows[np.argsort(-after, kind="stable")[:TYPICAL_MAX]].tolist()),
    )


@dataclass(frozen=True, eq=False)
class _Half:
    """What one fit said of the half it did not learn from; `rows`: of the current texts judged."""

    auc: float
    variance: float
    z: float
    novel: float
    scores: tuple[FloatArray, FloatArray]
    shares: tuple[float, float]
    rows: IntArray


def _judge_half(reference: Texts, current: Texts, half: bool, confidence: float) -> _Half:
    sides = reference, current
    learnt = [_some(side.first_half == half, TRAINED_MAX) for side in sides]
    held = [_some(side.first_half != half, JUDGED_MAX) for side in sides]
    fit = _Fit(sides, learnt)
    before, after = (fit.scores(side, rows) for side, rows in zip(sides, held, strict=True))
    auc, variance, if_equal = area_under_curve(after, before)
    # Each half may err, so each has half of the error that both together may make.
    (ks,) = ks_columns([(before, after)], (1 + confidence) / 2)
    median = float(np.median(np.concatenate([before, after])))
    centre, spread = float(before.mean()), float(before.std()) or 1.0
    return _Half(
        auc,
        variance,
        (auc - 0.5) / np.sqrt(if_equal),
        ks.distance.lower if ks.rises else 0.0,
        ((before - centre) / spread, (after - centre) / spread),
        (float((before > median).mean()), float((after > median).mean())),
        held[1],
    )


def _some(wanted: BoolArray, count_max: int) -> IntArray:
    """Choose at most `count_max` of the rows that are wanted, evenly over them."""
    rows = np.flatnonzero(wanted)
    if len(rows) <= count_max:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count_max).astype(np.int64)]


class _Fit:
    """Weights of words and numbers, learnt from some rows of both sides.

    Solved in the dual, where a row is an unknown: conjugate gradients on the centred kernel, whose
    eigenvalues fall off fast. A word that one row alone has is of no use and left out.
    """

    def __init__(self, sides: tuple[Texts, Texts], rows: Sequence[IntArray]) -> None:
        words = sparse.vstack(
            [_matrix(side, some) for side, some in zip(sides, rows, strict=True)], format="csr"
        )
        count = words.shape[0]
        frequency = np.bincount(words.indices, minlength=BUCKETS)
        self._rarity = np.where(frequency >= 2, np.log((1 + count) / (1 + frequency)) + 1, 0.0)
        known = np.concatenate([side.numbers[some] for side, some in zip(sides, rows, strict=True)])
        self._ranks = [_normal_scores(column[np.isfinite(column)]) for column in known.T]
        words = self._weighed(words)
        numbers = self._ranked(known)
        label = np.repeat([-1.0, 1.0], [len(some) for some in rows])
        solved = _solve(words, numbers, label - label.mean())
        self._of_words = words.T @ solved
        self._of_numbers = numbers.T @ solved

    def scores(self, side: Texts, rows: IntArray) -> FloatArray:
        """Score rows: the higher, the more like the current side."""
        words = self._weighed(_matrix(side, rows)) @ self._of_words
        scores: FloatArray = words + self._ranked(side.numbers[rows]) @ self._of_numbers
        return scores

    def _weighed(self, words: sparse.csr_matrix) -> sparse.csr_matrix:
        """Weigh words by their rarity, and make each row's vector one of length 1."""
        weights = self._rarity[words.indices]
        lengths = np.diff(words.indptr)
        row = np.repeat(np.arange(len(lengths)), lengths)
        norm = np.sqrt(np.bincount(row, weights**2, minlength=len(lengths)))
        norm[norm == 0] = 1.0
        return sparse.csr_matrix(
            (weights / norm[row], words.indices, words.indptr), shape=words.shape
        )

    def _ranked(self, numbers: FloatArray) -> FloatArray:
        """Turn numbers to normal scores of their ranks among those learnt from; NaN to 0."""
        scores = np.zeros(numbers.shape)
        for number, (values, of_values) in enumerate(self._ranks):
            if len(values):
                at = np.searchsorted(values, numbers[:, number])
                scores[:, number] = of_values[np.minimum(at, len(values) - 1)]
        scores[~np.isfinite(numbers)] = 0.0
        weighed: FloatArray = scores * np.sqrt(NUMBERS_WEIGHT / max(1, numbers.shape[1]))
        return weighed


def _normal_scores(column: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the different values of a column, ascending, and the normal score of each one's rank."""
    values, counts = np.unique(column, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return values, special.ndtri((middle + 0.5) / (len(column) + 1))


def _solve(words: sparse.csr_matrix, numbers: FloatArray, label: FloatArray) -> FloatArray:
    """Solve (H K H + RIDGE) a = label by conjugate gradients; H takes the mean away."""
    transposed = words.T.tocsr()
    solved = np.zeros(len(label))
    residual, direction = label.copy(), label.copy()
    size = start = float(residual @ residual)
    for _ in range(STEPS_MAX):
        if size <= TOLERANCE**2 * start:
            break
        product = words @ (transposed @ direction) + numbers @ (numbers.T @ direction)
        product += RIDGE * direction - product.mean()
        step = size / float(direction @ product)
        solved += step * direction
        residual -= step * product
        size, previous = float(residual @ residual), size
        direction = residual + size / previous * direction
    centred: FloatArray = solved - solved.mean()
    return centred


def _matrix(side: Texts, rows: IntArray) -> sparse.csr_matrix:
    """Put the words of some rows into a matrix with a column for each bucket."""
    lengths = side.starts[rows + 1] - side.starts[rows]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    at = np.arange(starts[-1]) + np.repeat(side.starts[rows] - starts[:-1], lengths)
    buckets = (side.hashes[at] & np.uint32(BUCKETS - 1)).astype(np.int32)
    return sparse.csr_matrix(
        (np.ones(len(buckets)), buckets, starts.astype(np.int32)), shape=(len(rows), BUCKETS)
    )
