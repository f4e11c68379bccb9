"""What one feature's tests say, corrected for all the others."""

import pytest

from exporters import findings
from exporters.findings import find, find_unseen, percent, shown, varies
from exporters.measures import FEATURES, Feature
from exporters.windows import Measured
from storage.trace import Understood
from tests.exporters.calls import measured_of

MODEL, YEARS, WORDS = (
    next(feature for feature in FEATURES if feature.name == name)
    for name in ("request_model", "prompt_years", "prompt_words")
)


def rows(*models: str) -> list[Measured]:
    return [
        measured_of(Understood(request_model=model), f"{number:032x}")
        for number, model in enumerate(models)
    ]


@pytest.mark.parametrize("feature", FEATURES)
def test_equal_windows_have_no_finding(feature: Feature) -> None:
    same = rows(*["a", "b"] * 200)
    assert find(feature, same, same, 0.05, 1) == (1.0, [])
    assert varies(feature, same, same) is (feature is MODEL)


def test_the_p_value_grows_with_the_number_of_features() -> None:
    before, after = rows(*["a"] * 300), rows(*["a"] * 280, *["b"] * 20)
    alone, found = find(MODEL, before, after, 0.001, 1)
    among, _ = find(MODEL, before, after, 0.001, 10)
    assert among == pytest.approx(10 * alone)
    assert {finding.value for finding in found} == {"a", "b"}
    # A category has two tests, of which each value is one of as many as could stand out.
    assert found[0].p_adjusted >= 2 * found[0].p_value


def test_values_beyond_the_limit_have_no_test_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(findings, "VALUES_TESTED_MAX", 1)
    _, found = find(MODEL, rows(*["a"] * 300), rows(*["a"] * 200, *["b"] * 100), 0.001, 1)
    assert [finding.value for finding in found if finding.drift] == ["a"]


def test_unseen_values_are_listed_commonest_first_and_counted_beyond_the_list() -> None:
    many = [f"model-{number:02d}" for number in range(findings.UNSEEN_MAX + 5)]
    unseen = find_unseen(MODEL, rows("a"), rows("a", "z", "z", *many))
    assert unseen is not None
    assert unseen.value_count == len(many) + 1
    assert [value.value for value in unseen.values[:2]] == ["z", "model-00"]
    assert len(unseen.values) == findings.UNSEEN_MAX


def test_a_number_has_no_unseen_values() -> None:
    assert find_unseen(WORDS, rows("a"), rows("b")) is None


def test_values_seen_before_are_not_unseen() -> None:
    assert find_unseen(MODEL, rows("a", "b"), rows("b")) is None


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
