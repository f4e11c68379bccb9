"""Values and corrected answers as people write them."""

from typing import Any

import pytest

from shalt.corrections import read_answer, read_answer_json, read_value, refuse_unknown_tools
from storage.labels import LabelError, Value
from storage.trace import Message, Tool, ToolCall


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("true", True),
        ("False", False),
        ("4", 4),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ('"4"', "4"),
        ('"AB"', "AB"),
        ("good", "good"),
        ("0012", "0012"),
        ("null", "null"),
        ("[1]", "[1]"),
        ("half \udc80", "half \ufffd"),
    ],
)
def test_a_value_is_what_it_looks_like(typed: str, value: Value) -> None:
    read = read_value(typed)
    assert (type(read), read) == (type(value), value)


def test_a_text_or_a_chat_message_becomes_an_answer() -> None:
    assert read_answer("Paris.") == Message("assistant", "Paris.")
    assert read_answer_json(b'"Paris."') == Message("assistant", "Paris.")
    given: dict[str, Any] = {
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{ }"}},
            {"name": "g", "arguments": {"a": 1}},
        ],
    }
    calls = (ToolCall("f", "{ }", "call_1"), ToolCall("g", '{"a":1}'))
    assert read_answer(given) == Message("assistant", None, calls)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "no JSON"),
        (b"[1]", "a message is a JSON object"),
        (b'{"role": "user", "content": "x"}', "not of 'user'"),
        (b'{"tool_calls": {"name": "f"}}', "a list of objects"),
        (b'{"tool_calls": [{"function": "f"}]}', "an object with name and arguments"),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(LabelError, match=problem):
        read_answer_json(data)


def test_a_tool_must_have_been_offered() -> None:
    message = Message("assistant", None, (ToolCall("find", "{}"),))
    refuse_unknown_tools(message, (Tool("find"), Tool("other")))
    with pytest.raises(LabelError, match="offered no tool find: there are other"):
        refuse_unknown_tools(message, (Tool("other"),))
    with pytest.raises(LabelError, match="it offered none"):
        refuse_unknown_tools(message, ())
