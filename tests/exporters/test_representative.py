"""A fair draw of groups passes at the stated rate; a chosen test side is told from the rest."""

from dataclasses import replace

import numpy as np
from scipy import stats

from exporters.representative import FALSE_ALARM_RATE, GROUPS_MIN, Groups, fairness
from exporters.two_samples import BoolArray

SALTS = 200


def traffic(count: int, seed: int = 1) -> Groups:
    """Groups with numbers that go together, and a category that has its own."""
    random = np.random.default_rng(seed)
    words = np.rint(random.lognormal(3, 0.7, count))
    return Groups(
        test=np.zeros(count, dtype=np.bool_),
        numbers={
            "words": words,
            "turns": random.integers(1, 6, count).astype(np.float64),
            "characters": words * random.uniform(4, 6, count),
        },
        categories={
            "model": random.choice(["tiny", "large"], count, p=[0.8, 0.2]).tolist(),
            "template": [f"t{number % 40}" for number in range(count)],
        },
    )


def drawn(count: int, seed: int) -> BoolArray:
    return np.random.default_rng(1000 + seed).random(count) < 0.1


def rejected(groups: Groups) -> bool:
    found = fairness(groups)
    assert found is not None
    return bool(found.failed)


def test_fair_draws_fail_at_no_more_than_the_stated_rate() -> None:
    groups = traffic(600)
    alarms = sum(rejected(replace(groups, test=drawn(600, salt))) for salt in range(SALTS))
    assert alarms <= stats.binom.isf(0.001, SALTS, FALSE_ALARM_RATE)


def test_the_longest_by_hand_are_rejected() -> None:
    groups = traffic(600)
    words = groups.numbers["words"]
    assert rejected(replace(groups, test=words >= np.quantile(words, 0.9)))


def test_a_test_side_without_one_model_is_rejected() -> None:
    groups = traffic(2000)
    test = drawn(2000, 1) & (np.array(groups.categories["model"]) == "tiny")
    found = fairness(replace(groups, test=test))
    assert found is not None
    assert found.failed[0].feature == "model"


def test_what_only_features_together_show_is_found_by_the_classifier() -> None:
    random = np.random.default_rng(4)
    first, second = random.normal(size=(2, 4000)) + 20
    test = drawn(4000, 2) & (np.abs(first - second) < 3)
    # Test groups have both numbers a little lower, neither of them by much.
    first, second = first - 0.18 * test, second - 0.18 * test
    numbers = {f"n{place}": number for place, number in enumerate((first, second))}
    more = {f"m{place}": random.normal(size=4000) - 0.18 * test + 20 for place in range(4)}
    found = fairness(Groups(test, numbers | more, {}))
    assert found is not None
    assert found.tests[0].test == "classifier"
    assert found.failed


def test_too_few_groups_are_not_tested() -> None:
    groups = traffic(100)
    few = np.arange(100) < GROUPS_MIN - 1
    assert fairness(replace(groups, test=few)) is None


def test_groups_that_are_all_alike_are_fair() -> None:
    same = Groups(np.arange(100) < 50, {"words": np.ones(100)}, {"model": ["tiny"] * 100})
    found = fairness(same)
    assert found is not None
    assert (found.tests, found.auc, found.failed) == ((), 0.5, ())
