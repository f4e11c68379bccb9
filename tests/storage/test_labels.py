"""The vocabulary of what is said of answers: what is refused, and that it comes back as it was."""

import math
from typing import Any

import msgspec
import pytest

from storage.labels import (
    TEXT_CHARS_MAX,
    LabelError,
    Score,
    Value,
    check_label,
    check_score,
    decode_label,
    decode_message,
    encode_message,
    id_of_key,
)
from storage.trace import Message, Part, ToolCall
from tests.storage.saying import label, score

RICH = Message(
    "assistant",
    (Part("text", "naïve \0 日本"), Part("image", raw={"image_url": {"url": "data:x"}})),
    (ToolCall("find", '{"city": "Zürich"}', "call_1", raw={"id": "call_1", "index": 0}),),
    reasoning="because",
    extra={"annotations": [1, None, {"a": 2.5}]},
)


@pytest.mark.parametrize("message", [Message("assistant", "Yes."), RICH])
def test_a_message_comes_back_as_it_was_written(message: Message) -> None:
    assert decode_message(encode_message(message)) == message
    frame = msgspec.msgpack.encode(label(1, 1, message=message))
    assert decode_label(frame) == label(1, 1, message=message)


@pytest.mark.parametrize("value", [True, False, 0.0, 4.0, -1.5, "wrong tone"])
def test_a_value_keeps_its_kind(value: Value) -> None:
    frame = msgspec.msgpack.encode(score(1, 1, value))
    read = msgspec.msgpack.decode(frame, type=Score)
    assert (type(read.value), read.value) == (type(value), value)


def test_a_key_gives_one_id_for_each_thing_said() -> None:
    ids = {
        id_of_key(project, key, what)
        for project in ("a", "b")
        for key in ("1", "2")
        for what in ("score", "label")
    }
    assert len(ids) == 8
    assert all(len(each) == 32 and each[12] == each[16] == "8" for each in ids)
    assert id_of_key("a", "1", "score") in ids


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": " "}, "name: 1 to 64"),
        ({"name": "a\nb"}, "name: 1 to 64"),
        ({"name": "x" * 65}, "name: 1 to 64"),
        ({"value": math.nan}, "a number from"),
        ({"value": math.inf}, "a number from"),
        ({"value": 2.0**60}, "a number from"),
        ({"value": 10**400}, "a number from"),
        ({"value": "x" * (TEXT_CHARS_MAX + 1)}, "value: 10001 characters"),
        ({"comment": "x" * (TEXT_CHARS_MAX + 1)}, "comment: 10001 characters"),
        ({"author": "x" * 201}, "author: 201"),
        ({"provider_id": "chatcmpl-1"}, "in one way"),
        ({"call_id": ""}, "in one way"),
        ({"call_id": "", "session_id": "x" * 1001}, "session: 1001"),
    ],
)
def test_a_score_beyond_the_limits_is_refused(fields: dict[str, Any], problem: str) -> None:
    check_score(score(1, 1))
    with pytest.raises(LabelError, match=problem):
        check_score(score(1, 1, **fields))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message("user", "Hello"), "not of the user"),
        (Message("assistant"), "this one has neither"),
        (Message("assistant", tool_calls=(ToolCall("", "{}"),)), "names its function"),
        (Message("assistant", tool_calls=(ToolCall("find", "{city}"),)), "no JSON: "),
        (Message("assistant", tool_calls=(ToolCall("find", "[1]"),)), "no JSON object"),
        (Message("assistant", "\ud800"), "half a surrogate pair"),
        (Message("assistant", "x" * 2**20), "bytes as JSON"),
    ],
)
def test_what_is_no_answer_of_an_assistant_is_refused(message: Message, problem: str) -> None:
    check_label(label(1, 1, message=RICH))
    with pytest.raises(LabelError, match=problem):
        check_label(label(1, 1, message=message))
