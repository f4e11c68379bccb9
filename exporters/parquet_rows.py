"""Rows of typed columns, for analysis and for trainers of one's own: nothing is reshaped.

A row goes through the export as a line of JSON like every other, and becomes columns when the
files are put together (exporters.parquet_files). Texts stay as they are: tool arguments as the
model wrote them, reasoning, any role, tools of any kind, images by their URL. What has no column
(a file, audio, an image only its upstream can see) is in a part's `raw`, as JSON.
"""

import msgspec

from exporters.images import ALL_KINDS, Images, read_image, refusal_of_images
from exporters.row_shape import (
    PLAIN,
    Format,
    LeftOut,
    Shape,
    conversation_of,
    left_out_always,
)
from exporters.selection import Example, Reason
from storage.trace import Json, Message, Part, Understood

IMAGES = (Images.URL, Images.INLINE)


class PartColumns(msgspec.Struct, frozen=True):
    """A piece of a message: `url` for an image, `raw` for what has no text and no URL."""

    kind: str
    text: str | None = None
    url: str | None = None
    raw: str | None = None


class CallColumns(msgspec.Struct, frozen=True):
    """A tool call; `arguments` is the model's text."""

    id: str
    kind: str
    name: str
    arguments: str


class MessageColumns(msgspec.Struct, frozen=True):
    """A message: `content` if it is text alone, else `parts`. `trained`: an answer to learn."""

    role: str
    trained: bool
    content: str | None = None
    parts: tuple[PartColumns, ...] | None = None
    name: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[CallColumns, ...] | None = None
    tool_call_id: str | None = None


class ToolColumns(msgspec.Struct, frozen=True):
    """A tool that was offered; `parameters` is its schema as JSON."""

    name: str
    kind: str
    description: str | None = None
    parameters: str | None = None


class RowColumns(msgspec.Struct, frozen=True):
    """A row: the columns of the file. `rejected`: an answer that the last is preferred to."""

    call_id: str
    answer_source: str
    messages: tuple[MessageColumns, ...]
    tools: tuple[ToolColumns, ...] | None = None
    parallel_tool_calls: bool | None = None
    rejected: MessageColumns | None = None


def parquet_unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
    """Say that images are not data, where only data was asked for; all else has its column."""
    if shape.images is Images.INLINE:
        return refusal_of_images(conversation_of(understood), Images.INLINE, ALL_KINDS)
    return None


def parquet_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as one line of what its columns will hold."""
    tools = tuple(
        ToolColumns(
            tool.name,
            tool.kind,
            tool.description or None,
            None if tool.parameters is None else _json(tool.parameters),
        )
        for tool in example.tools
    )
    return msgspec.json.encode(
        RowColumns(
            example.call_id,
            example.answer_source,
            tuple(
                _message(
                    message, shape, message.role == "assistant" and index not in example.untrained
                )
                for index, message in enumerate(example.messages)
            ),
            tools or None,
            example.parallel_tool_calls,
            None if example.rejected is None else _message(example.rejected, shape, False),
        )
    )


def parquet_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what the columns leave out of an example."""
    return frozenset(left_out_always(example, shape))


PARQUET_FORMAT = Format(
    "parquet", parquet_unfit, parquet_row, parquet_left_out, images=IMAGES, suffix="parquet"
)


def _message(message: Message, shape: Shape, trained: bool) -> MessageColumns:
    content, parts = message.content, None
    if isinstance(content, tuple):
        strips = shape.images is Images.STRIP
        kept = [part for part in content if not (strips and part.kind == "image")]
        content, parts = None, tuple(map(_part, kept))
    calls = tuple(
        CallColumns(call.id, call.kind, call.name, call.arguments) for call in message.tool_calls
    )
    role = (message.extra or {}).get("role")
    return MessageColumns(
        role if isinstance(role, str) else message.role,
        trained,
        content,
        parts,
        message.name or None,
        message.reasoning or None,
        message.refusal or None,
        calls or None,
        message.tool_call_id or None,
    )


def _part(part: Part) -> PartColumns:
    if part.kind == "text":
        return PartColumns("text", part.text)
    image = read_image(part) if part.kind == "image" else None
    if image is not None:
        return PartColumns("image", url=image.url)
    return PartColumns(part.kind, part.text or None, raw=_json(part.raw))


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()
