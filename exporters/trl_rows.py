"""Rows for TRL: arguments as objects, `tools` as JSON text, reasoning under both of its names.

    trl            `prompt` and `completion`: the loss is on the completion, by default and in every
                   version. The completion begins with the first answer after which all are to be
                   trained; answers to be trained before one that is not are only read, and
                   listed. With several answers in it, what users and tools say between them
                   counts too unless `assistant_only_loss` is set, as in the trl.yml of an export
    trl-messages   `messages`, for what reads TRL's other form (Unsloth); it has no way to leave a
                   turn untrained, so an example with such a turn is no row

Chat templates want arguments as an object: as text, 4 of TRL's 41 write them twice encoded and 23
fail. `tools` is text because Arrow fills schemas with nulls (TRL pull request 5118). `thinking` is
what gpt-oss' template calls reasoning; it refuses a text and tool calls beside it, so there only
`reasoning_content` is written. Templates differ in what they show: some drop the text beside tool
calls (llama 3.1), all but one of several tool calls (gpt-oss), reasoning of earlier turns.

`datasets` 5.2, which TRL reads files with, keeps objects whose keys differ as JSON, and with it
decimals inexactly: 0.3 becomes 0.30000000000000004, 8.854e-12 becomes 0. The file has them right;
rows with decimals in tool arguments are listed (`decimals`). Where they matter, take a format that
has arguments as text: axolotl, sharegpt.
"""

from collections.abc import Sequence

from exporters.arguments import has_decimals
from exporters.chat_rows import (
    ChatRules,
    chat_refusal,
    left_out_of_chat,
    write_messages,
    write_tools,
)
from exporters.row_shape import PLAIN, Format, LeftOut, Shape, conversation_of, line
from exporters.selection import Example, Reason
from storage.trace import Json, Message, Understood

TRL = ChatRules(
    untrained=None,
    parts="join",
    arguments="object",
    tools="text",
    reasoning=("reasoning_content", "thinking"),
    no_content="",
    has_developer=False,
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    names_tools_freely=True,
)


def trl_unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
    """Say why TRL cannot read a call, None if it can."""
    return chat_refusal(conversation_of(understood), understood.tools, TRL, shape)


def trl_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as one line of prompt and completion."""
    messages = write_trl_messages(example.messages, shape)
    start = completion_start(example.messages, example.untrained)
    return line(_with_tools({"prompt": messages[:start], "completion": messages[start:]}, example))


def trl_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what a row of prompt and completion leaves out of an example."""
    left_out = left_out_of_trl(example, shape)
    start = completion_start(example.messages, example.untrained)
    answers = {i for i, said in enumerate(example.messages[:start]) if said.role == "assistant"}
    if answers - example.untrained:
        left_out.add(LeftOut.EARLIER_ANSWERS)
    return frozenset(left_out)


def trl_messages_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as one line of messages."""
    return line(_with_tools({"messages": write_trl_messages(example.messages, shape)}, example))


def trl_messages_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what a row of messages leaves out of an example."""
    return frozenset(left_out_of_trl(example, shape))


def left_out_of_trl(example: Example, shape: Shape) -> set[LeftOut]:
    """Name what every row for TRL leaves out of an example, or its reader may change."""
    left_out = left_out_of_chat(example, TRL, shape)
    said = (*example.messages, *([example.rejected] if example.rejected else []))
    if any(has_decimals(call.arguments) for message in said for call in message.tool_calls):
        left_out.add(LeftOut.DECIMALS)
    return left_out


def all_trained(example: Example, shape: Shape = PLAIN) -> Reason | None:
    """Refuse an example with a turn that is not to be trained."""
    return Reason.UNTRAINED_TURN if example.untrained else None


def write_trl_messages(messages: Sequence[Message], shape: Shape) -> list[Json]:
    """Write messages as TRL's chat templates read them."""
    written = write_messages(messages, TRL, shape)
    for message in written:
        if isinstance(message, dict) and message.get("tool_calls") and message["content"]:
            message.pop("thinking", None)
    return written


def completion_start(messages: Sequence[Message], untrained: frozenset[int]) -> int:
    """Find the first answer from which on every answer is to be trained."""
    start = max(untrained, default=-1) + 1
    while messages[start].role != "assistant":
        start += 1
    return start


def _with_tools(row: dict[str, Json], example: Example) -> dict[str, Json]:
    if example.tools:
        row["tools"] = write_tools(example.tools, TRL)
    return row


TRL_FORMAT = Format("trl", trl_unfit, trl_row, trl_left_out)
TRL_MESSAGES_FORMAT = Format(
    "trl-messages", trl_unfit, trl_messages_row, trl_messages_left_out, all_trained
)
