"""Rows of chat messages: OpenAI's shape, as each trainer has it. `ChatRules` are the differences.

    openai      OpenAI's chat fine-tuning format, which most trainers and hosts read: the messages
                with the answer last, `tools` as they were offered, tool arguments as the text the
                model wrote, `parallel_tool_calls` if it was sent, `weight` 0 on the turns that are
                not to be trained. Schema: FineTuneChatRequestInput in
                https://github.com/openai/openai-openapi
    together    the same, for `check_file` of together 2.14.0: nothing beside `messages` and
                `tools`, no role `developer`, all contents as parts if one is, images as data
    fireworks   the same, with `reasoning_content`, "" where only tool calls speak, one call a turn
                (fireworks_sft.rs of TensorZero 2026.4); https://docs.fireworks.ai/fine-tuning
    axolotl     `type: chat_template`: `train: false` on the turns that are not to be trained, and
                `tools` as JSON text, for Arrow would fill schemas with nulls; text only

Anthropic's and the Responses API's images and tools are rewritten to it. No two systems read
`developer` alike: where a trainer does not know it, it is written as `system`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import jsonschema_rs
import msgspec

from exporters.arguments import read_arguments
from exporters.images import ALL_KINDS, STILL_KINDS, Images, parts_of, read_image, refusal_of_images
from exporters.row_shape import (
    PLAIN,
    Format,
    LeftOut,
    Shape,
    conversation_of,
    left_out_always,
    line,
    text_parts,
)
from exporters.selection import Example, Reason
from exporters.tool_ids import with_ids
from storage.trace import Json, Message, Part, Tool, ToolCall, Understood

SCHEMAS_KNOWN_MAX = 4096  # tool schemas remembered as valid or not: they repeat from call to call
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class ChatRules:
    """What a chat format has a place for; the defaults are OpenAI's.

    `untrained`: key and value of a turn that is not trained. `parts`: what becomes of contents in
    several pieces; `all`: every content of a row is parts if one is. `reasoning`: keys it goes to.
    `images`, `image_kinds`: see exporters.images.
    """

    untrained: tuple[str, Json] | None = ("weight", 0)
    parts: Literal["keep", "all", "join"] = "keep"
    arguments: Literal["text", "checked", "object"] = "text"  # checked: a text of an object
    tools: Literal["list", "text"] = "list"
    reasoning: tuple[str, ...] = ()
    no_content: str | None = None  # the content where only tool calls speak
    has_developer: bool = True
    has_name: bool = True
    has_refusal: bool = True
    has_parallel_setting: bool = True
    has_parallel_calls: bool = True
    names_tools_freely: bool = False  # beyond `TOOL_NAME`
    checks_schemas: bool = False
    images: tuple[Images, ...] = ()
    image_kinds: frozenset[str] = ALL_KINDS


OPENAI = ChatRules(images=(Images.URL, Images.INLINE), image_kinds=STILL_KINDS)
TOGETHER = ChatRules(
    parts="all",
    has_developer=False,
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    names_tools_freely=True,
    images=(Images.INLINE,),
    image_kinds=STILL_KINDS,
)
FIREWORKS = ChatRules(
    reasoning=("reasoning_content",),
    no_content="",
    has_developer=False,
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    has_parallel_calls=False,
    images=(Images.INLINE,),
    image_kinds=STILL_KINDS,
)
AXOLOTL = ChatRules(
    untrained=("train", False),
    parts="join",
    arguments="checked",
    tools="text",
    reasoning=("reasoning_content",),
    no_content="",
    has_developer=False,
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    names_tools_freely=True,
)


def chat_format(name: str, rules: ChatRules) -> Format:
    """Make the format of rows with `messages` and `tools`."""

    def unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
        return chat_refusal(conversation_of(understood), understood.tools, rules, shape)

    def row(example: Example, shape: Shape = PLAIN) -> bytes:
        found: dict[str, Json] = {
            "messages": write_messages(example.messages, rules, shape, example.untrained)
        }
        if example.tools:
            found["tools"] = write_tools(example.tools, rules)
        if rules.has_parallel_setting and example.parallel_tool_calls is not None:
            found["parallel_tool_calls"] = example.parallel_tool_calls
        return line(found)

    def left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
        return frozenset(left_out_of_chat(example, rules, shape))

    return Format(name, unfit, row, left_out, images=rules.images)


def chat_refusal(
    messages: Sequence[Message], tools: Sequence[Tool], rules: ChatRules, shape: Shape
) -> Reason | None:
    """Say why a conversation cannot be a row of chat messages, None if it can."""
    for tool in tools:
        if tool.kind != "function":
            return Reason.TOOL_KIND
        if not rules.names_tools_freely and not TOOL_NAME.fullmatch(tool.name):
            return Reason.TOOL_NAME
        if rules.checks_schemas and not is_schema(tool.parameters):
            return Reason.TOOL_SCHEMA
    before = None
    for message in messages:
        if reason := _message_refusal(message, rules):
            return reason
        if message.role == "tool" and not _takes_result(before):
            return Reason.TOOL_RESULTS
        before = message
    return refusal_of_images(messages, image_mode(rules, shape), rules.image_kinds)


def image_mode(rules: ChatRules, shape: Shape) -> Images | None:
    """Return what becomes of images: what was asked for, else the first that the rules have."""
    return shape.images or (rules.images[0] if rules.images else None)


def write_messages(
    messages: Sequence[Message],
    rules: ChatRules,
    shape: Shape,
    untrained: frozenset[int] = frozenset(),
) -> list[Json]:
    """Write messages as the rules have them. `untrained`: indices of turns that are not trained."""
    as_parts = rules.parts == "all" and any(map(parts_of, messages))
    return [
        _message(message, rules, shape, as_parts, index in untrained)
        for index, message in enumerate(with_ids(messages))
    ]


def write_tools(tools: Sequence[Tool], rules: ChatRules) -> Json:
    """Write tools: as they were sent if they were sent so, else from their parts."""
    written: list[Json] = [_tool(tool) for tool in tools]
    return line(written).decode() if rules.tools == "text" else written


def left_out_of_chat(example: Example, rules: ChatRules, shape: Shape) -> set[LeftOut]:
    """Name what a row of chat messages leaves out of an example."""
    left_out = left_out_always(example, shape)
    messages = example.messages
    if not rules.reasoning and any(message.reasoning for message in messages):
        left_out.add(LeftOut.REASONING)
    if not rules.has_developer and any(message.role == "developer" for message in messages):
        left_out.add(LeftOut.ROLE_DEVELOPER)
    if not rules.has_name and any(message.name for message in messages):
        left_out.add(LeftOut.NAMES)
    if not rules.has_refusal and any(message.refusal for message in messages):
        left_out.add(LeftOut.REFUSAL)
    if not rules.has_parallel_setting and example.parallel_tool_calls is not None:
        left_out.add(LeftOut.PARALLEL_SETTING)
    if rules.parts == "join" and text_parts(messages):
        left_out.add(LeftOut.TEXT_PARTS)
    return left_out


def is_schema(parameters: Json) -> bool:
    """Say whether a tool's parameters are a JSON schema of draft 7; none at all are no mistake."""
    return parameters is None or (
        isinstance(parameters, dict) and _is_schema(msgspec.json.encode(parameters, order="sorted"))
    )


@lru_cache(SCHEMAS_KNOWN_MAX)
def _is_schema(encoded: bytes) -> bool:
    # Against the meta-schema alone: compiling would follow references over the network.
    schema = msgspec.json.decode(encoded)
    return jsonschema_rs.meta.is_valid(
        {**schema, "$schema": "http://json-schema.org/draft-07/schema#"}
    )


def _takes_result(before: Message | None) -> bool:
    """Say whether a tool's result may follow: everybody refuses it, or templates drop it."""
    return before is not None and (before.role == "tool" or bool(before.tool_calls))


def _message_refusal(message: Message, rules: ChatRules) -> Reason | None:
    if message.extra and message.extra.get("role"):
        return Reason.ROLE
    for call in message.tool_calls:
        if call.kind != "function":
            return Reason.TOOL_KIND
        if not rules.names_tools_freely and not TOOL_NAME.fullmatch(call.name):
            return Reason.TOOL_NAME
        if rules.arguments != "text" and read_arguments(call.arguments) is None:
            return Reason.ARGUMENTS
    if len(message.tool_calls) > 1 and not rules.has_parallel_calls:
        return Reason.PARALLEL_CALLS
    for part in parts_of(message):
        match part.kind:
            case "text":
                pass
            case "audio":
                return Reason.AUDIO
            case "file":
                return Reason.FILE
            case "image":
                if message.role != "user":
                    return Reason.IMAGE_PLACE
            case _:
                return Reason.CONTENT_KIND
    return None


def _message(
    message: Message, rules: ChatRules, shape: Shape, as_parts: bool, untrained: bool
) -> Json:
    is_developer = message.role == "developer" and not rules.has_developer
    row: dict[str, Json] = {"role": "system" if is_developer else message.role}
    row["content"] = _content(message, rules, shape, as_parts)
    if message.reasoning:
        for key in rules.reasoning:
            row[key] = message.reasoning
    if message.name and rules.has_name:
        row["name"] = message.name
    if message.refusal and rules.has_refusal:
        row["refusal"] = message.refusal
    if message.tool_calls:
        row["tool_calls"] = [_tool_call(call, rules) for call in message.tool_calls]
    if message.role == "tool":
        row["tool_call_id"] = message.tool_call_id
    if untrained and rules.untrained:
        key, value = rules.untrained
        row[key] = value
    return row


def _content(message: Message, rules: ChatRules, shape: Shape, as_parts: bool) -> Json:
    """Write the content: without a text only where something else speaks for the assistant."""
    content = message.content
    if isinstance(content, tuple) and shape.images is Images.STRIP:
        content = tuple(part for part in content if part.kind != "image")
    if isinstance(content, tuple):
        if rules.parts == "join":
            return message.text
        return [_part(part) for part in content]
    if content is None and not rules.has_refusal:
        content = message.refusal or None
    if content is None:
        content = rules.no_content if message.tool_calls or message.refusal else ""
    if as_parts and content is not None:
        return [{"type": "text", "text": content}]
    return content


def _part(part: Part) -> Json:
    image = read_image(part) if part.kind == "image" else None
    if image is None:
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": image.as_json}


def _tool_call(call: ToolCall, rules: ChatRules) -> Json:
    arguments: Json = call.arguments
    if rules.arguments == "object":
        arguments = read_arguments(call.arguments)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _tool(tool: Tool) -> Json:
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
