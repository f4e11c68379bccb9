"""JSON in any state is read as far as it goes, and what comes out can always be written again."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.trace import Json, Part, Understood
from storage.wire import (
    NESTING_MAX,
    TOKENS_MAX,
    Notes,
    as_count,
    as_text,
    content_of,
    error_of,
    join,
    read_json,
    read_object,
    read_stream,
    rest,
)


@pytest.mark.parametrize(
    ("data", "value", "note"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}, ""),
        (b'"\\u0000"', "\0", ""),
        (b"18446744073709551616", 2**64, ""),
        (b"\xef\xbb\xbf[]", [], ""),
        (b'"\\ud800"', "\ufffd", "x holds lone surrogates, read as U+FFFD"),
        (b'{"\\udc00": 1}', {"\ufffd": 1}, "x holds lone surrogates, read as U+FFFD"),
        (b'["\\ud83d\\ude00", NaN]', ["😀", None], "x holds numbers out of range, read as null"),
        (b"[1e999, -Infinity]", [None, None], "x holds numbers out of range, read as null"),
        (b"[1" + b"0" * 5_000 + b"]", [None], "x holds numbers out of range, read as null"),
        (b'"a\xffb"', "a\ufffdb", "x holds bytes that are not UTF-8, read as U+FFFD"),
        (b'"a\nb"', "a\nb", ""),
        (b"{", None, "x is not JSON"),
        (b"", None, "x is not JSON"),
        (b"\x1f\x8b\x08", None, "x holds bytes that are not UTF-8, read as U+FFFD; x is not JSON"),
    ],
)
def test_odd_json_is_read_and_what_was_changed_is_said(
    data: bytes, value: object, note: str
) -> None:
    notes: Notes = []
    assert read_json(data, "x", notes) == value
    assert "; ".join(notes) == note


@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 990, 5_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_nested_too_deep_is_not_read(depth: int, opening: bytes, closing: bytes) -> None:
    notes: Notes = []
    assert read_json(opening * depth + b"1" + closing * depth, "x", notes) is None
    assert notes == [f"x is nested deeper than {NESTING_MAX} levels"]


def test_json_nested_just_deep_enough_is_read() -> None:
    notes: Notes = []
    data = b"[" * NESTING_MAX + b"]" * NESTING_MAX
    assert read_json(data, "x", notes) == json.loads(data)
    assert notes == []


@given(st.binary() | st.text().map(lambda text: json.dumps(text, ensure_ascii=True).encode()))
def test_any_bytes_give_a_value_that_can_be_written(data: bytes) -> None:
    msgspec.json.encode(read_json(data, "x", []))


@given(st.lists(st.sampled_from(["\\ud83d", "\\ude00", "\\\\", "u", "\\n", "x"])).map("".join))
def test_surrogates_anywhere_give_text_that_can_be_encoded(text: str) -> None:
    value = read_json(f'"{text}"'.encode(), "x", [])
    assert isinstance(value, str)
    value.encode()


def test_something_else_than_an_object_is_said() -> None:
    notes: Notes = []
    assert read_object(b"[1]", "x", notes) == {}
    assert notes == ["x is JSON but not an object"]


def test_an_object_alone_in_an_array_is_that_object() -> None:
    assert read_object(b'[{"error": {}}]', "x", []) == {"error": {}}


def test_no_bytes_are_an_empty_object() -> None:
    notes: Notes = []
    assert read_object(b"", "x", notes) == {}
    assert notes == []


@pytest.mark.parametrize("text", ["", "x" * 2 * NESTING_MAX])
def test_an_object_over_two_lines_is_one_however_long(text: str) -> None:
    stream = read_stream(b'data: {"a":\ndata: {"b": "%b"}}\n\n' % text.encode(), [])
    assert stream.objects == [("", {"a": {"b": text}})]


def test_a_stream_gives_its_objects_by_type_else_by_name() -> None:
    stream = read_stream(b'event: a\ndata: {}\n\nevent: b\ndata: {"type": "c"}\n\n', [])
    assert stream.objects == [("a", {}), ("c", {"type": "c"})]
    assert not stream.done


def test_done_ends_a_stream_whatever_follows_on_its_line() -> None:
    stream = read_stream(b"data: [DONE] thanks\n\n", [])
    assert stream.objects == []
    assert stream.done


def test_events_that_are_no_objects_are_counted() -> None:
    notes: Notes = []
    assert len(read_stream(b"data: {}\n\ndata: 1\n\ndata: {oh\n\n", notes).objects) == 1
    assert notes == ["2 of 3 events are not JSON objects"]


def test_events_ended_by_one_line_end_are_read_one_by_one() -> None:
    stream = read_stream(b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]\n', [])
    assert [value for _, value in stream.objects] == [{"a": 1}, {"b": 2}]
    assert stream.done


def test_an_event_with_a_lone_surrogate_is_read() -> None:
    notes: Notes = []
    assert read_stream(b'data: {"a": "\\ud800"}\n\n', notes).objects == [("", {"a": "\ufffd"})]
    assert notes == ["an event holds lone surrogates, read as U+FFFD"]


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (12.0, 12), (TOKENS_MAX, TOKENS_MAX), (TOKENS_MAX + 1, None), (-1, None)]
    + [(True, None), (1.5, None), ("7", None), (None, None), ([], None), (1e300, None)],
)
def test_only_a_whole_number_in_range_is_a_count(value: Json, count: int | None) -> None:
    assert as_count(value) == count


def test_text_of_anything_keeps_what_it_said() -> None:
    values: list[Json] = ["a", None, 1, True, {"b": [None]}]
    assert [as_text(value) for value in values] == ["a", "", "1", "true", '{"b":[null]}']


def test_the_rest_of_an_object_has_no_nulls() -> None:
    assert rest({"a": 1, "b": None, "c": 2}, {"a"}) == {"c": 2}
    assert rest({"a": 1, "b": None}, {"a"}) is None


def test_one_plain_text_is_a_string_and_anything_richer_is_parts() -> None:
    marked = Part("text", "a", raw={"type": "text", "text": "a", "cache_control": {}})
    assert content_of([]) is None
    assert content_of([Part("text", "a")]) == "a"
    assert content_of([marked]) == (marked,)
    assert content_of([Part("text", "a"), Part("text", "b")]) == (
        Part("text", "a"),
        Part("text", "b"),
    )


def test_an_error_is_read_as_object_or_text() -> None:
    assert error_of({"code": 429, "message": "slow"}) == ("429", "slow")
    assert error_of({"code": None, "type": "server_error"}) == ("server_error", "")
    assert error_of("model not found") == ("", "model not found")
    assert error_of(None) == ("", "")


def test_the_same_note_is_said_once() -> None:
    joined = join(Understood(), Understood(), False, ["a", "b", "a"])
    assert joined.note == "a; b"
