"""Exact tests of many counts, against SciPy and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exporters.exact_counts import exact_counts, two_sided


@pytest.mark.parametrize(
    ("reference", "reference_total", "current", "current_total"),
    [(0, 200, 20, 200), (3, 1000, 17, 1000), (10, 50, 2, 500), (400, 400, 380, 400)],
)
def test_the_exact_test_agrees_with_fisher(
    reference: int, reference_total: int, current: int, current_total: int
) -> None:
    tests = exact_counts(
        np.array([reference]), reference_total, np.array([current]), current_total, 0.05
    )
    table = [[current, current_total - current], [reference, reference_total - reference]]
    tails = [
        stats.fisher_exact(np.array(table), alternative=side)[1] for side in ("greater", "less")
    ]
    assert tests.test_count == 1
    assert tests.p_values[0] == pytest.approx(2 * float(min(tails)))


def test_things_too_rare_to_matter_do_not_weaken_the_test_of_the_others() -> None:
    # A thousand things seen once each could reach p = 1 at best; one is seen twenty times.
    reference = np.r_[0, np.ones(500), np.zeros(500)].astype(np.int64)
    current = np.r_[20, np.zeros(500), np.ones(500)].astype(np.int64)
    tests = exact_counts(reference, 1000, current, 1000, 0.001)
    assert tests.test_count == 1
    assert tests.p_value == pytest.approx(2 * math.comb(1000, 20) / math.comb(2000, 20))


def test_a_family_that_could_never_stand_out_has_no_p_value() -> None:
    tests = exact_counts(np.array([1, 0]), 100, np.array([0, 1]), 100, 0.05)
    assert (tests.test_count, tests.p_value) == (0, 1.0)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=30),
    st.sampled_from([0.05, 0.001]),
)
def test_tarone_never_admits_more_tests_than_it_corrects_for(
    counts: list[tuple[int, int]], alpha: float
) -> None:
    reference, current = (np.array(side) for side in zip(*counts, strict=True))
    tests = exact_counts(reference, 300, current, 300, alpha)
    assert int((tests.p_values < 1).sum()) <= max(tests.test_count, 0)


@pytest.mark.parametrize(("before", "after"), [(200, 200), (10_000, 10_000), (100_000, 20_000)])
def test_p_values_are_those_of_the_hypergeometric_distribution(before: int, after: int) -> None:
    chance = np.random.default_rng(1)
    pooled = chance.integers(1, before + after, 200)
    current = chance.hypergeometric(pooled, before + after - pooled, after)
    # Some far from what chance gives, as far as the support allows.
    shift = chance.integers(-50, 50, 200)
    current = np.clip(current + shift, np.maximum(0, pooled - before), np.minimum(pooled, after))
    tails = (
        stats.hypergeom.sf(current - 1, before + after, pooled, after),
        stats.hypergeom.cdf(current, before + after, pooled, after),
    )
    expected = np.minimum(1.0, 2 * np.minimum(*tails))
    found = two_sided(pooled - current, before, current, after)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_of_many_things_only_those_that_stand_out_have_a_p_value_computed() -> None:
    chance = np.random.default_rng(2)
    reference = chance.binomial(1_000, 0.3, 5_000)
    current = chance.binomial(1_000, 0.3, 5_000)
    current[7] = 600
    tests = exact_counts(reference, 1_000, current, 1_000, 0.001)
    assert int(tests.p_values.argmin()) == 7
    assert int((tests.p_values < 1).sum()) < 100
    assert tests.test_count == 5_000


def test_what_every_call_has_on_both_sides_is_not_tested() -> None:
    tests = exact_counts(np.array([200]), 200, np.array([300]), 300, 0.05)
    assert (tests.test_count, tests.p_value) == (0, 1.0)


def test_no_things_at_all_are_no_tests() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert exact_counts(nothing, 10, nothing, 10, 0.05).test_count == 0
