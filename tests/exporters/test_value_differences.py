"""Values of categories and sets: what grew, what vanished, what is new."""

import random

import pytest

from exporters import value_differences
from exporters.measures import FEATURES, Category, Set
from exporters.value_differences import (
    UNSEEN_MAX,
    compare_values,
    find_unseen,
    known_of,
    values_of,
)
from exporters.windows import Window
from tests.exporters.columns_made import compared, made


def feature_called(name: str) -> Category | Set:
    return next(each for each in FEATURES if isinstance(each, Category | Set) and each.name == name)


MODEL, LANGUAGE, YEARS, REFUSAL, TEMPLATE = map(
    feature_called,
    ("request_model", "prompt_language", "prompt_years", "refusal", "template_hash"),
)


def of_models(*models: str | None, prefix: str = "a") -> Window:
    return made(len(models), categories={"request_model": models}, prefix=prefix)


def test_the_correction_is_for_both_tests_of_a_category_and_for_the_share() -> None:
    both = compared(
        of_models(*["a"] * 200, *["c"] * 100), of_models(*["a"] * 200, *["b"] * 20, *["c"] * 80)
    )
    values = values_of(MODEL, both)
    whole, tenth = (compare_values(values, both, share) for share in (1.0, 0.1))
    (found,) = whole.findings
    assert found.value == "b"
    assert found.p_adjusted == pytest.approx(2 * 3 * found.p_value)
    assert tenth.p_adjusted == pytest.approx(10 * whole.p_adjusted)


def test_a_finding_names_the_calls_that_have_the_value_newest_first() -> None:
    both = compared(of_models(*["a"] * 300), of_models(*["a"] * 270, *["b"] * 30, prefix="b"))
    tested = compare_values(values_of(MODEL, both), both, 1.0)
    grown = next(finding for finding in tested.findings if finding.value == "b")
    assert grown.example_call_ids[0] == both.current.call_ids[-1]
    assert grown.unseen
    assert grown.sentence == "10 % of calls ask for b now; 0 % in the reference."


def test_a_sentence_says_a_refusal_as_a_person_would() -> None:
    before = made(1_000, categories={"refusal": ["1"] * 4 + ["0"] * 996})
    after = made(1_000, categories={"refusal": ["1"] * 31 + ["0"] * 969})
    both = compared(before, after)
    tested = compare_values(values_of(REFUSAL, both), both, 0.1)
    assert "3.1 % of answers are refusals now; 0.4 % in the reference." in [
        finding.sentence for finding in tested.findings
    ]


def test_of_two_values_the_rarer_one_is_the_one_test() -> None:
    both = compared(of_models(*["a"] * 300), of_models(*["a"] * 280, *["b"] * 20))
    (found,) = compare_values(values_of(MODEL, both), both, 1.0).findings
    assert found.value == "b"
    assert found.p_adjusted == found.p_value


def test_a_set_counts_each_of_its_values() -> None:
    before = made(500, sets={"prompt_years": [["2023"]] * 500})
    after = made(500, sets={"prompt_years": [["2023", "2024"]] * 60 + [["2023"]] * 440})
    both = compared(before, after)
    tested = compare_values(values_of(YEARS, both), both, 0.1)
    assert [finding.value for finding in tested.findings] == ["2024"]


def test_values_beyond_the_limit_have_no_test_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(value_differences, "VALUES_TESTED_MAX", 1)
    both = compared(of_models(*["a"] * 300), of_models(*["a"] * 200, *["b"] * 100))
    tested = compare_values(values_of(MODEL, both), both, 1.0)
    assert [finding.value for finding in tested.findings if finding.drift] == ["a"]


def test_many_small_moves_are_found_together() -> None:
    chance = random.Random(1)
    names = [f"model-{number}" for number in range(100)]
    moved = [0.014 if number % 2 else 0.006 for number in range(100)]
    both = compared(
        of_models(*chance.choices(names, k=20_000)),
        of_models(*chance.choices(names, moved, k=20_000)),
    )
    (found,) = [
        each for each in compare_values(values_of(MODEL, both), both, 0.1).findings if each.drift
    ]
    assert found.effect.lower < 0.2 < found.effect.upper
    assert len(found.value.split(",")) == UNSEEN_MAX


def test_equal_windows_have_no_finding() -> None:
    window = of_models(*["a", "b"] * 200)
    values = values_of(MODEL, compared(window, window))
    assert values.varies
    assert compare_values(values, compared(window, window), 1.0).findings == ()


@pytest.mark.parametrize("models", [["a"] * 300, [None] * 300, []], ids=["one", "none", "empty"])
def test_a_column_of_one_value_or_of_none_does_not_vary(models: list[str | None]) -> None:
    window = of_models(*models)
    assert not values_of(MODEL, compared(window, window)).varies


def test_calls_outside_of_the_sample_do_not_count() -> None:
    before = made(1_000, categories={"prompt_language": ["en"] * 200 + [None] * 800})
    after = made(1_000, categories={"prompt_language": ["en"] * 150 + ["es"] * 50 + [None] * 800})
    both = compared(before, after)
    tested = compare_values(values_of(LANGUAGE, both), both, 0.1)
    spanish = next(finding for finding in tested.findings if finding.value == "es")
    assert spanish.current == 0.25


def test_a_feature_that_hardly_any_call_has_is_not_tested() -> None:
    window = of_models(*["a", "b"] * 10)
    assert (
        "fewer than 30"
        in compare_values(
            values_of(MODEL, compared(window, window)), compared(window, window), 1.0
        ).note
    )


def test_unseen_values_are_listed_commonest_first_and_counted_beyond_the_list() -> None:
    many = [f"model-{number:02d}" for number in range(UNSEEN_MAX + 5)]
    unseen = find_unseen(
        values_of(MODEL, compared(of_models("a"), of_models("a", "z", "z", *many)))
    )
    assert unseen is not None
    assert unseen.value_count == len(many) + 1
    assert [value.value for value in unseen.values[:2]] == ["z", "model-00"]
    assert len(unseen.values) == UNSEEN_MAX
    assert unseen.ratio == pytest.approx((len(many) + 2) / (len(many) + 3))


def test_values_seen_before_are_not_unseen() -> None:
    assert find_unseen(values_of(MODEL, compared(of_models("a", "b"), of_models("b")))) is None


def test_nothing_is_unseen_where_the_reference_has_no_such_feature() -> None:
    assert find_unseen(values_of(MODEL, compared(made(5), of_models("a")))) is None


@pytest.mark.parametrize(("count", "listed"), [(1, False), (5, True)])
def test_a_language_is_unseen_from_its_floor_only(count: int, listed: bool) -> None:
    before = made(200, categories={"prompt_language": ["en"] * 200})
    after = made(200, categories={"prompt_language": ["en"] * (200 - count) + ["es"] * count})
    assert (find_unseen(values_of(LANGUAGE, compared(before, after))) is not None) is listed


def test_what_is_known_of_a_reference_is_every_value_it_has() -> None:
    assert known_of(of_models("a", "b", None), MODEL) == frozenset({"a", "b"})


def of_templates(*names: str) -> Window:
    return made(len(names), categories={"template_hash": names})


@pytest.mark.parametrize(("once", "expected"), [(9, False), (10, False), (11, True)])
def test_new_templates_say_nothing_where_one_call_in_a_hundred_had_one_of_its_own(
    once: int, expected: bool
) -> None:
    before = of_templates(*["a"] * (1_000 - once), *(f"its own {each}" for each in range(once)))
    values = values_of(TEMPLATE, compared(before, of_templates("new")))
    assert (find_unseen(values) is None) is expected
    assert (known_of(before, TEMPLATE) is None) is expected


def test_nine_values_of_their_own_are_too_few_to_expect_new_ones_from() -> None:
    before = of_templates(*["a"] * 200, *(f"its own {each}" for each in range(9)))
    assert find_unseen(values_of(TEMPLATE, compared(before, of_templates("new")))) is not None


def test_a_new_model_is_unseen_however_many_there_were() -> None:
    before = of_models(*(f"its own {each}" for each in range(100)))
    assert find_unseen(values_of(MODEL, compared(before, of_models("new")))) is not None
    assert known_of(before, MODEL) is not None
