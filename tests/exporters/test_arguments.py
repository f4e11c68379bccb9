"""Arguments become an object only where that changes nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.arguments import has_decimals, read_arguments
from storage.trace import Json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc"), VALUES), st.booleans())
def test_what_is_read_is_what_was_written(value: dict[str, Json], ascii_only: bool) -> None:
    assert read_arguments(json.dumps(value, ensure_ascii=ascii_only)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        (" {} ", {}),
        ('{"a": 1.10, "b": 1e2}', {"a": 1.1, "b": 100.0}),
        ('{"a": "\\u0000"}', {"a": "\x00"}),
        ('{"a": "\\ud83d\\ude42"}', {"a": "🙂"}),
        ('{"n": 9223372036854775807}', {"n": 2**63 - 1}),
    ],
)
def test_an_object_is_read(text: str, value: dict[str, Json]) -> None:
    assert read_arguments(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "London",
        "null",
        "[1]",
        '"{}"',
        '{"a": 1',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"a": 1e400}',
        '{"a": 0.12345678901234567890}',
        '{"a": 1e99999999999999999999}',
        '{"a": 9223372036854775808}',
        '{"a": "\\ud83d"}',
        '{"a": "\ud83d"}',
        '{"a": ' + "[" * 100_000,
        '{"a": ' + "9" * 5_000 + "}",
    ],
    ids=range(17),
)
def test_what_an_object_would_change_is_refused(text: str) -> None:
    assert read_arguments(text) is None


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ('{"a": 0.3}', True),
        ('{"a": [{"b": 1e-9}]}', True),
        ('{"a": 2.0, "b": 1e3, "c": "0.3", "e": 1}', False),
        ("0.3", False),
        ("", False),
    ],
)
def test_decimals_are_found_at_any_depth(text: str, has: bool) -> None:
    assert has_decimals(text) is has
