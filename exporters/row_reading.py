"""A row of an export back to messages, whatever its format: what a verifier compares.

Each shape is known by its keys: `messages`; `prompt` and `completion` or `chosen`; `input` and
`preferred_output`; `conversations`; `text` and `label`. Of a preference pair the preferred answer
is read. What a format left out or wrote otherwise (ids, reasoning, a system message that became
part of a prompt) is not there; what users, tools and the assistant said is, character by character.

Total for what is JSON: a part of no known shape is no message. Not a check of any format's rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from storage.trace import Json, Message, Part, Role, Tool, ToolCall

Object = dict[str, Json]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
}

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class RowError(ValueError):
    """A line is not a JSON object in UTF-8, or holds no conversation."""


@dataclass(frozen=True)
class Row:
    """A conversation as it was exported; the answer comes last."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]


def read_row(line: bytes) -> Row:
    """Read a row of any format; raise RowError, which says what is wrong with the line."""
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RowError(f"is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise RowError("is not a JSON object")
    messages = tuple(_messages(row))
    if not messages:
        raise RowError(f"holds no conversation: its keys are {', '.join(sorted(row)) or 'none'}")
    given = row.get("input")
    tools = given.get("tools") if isinstance(given, dict) else row.get("tools")
    return Row(messages, tuple(_tools(tools)))


def _messages(row: Object) -> Iterator[Message]:
    match row:
        case {"messages": list(said)}:
            yield from _said(said)
        case {"input": {"messages": list(said)}, "preferred_output": list(answer)}:
            yield from _said([*said, *answer])
        case {"conversations": list(said)}:
            yield from _spoken("system", row.get("system"))
            yield from _said(said)
        case {"prompt": list(said), "completion": list(answer)}:
            yield from _said([*said, *answer])
        case {"prompt": list(said), "chosen": list(answer)}:
            yield from _said([*said, *answer])
        case {"prompt": str(said), "completion": str(answer)}:
            yield from (Message("user", said), Message("assistant", answer))
        case {"text": str(said), "label": str(answer)}:
            yield from (Message("user", said), Message("assistant", answer))


def _spoken(role: Role, text: Json) -> Iterator[Message]:
    if isinstance(text, str) and text:
        yield Message(role, text)


def _said(messages: list[Json]) -> Iterator[Message]:
    for message in messages:
        if not isinstance(message, dict):
            continue
        word = message.get("role") or message.get("from")
        role = _ROLES.get(word) if isinstance(word, str) else None
        if role is None:
            continue
        if word == "function_call":
            calls = _read_json(message.get("value"))
            listed: list[Json] = calls if isinstance(calls, list) else [calls]
            yield Message(role, None, tool_calls=tuple(_calls(listed)))
            continue
        content = message.get("content", message.get("value"))
        refusal = message.get("refusal")
        yield Message(
            role,
            _content(content, message.get("parts")),
            tool_calls=tuple(_calls(message.get("tool_calls"))),
            refusal=refusal if isinstance(refusal, str) else "",
        )


def _content(content: Json, columns: Json) -> str | tuple[Part, ...] | None:
    """Read a text, a list of parts, or the parts of a Parquet row beside an empty content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else columns
    if not isinstance(parts, list):
        return None
    return tuple(_part(part) for part in parts if isinstance(part, dict))


def _part(part: Object) -> Part:
    kind, text, url = part.get("type") or part.get("kind"), part.get("text"), part.get("url")
    if kind == "text" and isinstance(text, str):
        return Part("text", text)
    if kind == "image" and isinstance(url, str):
        return Part("image", raw={"image_url": {"url": url}})
    if kind == "image_url":
        return Part("image", raw={"image_url": part.get("image_url")})
    return Part("image" if kind == "image" else "other", raw=part)


def _calls(calls: Json) -> Iterator[ToolCall]:
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            function = call.get("function", call)
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                yield ToolCall(str(function["name"]), _text(function.get("arguments")))


def _tools(tools: Json) -> Iterator[Tool]:
    """Read tools from a list, or from the JSON of one that some formats write them as."""
    listed = _read_json(tools) if isinstance(tools, str) else tools
    for tool in listed if isinstance(listed, list) else []:
        if isinstance(tool, dict):
            function = tool.get("function", tool)
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                description = function.get("description")
                yield Tool(
                    str(function["name"]),
                    description if isinstance(description, str) else "",
                    function.get("parameters"),
                )


def _read_json(text: Json) -> Json:
    try:
        decoded: Json = msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.MsgspecError, RecursionError):
        return None
    return decoded


def _text(value: Json) -> str:
    """Write arguments that a format holds as an object as the text they came from, or nearly."""
    return value if isinstance(value, str) else _encode_sorted(value).decode()
