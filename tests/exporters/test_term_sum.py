"""The sum over terms: its moments against every permutation, its tail against scipy."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from exporters.term_sum import (
    GramSums,
    corrected_tail,
    pearson_tail,
    permutation_moments,
    term_sum,
)
from exporters.windows import Terms


@pytest.fixture
def chance() -> np.random.Generator:
    """What a test draws from: of its own, so that it draws the same in whatever order tests run."""
    return np.random.default_rng(5)


def terms_of(has: np.ndarray) -> Terms:
    """Write a matrix of which call has which term; hashes are its columns', wide apart."""
    calls, columns = np.nonzero(has)
    starts = np.concatenate(([0], np.cumsum(has.sum(axis=1)))).astype(np.int64)
    rows = np.arange(len(has), dtype=np.int32)
    assert len(calls) == starts[-1]
    return Terms(rows, starts, columns.astype(np.uint32) << np.uint32(12))


def drawn(chance: np.random.Generator, calls: int, shares: np.ndarray) -> Terms:
    return terms_of(chance.random((calls, len(shares))) < shares)


def test_mean_and_variance_are_those_of_all_permutations(chance: np.random.Generator) -> None:
    has = chance.random((9, 12)) * chance.integers(1, 4, 12)
    centred = has - has.mean(axis=0)
    gram = centred @ centred.T
    off = gram - np.diag(np.diag(gram))
    sums = GramSums(
        float(np.trace(gram)),
        float((np.diag(gram) ** 2).sum()),
        float((gram**2).sum()),
        float(np.einsum("ij,ij->", off @ off, off)),
    )
    values = []
    for first in combinations(range(9), 4):
        signs = np.full(9, 1 / 5)
        signs[list(first)] = -1 / 4
        values.append(signs @ gram @ signs)

    moments = permutation_moments(sums, (4, 5))

    assert moments.mean == pytest.approx(np.mean(values))
    assert moments.variance == pytest.approx(np.var(values))


@pytest.mark.parametrize(("deviations", "skewness"), [(0.0, 0.1), (2.0, 0.5), (5.0, 1.0)])
def test_the_tail_is_pearson_s_third(deviations: float, skewness: float) -> None:
    expected = stats.pearson3(skewness).sf(deviations)

    assert pearson_tail(deviations, skewness) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("p_value", "corrected"), [(0.5, 0.5), (0.004, 0.004), (0.0004, 0.00132), (0, 0)]
)
def test_a_p_value_far_out_is_made_larger(p_value: float, corrected: float) -> None:
    assert corrected_tail(p_value) == pytest.approx(corrected)


def test_a_smaller_p_value_stays_the_smaller() -> None:
    found = [corrected_tail(10 ** -(exponent / 10)) for exponent in range(300)]
    assert found == sorted(found, reverse=True)


def test_unchanged_terms_are_rarely_far_apart(chance: np.random.Generator) -> None:
    shares = chance.random(200) * 0.1
    found = [
        term_sum(drawn(chance, 300, shares), drawn(chance, 200, shares), 0.95) for _ in range(60)
    ]

    p_values = [each.p_value for each in found if each]

    assert len(p_values) == 60
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_a_little_of_every_term_is_found_together(chance: np.random.Generator) -> None:
    shares = 0.02 + chance.random(400) * 0.1
    more = shares * chance.choice([0.7, 1.4], 400)

    found = term_sum(drawn(chance, 400, shares), drawn(chance, 400, more), 0.95)

    assert found is not None
    assert found.p_value < 1e-6
    assert 0 < found.distance.lower < found.distance.estimate < found.distance.upper


def test_the_distance_does_not_grow_with_the_number_of_calls(chance: np.random.Generator) -> None:
    shares = 0.02 + chance.random(300) * 0.1
    more = shares * chance.choice([0.7, 1.4], 300)
    few, many = (
        term_sum(drawn(chance, n, shares), drawn(chance, n, more), 0.95) for n in (400, 3_000)
    )

    assert few is not None
    assert many is not None
    assert few.distance.lower < many.distance.estimate < few.distance.upper


def test_the_witness_is_highest_for_calls_with_what_is_new(chance: np.random.Generator) -> None:
    shares = np.full(50, 0.1)  # with 0.2, one draw in ten has another call among the 15
    has = chance.random((200, 50)) < shares
    has[:20, 40:] = True

    found = term_sum(drawn(chance, 200, shares), terms_of(has), 0.95)

    assert found is not None
    assert set(np.argsort(-found.witness[1])[:15].tolist()) <= set(range(20))


def test_nothing_is_said_of_few_calls_or_of_terms_that_all_have(
    chance: np.random.Generator,
) -> None:
    few, many = drawn(chance, 20, np.full(5, 0.5)), drawn(chance, 100, np.full(5, 0.5))
    same = terms_of(np.ones((100, 3), dtype=bool))

    assert term_sum(few, many, 0.95) is None
    assert term_sum(same, same, 0.95) is None
