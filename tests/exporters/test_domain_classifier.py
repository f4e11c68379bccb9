"""The classifier tells apart what differs, and nothing else; its solver against the direct one."""

import numpy as np
import pytest
from scipy import sparse
from scipy import stats as scipy_stats

from exporters.domain_classifier import HALF_MIN, RIDGE, Texts, _solve, first_half, tell_apart
from exporters.two_samples import area_under_curve
from tests.exporters.columns_made import terms_of


def texts(count: int, seed: int, shift: float = 0.0, topic: float = 0.0) -> Texts:
    """Make texts of 30 words; `shift` moves a number, `topic` of them use 40 words more often."""
    chance = np.random.default_rng(seed)
    rows = [
        [
            *chance.zipf(1.3, 30).clip(max=5_000),
            *(chance.integers(6_000, 6_040, 6) if of_topic else ()),
        ]
        for of_topic in chance.random(count) < topic
    ]
    terms = terms_of(rows)
    numbers = np.column_stack([chance.normal(shift, 1, count), chance.normal(0, 1, count)])
    numbers[0, 0] = np.nan
    return Texts(terms.starts, terms.hashes, numbers, np.arange(count) % 2 == 0)


def test_another_topic_is_told_apart_and_its_texts_are_the_typical_ones() -> None:
    current = texts(400, 2, topic=0.3)
    judged = tell_apart(texts(400, 1), current, 0.95)
    assert judged is not None
    assert judged.p_value < 1e-4
    assert judged.auc.lower > 0.55
    assert judged.novel > 0.02
    assert judged.shares[1] > judged.shares[0]
    for row in judged.typical:
        assert current.hashes[current.starts[row] : current.starts[row + 1]].max() >= 6_000


def test_a_number_alone_is_told_apart() -> None:
    judged = tell_apart(texts(400, 1), texts(400, 2, shift=1.0), 0.95)
    assert judged is not None
    assert judged.p_value < 1e-4


def test_the_same_traffic_is_told_apart_no_more_often_than_chance_allows() -> None:
    alarms = 0
    for seed in range(100):
        judged = tell_apart(texts(100, 2 * seed), texts(100, 2 * seed + 1), 0.95)
        assert judged is not None
        alarms += judged.p_value < 0.05
    assert alarms <= scipy_stats.binom.ppf(0.99, 100, 0.05)


def test_texts_without_words_and_numbers_have_auc_one_half() -> None:
    empty = terms_of([set[int]()] * 200)
    nothing = Texts(empty.starts, empty.hashes, np.zeros((200, 0)), np.arange(200) % 2 == 0)
    judged = tell_apart(nothing, nothing, 0.95)
    assert judged is not None
    assert (judged.auc.estimate, judged.p_value, judged.novel) == (0.5, 0.5, 0.0)


def test_too_few_texts_are_not_judged() -> None:
    assert tell_apart(texts(400, 1), texts(2 * HALF_MIN - 2, 2), 0.95) is None


def test_halves_are_about_equal_and_the_same_every_time() -> None:
    call_ids = [f"{number:032x}" for number in range(1_000)]
    assert first_half(call_ids).tolist() == first_half(call_ids).tolist()
    assert 400 < int(first_half(call_ids).sum()) < 600


def test_conjugate_gradients_solve_what_the_direct_solver_does() -> None:
    chance = np.random.default_rng(3)
    words = sparse.csr_matrix(chance.normal(0, 1, (80, 300)) * (chance.random((80, 300)) < 0.1))
    numbers = chance.normal(0, 0.3, (80, 4))
    label = np.repeat([-1.0, 1.0], 40)
    kernel = (words @ words.T).toarray() + numbers @ numbers.T
    centre = np.eye(80) - 1 / 80
    expected = np.linalg.solve(centre @ kernel @ centre + RIDGE * np.eye(80), label)
    assert _solve(words, numbers, label) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_area_is_that_of_mann_and_whitney(shift: float) -> None:
    chance = np.random.default_rng(4)
    current, reference = chance.normal(shift, 1, 60), chance.normal(0, 1, 50)
    statistic = scipy_stats.mannwhitneyu(current, reference).statistic
    assert area_under_curve(current, reference)[0] == pytest.approx(statistic / (60 * 50))
