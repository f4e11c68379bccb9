"""The table of features names every column of a window, and no other."""

import dataclasses

import numpy as np
import pytest

from exporters.columns import COLUMNS
from exporters.measures import FEATURES, FAMILY_SHARES, Number, features_of
from exporters.windows import Codes
from tests.exporters.calls import Traffic, window


def test_every_column_of_a_window_is_looked_at_as_what_it_is() -> None:
    assert {(each.name, each.kind) for each in FEATURES} == {
        (column.name, column.kind) for column in COLUMNS
    }


def test_names_are_there_once() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def test_all_of_alpha_is_shared_and_no_more() -> None:
    assert sum(FAMILY_SHARES.values()) == pytest.approx(1.0)


def test_every_number_says_where_its_value_stands() -> None:
    numbers = [feature for feature in FEATURES if isinstance(feature, Number)]
    assert all(feature.says.count("{}") == 1 for feature in numbers)


def test_scores_that_both_windows_have_join_the_features() -> None:
    plain = window(Traffic(), 10, 1)
    scored = dataclasses.replace(
        plain,
        numbers={**plain.numbers, "score:{judge}": np.ones(10)},
        categories={**plain.categories, "score:check": Codes(np.zeros(10, np.int32), ("good",))},
    )
    joined = features_of(scored, scored)[len(FEATURES) :]
    assert [(each.name, each.kind) for each in joined] == [
        ("score:{judge}", "number"),
        ("score:check", "category"),
    ]
    assert features_of(plain, scored) == FEATURES
