"""What a filter may name is what is there, and is documented."""

import pytest

from storage.features import Features
from storage.filter_columns import (
    COLUMNS,
    FEATURES,
    FUNCTIONS,
    LISTS,
    Kind,
    feature_kind,
    kind_of,
    nearest,
)
from storage.filters import FilterError, compile_filter
from storage.schema import call, text_feature


def test_every_column_of_a_call_is_documented_in_a_sentence() -> None:
    assert set(COLUMNS) == set(call.c.keys()) - set(Features.__struct_fields__)
    assert all(meaning[0].isupper() and meaning[-1] in ".…" for meaning in COLUMNS.values())


def test_every_feature_of_a_call_is_documented_in_a_sentence() -> None:
    of_sample = set(text_feature.c.keys()) - {"call_id", "feature_version", "sample_bits"}
    assert set(FEATURES) == {*Features.__struct_fields__, *of_sample, "tools_offered"}
    assert all(meaning[0].isupper() or meaning[0] == "1" for meaning in FEATURES.values())
    assert all(meaning[-1] in ".…" for meaning in FEATURES.values())


def test_no_feature_has_the_name_of_a_column() -> None:
    assert not FEATURES.keys() & COLUMNS.keys()


def test_features_have_the_kind_of_what_they_hold() -> None:
    assert feature_kind("prompt_words") is feature_kind("refusal") is Kind.NUMBER
    assert feature_kind("template_hash") is feature_kind("prompt_language") is Kind.TEXT
    assert {feature_kind(name) for name in LISTS} == {Kind.LIST}


def test_columns_have_the_kind_of_what_they_hold() -> None:
    assert kind_of("id") is kind_of("outcome") is Kind.TEXT
    assert kind_of("status_code") is kind_of("duration_ms") is Kind.NUMBER
    assert kind_of("streamed") is Kind.BOOLEAN
    assert kind_of("started_at") is Kind.TIME


def test_a_misspelt_column_has_a_suggestion() -> None:
    assert "started_at" in nearest("start_at")
    assert nearest("zzzzz").startswith("there are id, started_at")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("model", "did you mean request_model or response_model?"),
        ("modle", "did you mean request_model or response_model?"),
        ("status", "did you mean status_code?"),
        ("user", "did you mean user_id?"),
        ("cost", "did you mean cost_usd?"),
    ],
)
def test_a_word_of_a_column_finds_the_column(written: str, meant: str) -> None:
    assert nearest(written) == meant


def test_every_documented_function_is_known() -> None:
    names = {signature.partition("(")[0] for signature in FUNCTIONS}
    arguments = {
        "has": "prompt_years, '2024'",
        "substr": "'a', 1, 1",
        "coalesce": "'a', 'b'",
        "abs": "1",
        "round": "1, 1",
    }
    for name in names:
        compile_filter(f"{name}({arguments.get(name, repr('a'))}) is not null")


def test_no_function_is_known_that_is_not_documented() -> None:
    for name in ("trim", "replace", "now", "load_extension", "random", "printf", "max"):
        try:
            compile_filter(f"{name}('a') is null")
        except FilterError:
            continue
        raise AssertionError(name)
