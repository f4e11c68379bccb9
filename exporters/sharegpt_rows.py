"""Rows for LLaMA-Factory: `conversations`, `system` and `tools`, `formatting: sharegpt`.

Its converter wants strict alternation (human or observation, then gpt or function_call), skips
with a warning what has not, and knows no text beside a tool call: what it would skip is no row
here. Tool calls are JSON text with the model's arguments in it. `system` and `tools` are always
there, empty if there are none, for a column that begins empty has no type.

It trains every answer, or with `mask_history` the last one; the llamafactory.yml of an export
says which. So an example with untrained turns is a row only where the whole export is so
(`--turns last`). Reasoning is left out: each of its templates writes it in words of its own.
Source: `data/converter.py` and `data/formatter.py` of llamafactory 0.9.5.
"""

from collections.abc import Sequence

from exporters.arguments import read_arguments
from exporters.chat_rows import ChatRules, chat_refusal, left_out_of_chat, write_tools
from exporters.row_shape import PLAIN, Format, LeftOut, Shape, conversation_of, line
from exporters.selection import Example, Reason
from storage.trace import Json, Message, Understood

SHAREGPT = ChatRules(
    untrained=None,
    parts="join",
    arguments="checked",
    has_developer=False,
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    names_tools_freely=True,
)
_SYSTEM = ("system", "developer")


def sharegpt_unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
    """Say why LLaMA-Factory would skip a call, None if it would not."""
    messages = conversation_of(understood)
    return chat_refusal(messages, understood.tools, SHAREGPT, shape) or _refusal(messages)


def sharegpt_unfit_row(example: Example, shape: Shape = PLAIN) -> Reason | None:
    """Refuse untrained turns, unless the trainer is told of them for the whole file."""
    return Reason.UNTRAINED_TURN if example.untrained and not shape.last_only else None


def sharegpt_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as one line of LLaMA-Factory's sharegpt format."""
    system, messages = _without_system(example.messages)
    tools: Json = ""
    if example.tools:
        written = write_tools(example.tools, SHAREGPT)
        assert isinstance(written, list)
        tools = line([tool["function"] for tool in written if isinstance(tool, dict)]).decode()
    return line(
        {
            "conversations": [_turn(message) for message in messages],
            "system": system,
            "tools": tools,
        }
    )


def sharegpt_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what a row for LLaMA-Factory leaves out of an example."""
    return frozenset(left_out_of_chat(example, SHAREGPT, shape))


SHAREGPT_FORMAT = Format(
    "sharegpt", sharegpt_unfit, sharegpt_row, sharegpt_left_out, sharegpt_unfit_row
)


def _without_system(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    if messages and messages[0].role in _SYSTEM:
        return messages[0].text, messages[1:]
    return "", messages


def _refusal(messages: Sequence[Message]) -> Reason | None:
    _, turns = _without_system(messages)
    for index, message in enumerate(turns):
        if message.tool_calls and (message.text or message.refusal):
            return Reason.CONTENT_WITH_CALLS
        if len(message.tool_calls) > 1 and index < len(turns) - 1:
            return Reason.PARALLEL_CALLS  # one observation cannot hold several results
        if (message.role == "assistant") != (index % 2 == 1):
            return Reason.TURN_ORDER
        if message.role in _SYSTEM:
            return Reason.TURN_ORDER
    return Reason.TURN_ORDER if len(turns) % 2 else None


def _turn(message: Message) -> Json:
    if message.tool_calls:
        calls: list[Json] = [
            {"name": call.name, "arguments": read_arguments(call.arguments)}
            for call in message.tool_calls
        ]
        said = line(calls[0] if len(calls) == 1 else calls).decode()
        return {"from": "function_call", "value": said}
    speaker = {"user": "human", "tool": "observation"}.get(message.role, "gpt")
    return {"from": speaker, "value": message.text or message.refusal}
