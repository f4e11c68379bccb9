"""What people write into scores and labels, read: values, corrected answers, tool calls.

A corrected answer is a text, or a message of the assistant as chat completions have it
(https://platform.openai.com/docs/api-reference/chat/object): `content`, `tool_calls`, or both. The
arguments of a tool call are JSON text, or an object, which is written as such. `role` may be left
out.
"""

import msgspec

from storage.labels import LabelError, Value
from storage.rows import storable
from storage.trace import Json, Message, Tool
from storage.wire_openai import read_request


def read_value(text: str) -> Value:
    """Read a value as it is typed: true, false, a number, or else a text (in quotes, or not)."""
    try:
        value = msgspec.json.decode(text.strip().lower() if len(text) < 6 else text)
    except (msgspec.DecodeError, UnicodeError):
        return storable(text)
    if isinstance(value, str):
        return storable(msgspec.json.decode(text, type=str))
    return value if isinstance(value, bool | int | float) else storable(text)


def read_answer(correction: str | dict[str, Json]) -> Message:
    """Make a message of a corrected answer. Raise LabelError where it cannot be one."""
    if isinstance(correction, str):
        return Message("assistant", storable(correction))
    given = {"role": "assistant"} | correction
    if given["role"] != "assistant":
        raise LabelError(f"a label is a message of the assistant, not of {given['role']!r}")
    if "tool_calls" in given:
        given["tool_calls"] = _tool_calls(given["tool_calls"])
    notes: list[str] = []
    messages = read_request({"messages": [given]}, notes).messages
    if notes or len(messages) != 1:
        raise LabelError(f"the message cannot be understood: {'; '.join(notes)}")
    return messages[0]


def read_answer_json(data: bytes) -> Message:
    """Make a message of JSON: of a text in quotes, or an object. Raise LabelError."""
    try:
        found: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise LabelError(f"this is no JSON: {error}") from None
    if isinstance(found, str | dict):
        return read_answer(found)
    raise LabelError('a message is a JSON object such as {"role": "assistant", "content": "…"}')


def refuse_unknown_tools(message: Message, offered: tuple[Tool, ...]) -> None:
    """Raise LabelError where a message calls a tool that the call did not offer."""
    names = {tool.name for tool in offered if tool.name}
    for called in message.tool_calls:
        if called.name not in names:
            there = f"there are {', '.join(sorted(names))}" if names else "it offered none"
            raise LabelError(f"the call offered no tool {called.name}: {there}; --force, if meant")


def _tool_calls(given: Json) -> Json:
    """Write arguments that are objects as the text that a model would have sent."""
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise LabelError("tool_calls is a list of objects")
    calls: list[Json] = []
    for each in given:
        assert isinstance(each, dict)
        function = each.get("function", each)
        if not isinstance(function, dict):
            raise LabelError("the function of a tool call is an object with name and arguments")
        arguments = function.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        calls.append(
            {
                "type": "function",
                **{key: value for key, value in each.items() if key in ("id", "type")},
                "function": {"name": function.get("name", ""), "arguments": arguments},
            }
        )
    return calls
