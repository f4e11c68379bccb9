"""Examples for the tests of rows: made of messages, tools and what the call said."""

import json

from exporters.formats import FORMATS
from exporters.row_shape import PLAIN, Shape
from exporters.selection import Example, Reason
from storage.derive import derive
from storage.trace import Choice, Json, Message, Part, Tool, ToolCall, Understood
from tests.exporters.calls import chat

PIXEL = "data:image/png;base64,iVBORw0KGgo="
USER = Message("user", "hello")
ANSWER = Message("assistant", "good day")


def example(
    *messages: Message,
    tools: tuple[Tool, ...] = (),
    untrained: frozenset[int] = frozenset(),
    rejected: Message | None = None,
    parallel_tool_calls: bool | None = None,
    choice_count: int = 1,
) -> Example:
    """Make an example of messages, the answer last."""
    return Example(
        "0" * 32,
        messages,
        tools,
        parallel_tool_calls,
        untrained,
        (),
        choice_count,
        rejected=rejected,
    )


def understood(*messages: Message, tools: tuple[Tool, ...] = ()) -> Understood:
    """Make what a call said, the answer last."""
    return Understood(messages=messages[:-1], tools=tools, choices=(Choice(messages[-1]),))


def refusal(
    name: str, *messages: Message, tools: tuple[Tool, ...] = (), shape: Shape = PLAIN
) -> Reason | None:
    """Say why a call is no row of a format."""
    return FORMATS[name].unfit(understood(*messages, tools=tools), shape)


def row(name: str, one: Example, shape: Shape = PLAIN) -> dict[str, Json]:
    """Write a row of a format and read it again."""
    written: dict[str, Json] = json.loads(FORMATS[name].row(one, shape))
    return written


def calling(*calls: ToolCall, content: str | None = None) -> Message:
    """Say nothing but tool calls, unless there is a text."""
    return Message("assistant", content, tool_calls=calls)


def picture(url: str = PIXEL) -> Message:
    """Ask about an image."""
    image = Part("image", raw={"type": "image_url", "image_url": {"url": url}})
    return Message("user", (Part("text", "what is it?"), image))


def recorded_example(messages: list[dict[str, Json]], tools: Json = None) -> Example:
    """Make an example of a conversation in OpenAI's words, by way of the wire."""
    span = derive(chat(1, messages[:-1], messages[-1], tools=tools))
    return example(
        *span.understood.messages,
        span.understood.choices[0].message,
        tools=span.understood.tools,
    )
