"""Whether two samples of embeddings are of one population: maximum mean discrepancy.

Finds broad shifts of topic among few calls, where no word stands out yet. The kernel is Gaussian,
its width the median distance (Gretton et al., JMLR 2012), written out in random Fourier features
(Rahimi and Recht, NIPS 2007), so cost is linear in the calls. The statistic is the squared distance
of the mean features; of unchanged traffic it is a sum of chi-squares weighed by the eigenvalues of
the features' covariance, whose tail is computed by saddle point (Kuonen, Biometrika 1999; Lugannani
and Rice 1980). No permutations: they cannot show a p-value below one over their number.

Assumption: calls are independent, so one of each group, and there are some hundreds of a side.
Guards: embeddings that are missing, stored as zeros, look like drift, so more than 1 % of them are
refused; vectors that are all alike have p 1. Limits: `ROWS_MAX` calls of a side, evenly over time.
Cost: 0.2 s for 10,000 a side of 384 dimensions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from exporters.statistics import FloatArray, Interval, distance_interval

VectorArray = NDArray[np.float32]

FEATURES = 128  # random frequencies; each gives a cosine and a sine
ROWS_MAX = 10_000
ZEROS_MAX_RATIO = 0.01
WIDTH_ROWS = 400  # of both sides, of whose distances the median is taken
SEED = 0  # frequencies are the same for every report: the same windows, the same p-value
# Eigenvalues below this share of the largest are rounding, and none may be added up.
EIGENVALUE_RATIO_MIN = 1e-10


class EmbeddingError(Exception):
    """Embeddings say nothing of the texts: vectors are missing, or not of one length."""


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """`distance`: of the mean features, 0..1.4, with its interval. If a share of the traffic moved
    to where no text was before, the distance is about that share.

    `witness`: for the texts of each side that were used, how much more they are like the current
    side than like the reference; `rows` are their numbers.
    """

    p_value: float
    distance: Interval
    witness: tuple[FloatArray, FloatArray]
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]


def mean_discrepancy(
    reference: VectorArray, current: VectorArray, confidence: float
) -> Discrepancy:
    """Compare two samples of vectors, a row for each text; both need at least two rows.

    Raises EmbeddingError where vectors are missing (zeros, NaN) or differ in length.
    """
    if reference.ndim != 2 or current.ndim != 2 or reference.shape[1] != current.shape[1]:
        raise EmbeddingError("embeddings of the two windows are not of one length")
    _check(reference, "reference")
    _check(current, "current")
    rows = _some(len(reference)), _some(len(current))
    first, second = reference[rows[0]].astype(np.float64), current[rows[1]].astype(np.float64)
    width = _width(first, second)
    if width == 0:
        nothing = np.zeros(len(first)), np.zeros(len(second))
        return Discrepancy(1.0, Interval(0.0, 0.0, 0.0), nothing, rows)
    before, after = _fourier(first, width), _fourier(second, width)
    n, m = len(before), len(after)
    shift = after.mean(axis=0) - before.mean(axis=0)
    witness = before @ shift, after @ shift
    before -= before.mean(axis=0)
    after -= after.mean(axis=0)
    covariance = (before.T @ before + after.T @ after) / (n + m - 2)
    weights = np.linalg.eigvalsh(covariance) * (1 / n + 1 / m)
    weights = weights[weights > weights[-1] * EIGENVALUE_RATIO_MIN]
    squared = float(shift @ shift)
    noise = 2 * float((weights**2).sum())
    # What the witness varies by holds the noise of the means too, twice.
    of_shift = 4 * float(witness[0].var() / n + witness[1].var() / m) - 2 * noise
    return Discrepancy(
        weighed_chi_square_tail(weights, squared),
        distance_interval(squared - float(weights.sum()), noise, of_shift, confidence),
        witness,
        rows,
    )


def weighed_chi_square_tail(weights: FloatArray, value: float) -> float:
    """Give the chance that a sum of `weights[i]` times chi-squares of one degree exceeds `value`.

    The weights are positive. Saddle-point approximation, within a tenth far out too.
    """
    mean, largest = float(weights.sum()), float(weights.max())

    def slope(t: float) -> float:
        return float((weights / (1 - 2 * t * weights)).sum()) - value

    if value <= 0:
        return 1.0
    # At the mean the formula is 0 / 0; there, and just beside it, what lies beside is taken.
    if abs(value / mean - 1) < 1e-4:
        value = mean * (1 + 1e-4)
    end = 1 / (2 * largest)
    if value > mean:
        lower, upper = 0.0, end * (1 - 1e-12)
    else:
        lower, upper = -len(weights) / (2 * value), 0.0
    if slope(lower) * slope(upper) > 0:
        return 0.0 if value > mean else 1.0
    t = float(optimize.brentq(slope, lower, upper))
    log_moment = -0.5 * float(np.log1p(-2 * t * weights).sum())
    w = float(np.sign(t) * np.sqrt(2 * (t * value - log_moment)))
    v = t * float(np.sqrt((2 * (weights / (1 - 2 * t * weights)) ** 2).sum()))
    return float(min(1.0, max(0.0, special.ndtr(-(w + np.log(v / w) / w)))))


def _check(vectors: VectorArray, name: str) -> None:
    norms = np.abs(vectors).sum(axis=1)
    missing = float((~(norms > 0) | ~np.isfinite(norms)).mean()) if len(norms) else 1.0
    if missing > ZEROS_MAX_RATIO:
        raise EmbeddingError(
            f"{missing:.1%} of the embeddings of the {name} window are zeros or not numbers: "
            "texts without an embedding look like drift; embed them, or leave them out"
        )


def _some(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, ROWS_MAX)).astype(np.int64))


def _width(reference: FloatArray, current: FloatArray) -> float:
    """Give the median squared distance of some vectors of both sides; 0 where all are alike."""
    both = np.concatenate(
        [side[:: max(1, 2 * len(side) // WIDTH_ROWS)] for side in (reference, current)]
    )
    squares = (both**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * both @ both.T
    # Rounding of vectors that are the same is no distance.
    apart = distances[distances > 1e-9 * max(float(squares.max()), 1e-300)]
    return float(np.median(apart)) if len(apart) else 0.0


def _fourier(vectors: FloatArray, width: float) -> FloatArray:
    chance = np.random.default_rng(SEED)
    frequencies = chance.standard_normal((vectors.shape[1], FEATURES)) * np.sqrt(2 / width)
    angles = vectors @ frequencies
    features: FloatArray = np.hstack([np.cos(angles), np.sin(angles)]) / np.sqrt(FEATURES)
    return features
