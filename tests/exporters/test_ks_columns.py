"""Kolmogorov-Smirnov in a batch, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from exporters.ks_columns import ks_columns
from exporters.statistics import ks_two_sample

CHANCE = np.random.default_rng(1)
PAIRS = {
    "reals": (CHANCE.normal(0, 1, 700), CHANCE.normal(0.2, 1, 500)),
    "counts": (CHANCE.poisson(5, 700).astype(float), CHANCE.poisson(6, 900).astype(float)),
    "far counts": (CHANCE.poisson(5, 700) * 1e6, CHANCE.poisson(6, 900) * 1e6),
    "negative": (-CHANCE.poisson(5, 700).astype(float), CHANCE.normal(-4, 3, 400)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_distance_place_and_direction_are_those_of_scipy(name: str) -> None:
    reference, current = PAIRS[name]
    (found,) = ks_columns([(reference, current)], 0.95)
    expected = stats.ks_2samp(reference, current, method="asymp")
    assert found.distance.estimate == pytest.approx(expected.statistic)
    assert found.at == pytest.approx(expected.statistic_location)
    assert found.rises == (expected.statistic_sign > 0)


def test_the_p_value_is_close_to_that_of_scipy() -> None:
    pairs = list(PAIRS.values())
    for (reference, current), found in zip(pairs, ks_columns(pairs, 0.95), strict=True):
        expected = stats.ks_2samp(reference, current, method="asymp").pvalue
        assert np.log(found.p_value) == pytest.approx(np.log(expected), rel=0.05)


def test_the_interval_is_that_of_the_test_of_one_column() -> None:
    (found,) = ks_columns([PAIRS["reals"]], 0.95)
    expected = ks_two_sample(*PAIRS["reals"], 0.95).distance
    assert found.distance.lower == pytest.approx(expected.lower)
    assert found.distance.upper == pytest.approx(expected.upper)


def test_of_a_few_values_the_p_value_is_exact() -> None:
    (found,) = ks_columns([(np.arange(5.0), np.arange(10.0, 13.0))], 0.95)
    # All of one side below all of the other: 2 of the 56 orders.
    assert found.p_value == pytest.approx(2 / 56)


def test_equal_samples_are_not_apart() -> None:
    (found,) = ks_columns([(np.ones(100), np.ones(50))], 0.95)
    assert (found.p_value, found.distance.estimate) == (1.0, 0.0)


def test_no_columns_are_no_tests() -> None:
    assert ks_columns([], 0.95) == []
