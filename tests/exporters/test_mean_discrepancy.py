"""Embeddings: one population or two; missing and constant vectors say nothing."""

import numpy as np
import pytest
from scipy import stats

from exporters.mean_discrepancy import (
    EmbeddingError,
    VectorArray,
    mean_discrepancy,
    weighed_chi_square_tail,
)


def vectors(count: int, seed: int, moved: float = 0.0) -> VectorArray:
    """Draw vectors of 32 dimensions; a share `moved` of them lies elsewhere."""
    chance = np.random.default_rng(seed)
    drawn = chance.normal(0, 1, (count, 32)) * np.linspace(1, 0.1, 32)
    drawn[: round(moved * count), :8] += 2.0
    return drawn.astype(np.float32)


@pytest.mark.parametrize("value", [1.0, 4.0, 12.0, 30.0, 80.0])
@pytest.mark.parametrize("degrees", [1, 5, 40])
def test_the_tail_of_equal_weights_is_that_of_chi_square(degrees: int, value: float) -> None:
    found = weighed_chi_square_tail(np.full(degrees, 2.0), 2 * value)
    assert found == pytest.approx(float(stats.chi2.sf(value, degrees)), rel=0.1, abs=1e-12)


def test_the_tail_of_unequal_weights_is_that_of_a_simulation() -> None:
    weights = np.power(0.7, np.arange(20.0))
    drawn = np.random.default_rng(1).chisquare(1, (200_000, 20)) @ weights
    for quantile in (0.5, 0.9, 0.99):
        value = float(np.quantile(drawn, quantile))
        assert weighed_chi_square_tail(weights, value) == pytest.approx(1 - quantile, rel=0.06)


def test_the_tail_at_the_mean_is_near_that_beside_it() -> None:
    weights = np.ones(10)
    assert weighed_chi_square_tail(weights, 10.0) == pytest.approx(
        float(stats.chi2.sf(10, 10)), rel=0.02
    )
    assert weighed_chi_square_tail(weights, 0.0) == 1.0


def test_unchanged_traffic_has_evenly_spread_p_values() -> None:
    found = [
        mean_discrepancy(vectors(200, 2 * seed), vectors(200, 2 * seed + 1), 0.95).p_value
        for seed in range(40)
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_a_share_that_lies_elsewhere_is_found_and_measured() -> None:
    found = mean_discrepancy(vectors(1_000, 1), vectors(1_000, 2, moved=0.15), 0.95)
    assert found.p_value < 1e-3
    assert 0.02 < found.distance.lower < found.distance.estimate < found.distance.upper < 0.3
    least_alike = found.rows[1][np.argsort(-found.witness[1])[:20]]
    assert (least_alike < 150).mean() > 0.8


def test_identical_windows_are_not_apart() -> None:
    same = vectors(300, 1)
    found = mean_discrepancy(same, same, 0.95)
    assert found.p_value > 0.99
    assert found.distance.lower == 0.0


@pytest.mark.parametrize("value", [1.0, 0.1234567, -3e4])
def test_vectors_that_are_all_alike_have_p_one(value: float) -> None:
    constant = np.full((200, 16), value, dtype=np.float32)
    found = mean_discrepancy(constant, constant, 0.95)
    assert (found.p_value, found.distance.estimate) == (1.0, 0.0)


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_missing_vectors_are_refused_with_their_share(missing: float) -> None:
    some = vectors(200, 1)
    some[:5] = missing
    with pytest.raises(EmbeddingError, match=r"2\.5% of the embeddings of the current window"):
        mean_discrepancy(vectors(200, 2), some, 0.95)


def test_one_missing_vector_in_hundreds_is_borne() -> None:
    some = vectors(400, 1)
    some[0] = 0.0
    assert mean_discrepancy(vectors(400, 2), some, 0.95).p_value > 1e-3


def test_vectors_of_two_lengths_are_refused() -> None:
    with pytest.raises(EmbeddingError, match="one length"):
        mean_discrepancy(vectors(10, 1), vectors(10, 2)[:, :5], 0.95)
