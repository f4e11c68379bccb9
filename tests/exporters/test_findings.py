"""How shares and values are written for a person."""

import pytest

from exporters import findings
from exporters.findings import Effect, percent, shown


@pytest.mark.parametrize(
    ("lower", "upper", "bound"), [(0.1, 0.3, 0.1), (-0.3, -0.1, 0.1), (-0.1, 0.3, 0.0)]
)
def test_the_bound_of_an_effect_is_the_least_change_it_holds(
    lower: float, upper: float, bound: float
) -> None:
    assert Effect((lower + upper) / 2, lower, upper).bound == bound


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.00001, "less than 0.1 %"),
        (0.102, "10.2 %"),
        (0.5, "50 %"),
        (0.99999, "more than 99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_that_is_not_nought_or_all_never_looks_like_it(share: float, text: str) -> None:
    assert percent(share) == text


def test_what_a_client_sent_is_shown_without_line_ends_and_escapes() -> None:
    assert shown("gpt\n\x1b[31m4") == "gpt??[31m4"
    assert shown("") == "none"
    assert len(shown("x" * 500)) == findings.SHOWN_CHARS_MAX
