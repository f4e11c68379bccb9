"""Rows of two texts: an input and its answer, or a text and its label.

    prompt-completion   `prompt`, `completion`: for base models, and hosts that take no messages.
                        The prompt is the user's text, after the system's and an empty line if
                        there is one; the completion is the answer's text, byte for byte
    text-label          `text`, `label`, for classifiers. The text is the user's alone: what the
                        system says is the same for all. The label is the answer without white
                        space around it, or a field of an answer in JSON (`--label-field`, a dotted
                        path), as text. At most `LABEL_CHARACTERS_MAX` characters: longer is prose

Both hold one input and one answer: what has earlier turns, tool calls or images is no row. Tools
that were offered and not called are left out, and listed.
"""

import msgspec

from exporters.chat_rows import ChatRules, chat_refusal, left_out_of_chat
from exporters.row_shape import PLAIN, Format, LeftOut, Shape, conversation_of, line
from exporters.selection import Example, Reason
from storage.trace import Json, Message, Understood

LABEL_CHARACTERS_MAX = 200

TEXT = ChatRules(
    untrained=None,
    parts="join",
    has_name=False,
    has_refusal=False,
    has_parallel_setting=False,
    names_tools_freely=True,
)


def prompt_completion_unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
    """Say why a call is not one input and its answer, None if it is."""
    messages = conversation_of(understood)
    if reason := chat_refusal(messages, (), TEXT, shape):
        return reason
    if any(message.tool_calls or message.role == "tool" for message in messages):
        return Reason.TOOLS
    roles = [message.role for message in messages if message.role not in ("system", "developer")]
    return None if roles == ["user", "assistant"] else Reason.SEVERAL_TURNS


def prompt_completion_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as a prompt and its completion."""
    prompt = "\n\n".join(message.text for message in example.messages[:-1])
    return line({"prompt": prompt, "completion": example.messages[-1].text})


def text_label_unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
    """Say why a call is not a text and its label, None if it is."""
    if reason := prompt_completion_unfit(understood, shape):
        return reason
    answer = conversation_of(understood)[-1]
    return Reason.NO_LABEL if read_label(answer, shape.label_field) is None else None


def text_label_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write an example as a text and its label."""
    (text,) = (message.text for message in example.messages if message.role == "user")
    return line({"text": text, "label": read_label(example.messages[-1], shape.label_field)})


def read_label(answer: Message, field: str) -> str | None:
    """Read the label from an answer; None if it is none, or has not the field."""
    label: Json = answer.text.strip()
    if field:
        try:
            label = msgspec.json.decode(answer.text)
        except (msgspec.MsgspecError, RecursionError):
            return None
        for key in field.split("."):
            label = label.get(key) if isinstance(label, dict) else None
        if isinstance(label, bool | int | float):
            label = msgspec.json.encode(label).decode()
    if not isinstance(label, str) or not 0 < len(label) <= LABEL_CHARACTERS_MAX:
        return None
    return label


def text_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what a row of two texts leaves out of an example."""
    left_out = left_out_of_chat(example, TEXT, shape)
    return frozenset(left_out | {LeftOut.TOOLS} if example.tools else left_out)


def text_label_left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
    """Name what a row of a text and its label leaves out of an example."""
    left_out = text_left_out(example, shape)
    has_system = any(message.role in ("system", "developer") for message in example.messages)
    return left_out | {LeftOut.SYSTEM} if has_system else left_out


PROMPT_COMPLETION_FORMAT = Format(
    "prompt-completion", prompt_completion_unfit, prompt_completion_row, text_left_out
)
TEXT_LABEL_FORMAT = Format("text-label", text_label_unfit, text_label_row, text_label_left_out)
