"""Tests of importers.fields."""

import pytest

from importers.fields import as_tags, between_ns, first_time_ns, flat_metadata, parsed, time_ns
from storage.trace import Json

TIME_NS = 1_790_000_000_250_000_000


@pytest.mark.parametrize(
    "value",
    [
        "2026-09-21T14:13:20.250Z", "2026-09-21 14:13:20.250000", "2026-09-21T16:13:20.25+02:00",
        1_790_000_000.25, "1790000000.25", 1_790_000_000_250, "1790000000250",
        1_790_000_000_250_000, 1_790_000_000_250_000_000, "1790000000250000000",
    ],
)  # fmt: skip
def test_a_time_is_read_in_any_notation(value: Json) -> None:
    assert time_ns(value) == TIME_NS


@pytest.mark.parametrize("value", [None, "", "soon", True, 0, -1, {}, [], float("nan"), "1" * 30])
def test_what_is_no_time_is_none(value: Json) -> None:
    assert time_ns(value) is None


def test_the_first_field_that_holds_a_time_counts() -> None:
    assert first_time_ns({"a": "", "b": 1_790_000_000, "c": 1}, "abc") == 1_790_000_000 * 10**9
    assert first_time_ns({}, "abc") is None


def test_a_duration_needs_both_its_ends() -> None:
    assert (between_ns(5, 7), between_ns(7, 5), between_ns(None, 7)) == (2, 0, 0)


def test_only_text_that_is_json_is_read_as_such() -> None:
    assert parsed(' {"a": 1}') == {"a": 1}
    assert parsed("[1, 2]") == [1, 2]
    for plain in ("{braces}", "7", "true", "", None, 7):
        assert parsed(plain) == plain


def test_short_scalars_are_tags_and_the_rest_is_kept() -> None:
    tags, rest = as_tags({"a": "x", "b": 7, "c": None, "d": [1], "e": "y" * 300, "f": True})
    assert tags == {"a": "x", "b": "7", "f": "true"}
    assert rest == {"d": [1], "e": "y" * 300}


def test_metadata_is_an_object_of_texts() -> None:
    assert flat_metadata('{"a": 1, "b": {"c": 2}, "d": null}') == {"a": "1", "b": '{"c":2}'}
    assert flat_metadata("text") == {}
