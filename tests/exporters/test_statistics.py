"""Statistics against closed forms and published or scipy values, in tables with their source.

False-alarm rates and power are measured in benchmarks/drift_power.py.
"""

import math

import numpy as np
import pytest
from scipy import stats

from exporters import statistics


def test_ks_agrees_with_the_closed_form_of_two_separated_samples() -> None:
    result = statistics.ks_two_sample(np.arange(50.0), np.arange(100.0, 150.0), 0.95)
    assert result.distance.estimate == 1.0
    assert result.p_value == pytest.approx(float(stats.kstwo.sf(1.0, 25)))
    assert result.rises


@pytest.mark.parametrize(
    ("reference", "current", "p_value"), [(1, 1, 1.0), (1, 2, 2 / 3), (2, 2, 1 / 3), (3, 3, 0.1)]
)
def test_ks_of_a_few_values_is_exact(reference: int, current: int, p_value: float) -> None:
    apart = statistics.ks_two_sample(np.zeros(reference), np.ones(current), 0.95)
    assert apart.p_value == pytest.approx(p_value)  # two orders of all, by counting them


def test_ks_names_the_place_where_the_samples_part() -> None:
    reference = np.repeat([1.0, 2.0], 100)
    result = statistics.ks_two_sample(reference, np.repeat([1.0, 3.0], 100), 0.95)
    assert (result.at, result.rises, result.distance.estimate) == (2.0, True, 0.5)


def test_ks_of_a_sample_with_itself_is_certain_of_nothing() -> None:
    sample = np.random.default_rng(1).normal(size=300)
    result = statistics.ks_two_sample(sample, sample, 0.95)
    assert (result.p_value, result.distance.estimate, result.distance.lower) == (1.0, 0.0, 0.0)


def test_the_dkw_margin_is_the_sum_of_both_sides() -> None:
    # sqrt(ln(2 / 0.025) / (2 n)) a side (Massart 1990) = 0.046808 at n = 1000, 0.148020 at 100.
    result = statistics.ks_two_sample(np.zeros(1000), np.ones(100), 0.95)
    assert result.distance.lower == pytest.approx(1 - 0.046808 - 0.148020, abs=1e-6)


def test_the_dkw_interval_holds_the_true_distance_in_at_least_its_share_of_draws() -> None:
    true = float(stats.norm.cdf(0.25) - stats.norm.cdf(-0.25))  # of N(0,1) and N(0.5,1)
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        result = statistics.ks_two_sample(
            random.normal(size=300), random.normal(0.5, 1, size=200), 0.95
        )
        held += result.distance.lower <= true <= result.distance.upper
    assert held >= 190


@pytest.mark.parametrize(
    ("reference", "current", "p_value"),
    [
        ([30, 30, 40], [30, 30, 40], 1.0),
        # N (ad - bc)^2 / (product of the margins) = 200 (60*54 - 40*46)^2 / (106*94*100*100)
        # = 3.93416 with one degree of freedom: erfc(sqrt(3.93416 / 2)).
        ([60, 40], [46, 54], math.erfc(math.sqrt(3.934163 / 2))),
        # The deviation is 12.5 in each of four cells: 2 * 12.5^2 (1 / 62.5 + 1 / 37.5) = 13.3333.
        ([50, 50], [75, 25], math.erfc(math.sqrt(13.333333 / 2))),
    ],
)
def test_chi_square_agrees_with_values_worked_by_hand(
    reference: list[int], current: list[int], p_value: float
) -> None:
    result = statistics.chi_square(np.array(reference), np.array(current))
    assert result == pytest.approx(p_value)


def test_chi_square_pools_the_cells_that_expect_too_few() -> None:
    reference, current = np.array([50, 45, 3, 2]), np.array([40, 50, 4, 6])
    pooled = stats.chi2_contingency([[50, 45, 5], [40, 50, 10]], correction=False)[1]
    assert statistics.chi_square(reference, current) == pytest.approx(float(pooled))


def test_chi_square_of_singletons_has_nothing_to_say() -> None:
    # Five hundred system prompts seen once each: no cell expects five.
    singles = np.ones(4, dtype=np.int64)
    assert statistics.chi_square(np.r_[singles, 0 * singles], np.r_[0 * singles, singles]) == 1.0


def test_chi_square_merges_a_small_remainder_into_the_smallest_kept_cell() -> None:
    merged = stats.chi2_contingency([[60, 41], [50, 53]], correction=False)[1]
    result = statistics.chi_square(np.array([60, 40, 1]), np.array([50, 50, 3]))
    assert result == pytest.approx(float(merged))


@pytest.mark.parametrize(
    ("count", "total", "lower", "upper"),
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_the_published_table(
    count: int, total: int, lower: float, upper: float
) -> None:
    interval = statistics.wilson(count, total, 0.95)
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=5e-5)


@pytest.mark.parametrize(
    ("current", "current_total", "reference", "reference_total", "lower", "upper"),
    # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_newcombe_agrees_with_the_published_table(
    current: int,
    current_total: int,
    reference: int,
    reference_total: int,
    lower: float,
    upper: float,
) -> None:
    interval = statistics.newcombe(reference, reference_total, current, current_total, 0.95)
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=5e-5)


def test_bonferroni_never_leaves_the_unit_interval() -> None:
    assert statistics.bonferroni(0.2, 3) == pytest.approx(0.6)
    assert statistics.bonferroni(0.5, 3) == 1.0


def test_holm_steps_down_from_the_smallest() -> None:
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, then 0.04 held up to the one before (Holm 1979, section 2).
    corrected = statistics.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert corrected.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_goes_beyond_one() -> None:
    assert statistics.holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]
    assert statistics.holm(np.array([])).tolist() == []


def test_even_values_are_uniform_and_bunched_ones_are_not() -> None:
    even = (np.arange(100) + 0.5) / 1000
    assert statistics.ks_uniform(even, 0.0, 0.1) == pytest.approx(1.0)
    assert statistics.ks_uniform(even / 2, 0.0, 0.1) < 1e-12
    # One value at the middle: the distance is 1/2, and P(D >= 1/2) = 1.
    assert statistics.ks_uniform(np.array([0.5]), 0.0, 1.0) == 1.0


def test_a_count_is_held_against_its_ratio_exactly() -> None:
    # 2 * P(X <= 2), X binomial(10, 1/2): 2 * (1 + 10 + 45) / 1024.
    assert statistics.binomial(2, 10, 0.5) == pytest.approx(112 / 1024)
    assert statistics.binomial(5, 10, 0.5) == 1.0


@pytest.mark.parametrize(
    ("count", "fifth", "two_fifths"),
    [(50, 0.18, 0.25), (100, 0.13, 0.18), (200, 0.09, 0.13), (500, 0.06, 0.08), (1000, 0.04, 0.06)],
)
def test_detectable_differences_are_those_of_the_table(
    count: int, fifth: float, two_fifths: float
) -> None:
    """Two outputs that disagree on 20 % and on 40 % of the rows, at 80 % power."""
    found = [statistics.detectable_difference(count, each) for each in (0.2, 0.4)]
    assert [round(each or 0.0, 2) for each in found] == [
        pytest.approx(fifth, abs=0.011),
        pytest.approx(two_fifths, abs=0.011),
    ]


def test_a_detectable_difference_is_found_in_four_of_five_draws() -> None:
    """McNemar's test with the normal approximation, over draws of disagreements."""
    chance = np.random.default_rng(4)
    count, disagreement = 400, 0.4
    difference = statistics.detectable_difference(count, disagreement)
    assert difference is not None
    disagreeing = chance.binomial(count, disagreement, 20_000)
    better = chance.binomial(disagreeing, (1 + difference / disagreement) / 2)
    z = np.abs(2 * better - disagreeing) / np.sqrt(disagreeing)
    assert 0.79 <= float(np.mean(z > stats.norm.isf(0.025))) <= 0.83


def test_what_few_rows_cannot_show_is_not_promised() -> None:
    assert statistics.detectable_difference(0, 0.2) is None
    assert statistics.detectable_difference(30, 0.2) is None
    assert statistics.detectable_difference(50, 0.2) is not None


def test_the_lower_bound_of_a_distance_is_where_a_test_would_refuse() -> None:
    interval = statistics.distance_interval(0.09, 1e-4, 4e-4, 0.95)
    for bound in (interval.lower, interval.upper):
        error = math.sqrt(1e-4 + 4e-4 * bound**2 / 0.09)
        assert abs(0.09 - bound**2) == pytest.approx(1.959964 * error)
    assert interval.lower < interval.estimate == 0.3 < interval.upper


@pytest.mark.parametrize(("excess", "above"), [(0.0190, False), (0.0202, True)])
def test_a_distance_is_surely_above_nought_where_it_is_beyond_the_noise(
    excess: float, above: bool
) -> None:
    assert (statistics.distance_interval(excess, 1e-4, 1e-3, 0.95).lower > 0) is above


def test_no_excess_is_no_distance() -> None:
    interval = statistics.distance_interval(-0.001, 1e-4, 0.0, 0.95)
    assert (interval.estimate, interval.lower) == (0.0, 0.0)
    assert interval.upper == pytest.approx(math.sqrt(0.0196 - 0.001), rel=1e-3)
    assert statistics.distance_interval(-1.0, 1e-4, 0.0, 0.95).upper == 0.0
