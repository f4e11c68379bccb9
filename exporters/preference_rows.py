"""Rows of preference pairs: what was asked, the answer that is preferred, and the other one.

    openai-dpo   `input`, `preferred_output`, `non_preferred_output`: OpenAI's, Fireworks' and
                 Together's. Text and tool calls only, one answer on each side
    trl-dpo      `prompt`, `chosen`, `rejected` for TRL's DPOTrainer; arguments as objects, `tools`
                 as JSON text

Turns before the answers are context, whether they were to be trained or not. Pairs are made by
exporters.pairs; an example without `rejected` is no row.
"""

from exporters.chat_rows import (
    ChatRules,
    chat_refusal,
    left_out_of_chat,
    write_messages,
    write_tools,
)
from exporters.row_shape import PLAIN, Format, LeftOut, Row, Shape, conversation_of, line
from exporters.selection import Example, Reason
from exporters.trl_rows import TRL, left_out_of_trl, write_trl_messages
from storage.trace import Json, Understood

OPENAI_PAIR = ChatRules(untrained=None, parts="join")


def openai_dpo_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write a pair as one line of OpenAI's format for direct preference optimisation."""
    assert example.rejected is not None, "what has no pair is unfit"
    messages = (*example.messages, example.rejected)
    *asked, preferred, rejected = write_messages(messages, OPENAI_PAIR, shape)
    for answer in (preferred, rejected):
        if isinstance(answer, dict) and answer["content"] is None:
            del answer["content"]  # Together takes none, or one that says something
    given: dict[str, Json] = {"messages": asked}
    if example.tools:
        given["tools"] = write_tools(example.tools, OPENAI_PAIR)
    if example.parallel_tool_calls is not None:
        given["parallel_tool_calls"] = example.parallel_tool_calls
    return line(
        {"input": given, "preferred_output": [preferred], "non_preferred_output": [rejected]}
    )


def trl_dpo_row(example: Example, shape: Shape = PLAIN) -> bytes:
    """Write a pair as one line for TRL."""
    assert example.rejected is not None, "what has no pair is unfit"
    *asked, chosen, rejected = write_trl_messages((*example.messages, example.rejected), shape)
    row: dict[str, Json] = {"prompt": asked, "chosen": [chosen], "rejected": [rejected]}
    if example.tools:
        row["tools"] = write_tools(example.tools, TRL)
    return line(row)


def _pair_format(name: str, rules: ChatRules, row: Row) -> Format:
    def unfit(understood: Understood, shape: Shape = PLAIN) -> Reason | None:
        return chat_refusal(conversation_of(understood), understood.tools, rules, shape)

    def unfit_row(example: Example, shape: Shape = PLAIN) -> Reason | None:
        if example.rejected is None:
            return Reason.NO_PAIR
        return chat_refusal((example.messages[-1], example.rejected), (), rules, shape)

    def left_out(example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]:
        is_trl = rules is TRL
        found = (
            left_out_of_trl(example, shape) if is_trl else left_out_of_chat(example, rules, shape)
        )
        return frozenset(found - {LeftOut.OTHER_CHOICES})

    return Format(name, unfit, row, left_out, unfit_row, is_preference=True)


OPENAI_DPO_FORMAT = _pair_format("openai-dpo", OPENAI_PAIR, openai_dpo_row)
TRL_DPO_FORMAT = _pair_format("trl-dpo", TRL, trl_dpo_row)
