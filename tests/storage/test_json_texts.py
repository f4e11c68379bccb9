"""Which texts are JSON, were meant to be, or are something else; and their fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.json_texts import CHARS_MAX, FIELDS_MAX, NO_JSON, fields_of, keys_hash, read_json
from storage.trace import Json


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1}', "object"),
        (' \n{\n "a": [1]}\n', "object"),
        ('```json\n{"a": 1}\n```', "object"),
        ('```\n[{"a": 1}]\n``` as you wished', "array"),
        ("[1, 2]", "array"),
        ("{}", "object"),
        ("[]", "array"),
        ('{"a": 1', "broken"),
        ('{"a": 1} and so on', "broken"),
        ('{"a": "\ud800"}', "broken"),
        ("{", "broken"),
        ("{name} is a placeholder", ""),
        ("[INST] hello [/INST]", ""),
        ("[1] A. Author, A book", ""),
        ("```python\nprint(1)\n```", ""),
        ("12", ""),
        ('"text"', ""),
        ("", ""),
    ],
)
def test_kinds_by_hand(text: str, kind: str) -> None:
    assert read_json(text).kind == kind


def test_a_text_that_is_too_long_is_not_parsed() -> None:
    assert read_json("[" + " " * CHARS_MAX + "]") == NO_JSON


def test_nesting_without_end_is_broken() -> None:
    assert read_json("[" * 10_000).kind == "broken"


def test_keys_are_the_same_in_any_order_and_with_any_value() -> None:
    assert keys_hash({"a": 1, "b": [2]}) == keys_hash({"b": None, "a": {}}) != ""
    assert keys_hash({"a": 1}) != keys_hash({"b": 1})
    assert keys_hash({"ab": 1}) != keys_hash({"a": 1, "b": 1})
    assert keys_hash([]) == keys_hash({}) == keys_hash(None) == ""


def test_fields_have_paths_and_short_values() -> None:
    value: Json = {"a": {"b": 1, "long": "x" * 65}, "c": ["x", {"d": None}], "e": True}
    assert list(fields_of(value)) == [
        ("a", None),
        ("a.b", "1"),
        ("a.long", None),
        ("c", None),
        ("c[]", "x"),
        ("c[]", None),
        ("c[].d", "null"),
        ("e", "true"),
    ]


def test_fields_are_bounded() -> None:
    assert len(list(fields_of(list(range(FIELDS_MAX * 2))))) == FIELDS_MAX


@given(st.text(st.sampled_from('{}[]":,1a` \n'), max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    read = read_json(text)
    assert (read.kind in ("object", "array")) == (read.value is not None)
