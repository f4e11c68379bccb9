"""Scores of both windows, against SciPy's."""

import msgspec
import numpy as np
import pytest
from scipy import stats

from exporters.columns import window_of
from exporters.score_shifts import score_shifts, welch_interval
from tests.exporters.calls import Traffic, drawn


def test_the_interval_is_that_of_welch() -> None:
    chance = np.random.default_rng(1)
    before, after = chance.normal(3, 1, 40), chance.normal(4, 2, 25)
    found = welch_interval(before, after)
    assert found is not None
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert found.estimate == pytest.approx(after.mean() - before.mean())
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))


def test_one_value_has_no_interval_and_equal_ones_have_none_to_speak_of() -> None:
    assert welch_interval(np.array([1.0]), np.array([1.0, 2.0])) is None
    found = welch_interval(np.ones(3), np.ones(4))
    assert found is not None
    assert (found.lower, found.upper) == (0, 0)


def test_scores_of_either_window_are_compared_by_name() -> None:
    bare = drawn(Traffic(), 4, 1)
    scored = [
        {"thumbs": 1.0, "tone": "curt"},
        {"thumbs": 0.0},
        {"judge": 0.5},
        {},
    ]
    rows = [
        msgspec.structs.replace(row, scores=of_row)
        for row, of_row in zip(bare, scored, strict=True)
    ]
    found = score_shifts(window_of(rows, "with"), window_of(bare, "without"))
    assert [(each.name, each.reference_calls, each.current_calls) for each in found] == [
        ("judge", 1, 0),
        ("thumbs", 2, 0),
    ]
    assert found[1].reference_mean == 0.5
    assert found[1].difference is None
