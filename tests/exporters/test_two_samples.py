"""Lifts, differences and AUCs against closed forms, scikit-learn, and their own claims."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from exporters.two_samples import (
    RIDGE,
    Difference,
    Samples,
    logistic_regression,
    separability,
)


def alone(chosen: list[bool]) -> Samples:
    """Make samples in which each call is a group of its own."""
    return Samples(np.arange(len(chosen)), np.array(chosen))


def test_a_lift_is_the_ratio_of_shares() -> None:
    samples = alone([True] * 10 + [False] * 30)
    has = np.array([True] * 2 + [False] * 8 + [True] * 10 + [False] * 20)
    assert samples.share(has) == pytest.approx((0.3, 0.2))
    assert samples.lift(has, 0.95).interval.estimate == pytest.approx(0.2 / 0.3)
    assert samples.expected(has) == pytest.approx(3)


def test_a_group_weighs_the_same_however_many_calls_it_has() -> None:
    groups = np.array([0] * 9 + [1, 2, 3])
    chosen = np.array([True] * 10 + [False] * 2)
    samples = Samples(groups, chosen)
    has = np.array([True] * 9 + [False] * 3)
    assert samples.share(has) == pytest.approx((0.25, 0.5))
    assert samples.chosen_ratio == 0.5
    assert samples.chosen_groups == pytest.approx(2)


def test_a_lift_of_what_was_never_chosen_has_the_exact_bound_of_poisson() -> None:
    samples = alone([True] * 100 + [False] * 100)
    has = np.array([False] * 160 + [True] * 40)
    estimate = samples.lift(has, 0.95)
    # The upper 97.5 % bound of a count of nought is -ln(0.025) = 3.6889; 20 were expected.
    assert estimate.interval.upper == pytest.approx(3.6889 / 20, abs=1e-4)
    assert estimate.p_value == pytest.approx(2 * np.exp(-20))


def test_a_difference_agrees_with_the_means_and_variances() -> None:
    samples = alone([True] * 3 + [False] * 4)
    difference = samples.difference(np.array([1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 8.0]), 0.95)
    # Means 2 and 5, variances 2/3 and 5: -3 / sqrt((2/3 + 5) / 2).
    assert (difference.chosen, difference.others) == (2.0, 5.0)
    assert difference.standardised.interval.estimate == pytest.approx(-3 / np.sqrt(17 / 6))


def test_a_number_that_never_varies_does_not_differ() -> None:
    difference = alone([True, False]).difference(np.ones(2), 0.95)
    assert difference == Difference(1.0, 1.0, difference.standardised)
    assert difference.standardised.p_value == 1.0


def test_repeating_every_call_of_a_group_changes_no_interval() -> None:
    random = np.random.default_rng(5)
    chosen, values = random.random(60) < 0.5, random.normal(size=60)
    once = Samples(np.arange(60), chosen).difference(values, 0.95)
    again = np.repeat(np.arange(60), 7)
    repeated = Samples(again, chosen[again]).difference(values[again], 0.95)
    assert repeated.standardised.interval.lower == pytest.approx(once.standardised.interval.lower)


@pytest.mark.parametrize("calls", [1, 5])
def test_intervals_hold_the_truth_in_their_share_of_draws(calls: int) -> None:
    lifts = differences = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        groups = np.repeat(np.arange(300), calls)
        shift = random.normal(size=300)[groups]
        chosen = random.random(len(groups)) < 0.4
        # What was chosen is higher by half a standard deviation of its sample.
        values = shift + 0.5 * chosen
        standardised = Samples(groups, chosen).difference(values, 0.95).standardised.interval
        differences += standardised.lower <= 0.5 <= standardised.upper
        # Of the chosen 30 % have it, of the others 45 %: 39 % of all.
        has = random.random(len(groups)) < np.where(chosen, 0.3, 0.45)
        lift = Samples(groups, chosen).lift(has, 0.95).interval
        lifts += lift.lower <= 0.3 / 0.39 <= lift.upper
    # 380 expected; the binomial band of 99.9 % is 365 to 393.
    assert 365 <= lifts <= 394
    assert 365 <= differences <= 394


def test_the_logistic_regression_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(200, 3))
    labels = features @ [1.0, -0.5, 0.0] + random.normal(size=200) > 0.7
    ours = logistic_regression(np.column_stack([np.ones(200), features]), labels)
    theirs = LogisticRegression(C=1 / RIDGE, class_weight="balanced", tol=1e-10, max_iter=1000)
    theirs.fit(features, labels)
    assert ours == pytest.approx([*theirs.intercept_, *theirs.coef_[0]], abs=1e-4)


def test_a_feature_that_tells_for_certain_has_an_auc_of_one() -> None:
    chosen = np.arange(100) < 50
    features = np.column_stack([chosen.astype(np.float64), np.ones(100)])
    assert separability(features, chosen, 0.95).interval.estimate == 1.0


def test_an_auc_is_the_mean_of_two_halves_with_the_error_of_one() -> None:
    random = np.random.default_rng(3)
    chosen = np.arange(400) < 150
    feature = random.normal(size=400) + chosen
    interval = separability(feature[:, None], chosen, 0.95).interval
    halves, variances = [], []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        x, y = feature[chosen][half], feature[~chosen][half]
        halves.append(roc_auc_score([1] * len(x) + [0] * len(y), [*x, *y]))
        above = (x[:, None] > y).mean(axis=1)
        below = (x[:, None] > y).mean(axis=0)
        # DeLong 1988, equation (5), written out pair by pair.
        variances.append(above.var(ddof=1) / len(x) + below.var(ddof=1) / len(y))
    assert interval.estimate == pytest.approx(np.mean(halves))
    margin = 1.959964 * np.sqrt(np.mean(variances))
    assert interval.upper == pytest.approx(interval.estimate + margin)


def test_samples_that_do_not_differ_are_rarely_told_apart() -> None:
    found = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        chosen = random.random(200) < 0.3
        found += separability(random.normal(size=(200, 6)), chosen, 0.95).p_value < 0.05
    assert found <= 18  # 10 expected at the most; the 99 % point of the binomial is 18
