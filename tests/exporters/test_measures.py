"""The table of features names every column of a window, and no other."""

import dataclasses
import random

import msgspec
import numpy as np
import pytest

from exporters.columns import COLUMNS, window_of
from exporters.drift import compare
from exporters.measures import FAMILY_SHARES, FEATURES, Number, features_of
from exporters.windows import Codes, Window
from storage.trace import Message
from tests.exporters.calls import Traffic, measured_of, window


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


def test_a_system_message_with_the_date_of_the_day_is_no_drift() -> None:
    def day(number: int) -> Window:
        chance = random.Random(number)
        system = Message("system", f"Today is 2026-11-{number}. Be brief.")
        calls = []
        for call in range(400):
            said = Traffic().understood(chance)
            said = msgspec.structs.replace(said, messages=(system, *said.messages[1:]))
            calls.append(measured_of(said, f"{number:02}{call:030x}"))
        return window_of(calls, "a day")

    report = compare(day(22), day(23))
    assert report.verdict == "quiet", report.why
    assert not report.unseen
