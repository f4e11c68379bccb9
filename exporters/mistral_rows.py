"""Rows for Mistral's trainers, by the rules of mistral-common's tokenizers 3, 7 and 11.

OpenAI's shape with ids of nine characters, `weight` 0 or 1, and what the validators ask for:
a text or tool calls and not both (version 3), a result for every call before the next answer,
names of 1 to 64 characters, parameters that are a JSON schema, no system message after an answer.
Source: `protocol/instruct/validator.py` of mistral-common 1.13, mode `finetuning`.
"""

from collections.abc import Sequence

import msgspec

from exporters.chat_rows import (
    ChatRules,
    chat_refusal,
    left_out_of_chat,
    write_messages,
    write_tools,
)
from exporters.images import Images
from exporters.row_shape import PLAIN, Format, LeftOut, Shape, conversation_of, line
from exporters.selection import Example, Reason
from exporters.tool_ids import with_ids_of_nine
from storage.trace import Json, Message, Role, Understood

MISTRAL = ChatRules(
    no_content="",
    has_developer=False,
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    checks_schemas=True,
    images=(Images.URL, Images.INLINE),
)
# What may follow what.
_FOLLOWS: dict[Role, frozenset[Role]] = {
    "system": frozenset({"system", "developer", "user", "assistant"}),
    "developer": frozenset({"system", "developer", "user", "assistant"}),
    "user": frozenset({"system", "developer", "user", "assistant"}),
    "assistant": frozenset({"assistant", "user", "tool"}),
    "tool": frozenset({"assistant", "user", "tool"}),
}


def mistral_unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
    """Say why mistral-common would refuse a call, None if it would not."""
    messages = conversation_of(understood)
    return chat_refusal(messages, understood.tools, MISTRAL, shape) or _refusal(messages)


def mistral_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as one line that mistral-finetune reads."""
    messages = with_ids_of_nine(example.messages)
    row: dict[str, Json] = {"messages": write_messages(messages, MISTRAL, shape, example.untrained)}
    if example.tools:
        # Without parameters a function takes none; this validator wants that said.
        tools = [
            tool
            if tool.parameters is not None
            else msgspec.structs.replace(
                tool, parameters={"type": "object", "properties": {}}, raw=None
            )
            for tool in example.tools
        ]
        row["tools"] = write_tools(tools, MISTRAL)
    return line(row)


def mistral_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what a row for Mistral leaves out of an example."""
    return frozenset(left_out_of_chat(example, MISTRAL, shape))


MISTRAL_FORMAT = Format(
    "mistral", mistral_unfit, mistral_row, mistral_left_out, images=MISTRAL.images
)


def _refusal(messages: Sequence[Message]) -> Reason | None:
    unanswered = 0
    before: Message | None = None
    for message in messages:
        if before is not None and message.role not in _FOLLOWS[before.role]:
            return Reason.TURN_ORDER
        if message.role == "assistant":
            if unanswered:
                return Reason.TOOL_RESULTS
            unanswered = len(message.tool_calls)
            speaks = bool(message.text or message.refusal)
            if speaks and message.tool_calls:
                return Reason.CONTENT_WITH_CALLS
            if not speaks and not message.tool_calls:
                return Reason.EMPTY_TURN
        elif message.role == "tool":
            unanswered -= 1
            if unanswered < 0:
                return Reason.TOOL_RESULTS
        before = message
    return None
