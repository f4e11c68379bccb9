"""An example as a row of what a trainer reads. One pair of functions for each format.

    unfit   why a call cannot be a row of the format, None if it can: it is left out and counted
    row     the row, one line of JSON without its line end; total for what is not unfit

What a row leaves out although the example has it is named by `left_out`, and counted: nothing is
dropped silently. Rows are UTF-8 as it is, keys in one order, so the same call gives the same bytes.

`openai` is the chat format of OpenAI's fine-tuning guide, which most trainers and hosts read: the
messages with the answer last, `tools` as they were offered, tool arguments as the text the
model wrote, `parallel_tool_calls` if it was sent, `weight` 0 on the turns that are not to be
trained. Its schema: FineTuneChatRequestInput in https://github.com/openai/openai-openapi.
Anthropic's and the Responses API's images and tools are rewritten to it; a URL is left a URL.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from exporters.selection import Example, Reason
from storage.trace import Json, Message, Part, Tool, ToolCall, Understood


class LeftOut(StrEnum):
    """What the example has and the row has not."""

    REASONING = "reasoning"
    OTHER_CHOICES = "other_choices"  # the second answer and those after it
    DETAILS = "details"  # cache marks, citations, signatures, ids of items


@dataclass(frozen=True)
class Format:
    """A format by name; what the functions do is in the module's docstring."""

    name: str
    unfit: Callable[[Understood], Reason | None]
    row: Callable[[Example], bytes]
    left_out: Callable[[Example], frozenset[LeftOut]]


def openai_unfit(understood: Understood) -> Reason | None:
    """Say why OpenAI's format cannot carry a call: what it has no place for, or forbids."""
    if any(tool.kind != "function" for tool in understood.tools):
        return Reason.TOOL_KIND
    answers = tuple(choice.message for choice in understood.choices[:1])
    for message in understood.messages + answers:
        if any(call.kind != "function" for call in message.tool_calls):
            return Reason.TOOL_KIND
        if (message.extra or {}).get("role"):
            return Reason.ROLE
        for part in message.content if isinstance(message.content, tuple) else ():
            if reason := _part_unfit(message, part):
                return reason
    return None


def openai_row(example: Example) -> bytes:
    """Write an example as one line of OpenAI's chat fine-tuning format."""
    row: dict[str, Json] = {
        "messages": [
            _message(message, index in example.untrained)
            for index, message in enumerate(example.messages)
        ]
    }
    if example.tools:
        row["tools"] = [_tool(tool) for tool in example.tools]
    if example.parallel_tool_calls is not None:
        row["parallel_tool_calls"] = example.parallel_tool_calls
    return msgspec.json.encode(row)


def openai_left_out(example: Example) -> frozenset[LeftOut]:
    """Name what an OpenAI row leaves out of an example."""
    left_out = set()
    if example.choice_count > 1:
        left_out.add(LeftOut.OTHER_CHOICES)
    if any(message.reasoning for message in example.messages):
        left_out.add(LeftOut.REASONING)
    if any(map(_has_details, example.messages)):
        left_out.add(LeftOut.DETAILS)
    return frozenset(left_out)


FORMATS = {
    format.name: format for format in [Format("openai", openai_unfit, openai_row, openai_left_out)]
}


def _part_unfit(message: Message, part: Part) -> Reason | None:
    match part.kind:
        case "text":
            return None
        case "audio":
            return Reason.AUDIO
        case "file":
            return Reason.FILE
        case "image" if message.role != "user":
            return Reason.IMAGE_PLACE
        case "image" if _image(part.raw or {}):
            return None
    return Reason.CONTENT_KIND


def _message(message: Message, untrained: bool) -> Json:
    row: dict[str, Json] = {"role": message.role, "content": _content(message)}
    if message.name:
        row["name"] = message.name
    if message.refusal:
        row["refusal"] = message.refusal
    if message.tool_calls:
        row["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.role == "tool":
        row["tool_call_id"] = message.tool_call_id
    if untrained:
        row["weight"] = 0
    return row


def _content(message: Message) -> Json:
    """Write the content: null only where something else speaks for the assistant."""
    if isinstance(message.content, tuple):
        return [_part(part) for part in message.content]
    if message.content is None and not message.tool_calls and not message.refusal:
        return ""
    return message.content


def _part(part: Part) -> Json:
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": _image(part.raw or {})}


def _image(raw: dict[str, Json]) -> Json:
    """Read an image of any dialect as OpenAI's object; None if only its upstream can see it."""
    image, source = raw.get("image_url"), raw.get("source")
    if isinstance(image, dict):
        return image
    if isinstance(image, str):  # Responses; Mistral
        detail = raw.get("detail")
        return {"url": image, "detail": detail} if isinstance(detail, str) else {"url": image}
    match source:  # Anthropic
        case {"type": "base64", "media_type": str(kind), "data": str(data)}:
            return {"url": f"data:{kind};base64,{data}"}
        case {"type": "url", "url": str(url)}:
            return {"url": url}
    return None


def _tool_call(call: ToolCall) -> Json:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _tool(tool: Tool) -> Json:
    """Write a tool: as it was sent if it was sent so, else from its parts."""
    raw = tool.raw or {}
    if isinstance(raw.get("function"), dict):
        return {"type": "function", "function": raw["function"]}
    function: dict[str, Json] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if isinstance(raw.get("strict"), bool):
        function["strict"] = raw["strict"]
    return {"type": "function", "function": function}


def _has_details(message: Message) -> bool:
    """Say whether a message holds more than a row of it: an empty list or null is no more."""
    parts: Sequence[Part] = message.content if isinstance(message.content, tuple) else ()
    return (
        any((message.extra or {}).values())
        or any(part.raw for part in parts if part.kind == "text")
        or any(call.raw for call in message.tool_calls)
    )
