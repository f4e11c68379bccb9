"""Numbers of two windows: what differs, where, and what nobody has."""

import numpy as np
import pytest

from exporters.measures import FEATURES, Number
from exporters.number_differences import (
    VALUES_MIN,
    compare_numbers,
    distribution_of,
    varying_numbers,
)
from tests.exporters.columns_made import compared, made

WORDS, COST, LENGTH = (
    next(each for each in FEATURES if isinstance(each, Number) and each.name == name)
    for name in ("prompt_words", "cost_usd", "prompt_word_length")
)
CHANCE = np.random.default_rng(1)
FEW, MANY = CHANCE.poisson(20, 1_000), CHANCE.poisson(30, 1_000)


def test_a_shift_says_where_the_windows_are_furthest_apart() -> None:
    both = compared(
        made(1_000, numbers={"prompt_words": FEW}), made(1_000, numbers={"prompt_words": MANY})
    )
    (tested,) = compare_numbers([WORDS], both, 0.5)
    (finding,) = tested.findings
    assert finding.drift
    assert finding.value == "> 25"
    assert finding.current == pytest.approx((MANY > 25).mean())
    assert "of prompts have more than 25 words now" in finding.sentence
    assert finding.p_adjusted == pytest.approx(2 * finding.p_value)


def test_a_sentence_has_the_unit_of_the_feature() -> None:
    both = compared(
        made(1_000, numbers={"prompt_word_length": FEW * 10}),
        made(1_000, numbers={"prompt_word_length": MANY * 10}),
    )
    (tested,) = compare_numbers([LENGTH], both, 1.0)
    assert "have words of more than 2.5 characters" in tested.findings[0].sentence


def test_calls_that_have_no_number_any_more_are_a_finding() -> None:
    lacking = np.where(np.arange(1_000) < 100, np.nan, 1.0)
    both = compared(
        made(1_000, numbers={"cost_usd": np.ones(1_000)}),
        made(1_000, numbers={"cost_usd": lacking}),
    )
    (tested,) = compare_numbers([COST], both, 1.0)
    assert [finding.value for finding in tested.findings] == ["none"]
    assert tested.findings[0].sentence == (
        "10 % of calls have no cost_usd now; 0 % in the reference."
    )


@pytest.mark.parametrize(
    "column", [np.ones(50), np.full(50, np.nan), np.zeros(50)], ids=["one", "none", "nought"]
)
def test_a_column_of_one_value_or_of_none_does_not_vary(
    column: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> None:
    both = compared(made(50, numbers={"cost_usd": column}), made(50, numbers={"cost_usd": column}))
    assert varying_numbers([COST, WORDS], both) == set()


def test_a_column_that_one_window_lacks_is_found_by_who_has_it() -> None:
    both = compared(made(300, numbers={"cost_usd": np.ones(300)}), made(300))
    assert varying_numbers([COST], both) == {"cost_usd"}
    (tested,) = compare_numbers([COST], both, 1.0)
    assert tested.drift


def test_too_few_numbers_are_not_tested() -> None:
    few = np.arange(VALUES_MIN - 1)
    both = compared(
        made(len(few), numbers={"prompt_words": few}), made(len(few), numbers={"prompt_words": few})
    )
    (tested,) = compare_numbers([WORDS], both, 1.0)
    assert "fewer than 30" in tested.note
    assert (tested.p_adjusted, tested.effect) == (1.0, None)


def test_equal_windows_have_p_one() -> None:
    window = made(1_000, numbers={"prompt_words": FEW})
    (tested,) = compare_numbers([WORDS], compared(window, window), 0.01)
    assert (tested.p_adjusted, tested.findings) == (1.0, ())


def test_the_bars_of_a_chart_hold_every_value() -> None:
    skewed = np.random.default_rng(2).lognormal(3, 2, 1_000)
    for sides in ((skewed, 2 * skewed), (np.ones(5), np.ones(7)), (FEW, MANY)):
        shown = distribution_of((sides[0].astype(np.float64), sides[1].astype(np.float64)))
        assert len(shown.edges) == len(shown.reference) + 1 == len(shown.current) + 1
        assert sum(shown.reference) == pytest.approx(1.0)
        assert sum(shown.current) == pytest.approx(1.0)
