"""Rows for TRL train what is to be trained and nothing else."""

import json

import pytest

from exporters.formats import FORMATS
from exporters.row_shape import LeftOut
from exporters.selection import Reason
from storage.trace import Json, Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, row


def roles(messages: Json) -> list[str]:
    assert isinstance(messages, list)
    return [str(message["role"])[0] for message in messages if isinstance(message, dict)]


@pytest.mark.parametrize(
    ("untrained", "prompt", "completion", "lost"),
    [
        ((), "u", "auaua", False),
        ((1,), "uau", "aua", False),
        ((1, 3), "uauau", "a", False),
        ((3,), "uauau", "a", True),
    ],
)
def test_the_completion_is_what_is_to_be_trained(
    untrained: tuple[int, ...], prompt: str, completion: str, lost: bool
) -> None:
    one = example(*[USER, ANSWER] * 3, untrained=frozenset(untrained))
    written = row("trl", one)
    assert ("".join(roles(written["prompt"])), "".join(roles(written["completion"]))) == (
        prompt,
        completion,
    )
    assert (LeftOut.EARLIER_ANSWERS in FORMATS["trl"].left_out(one)) is lost


def test_rows_of_messages_refuse_an_untrained_turn() -> None:
    format = FORMATS["trl-messages"]
    turns = [USER, ANSWER] * 2
    assert format.unfit_row(example(*turns)) is None
    assert format.unfit_row(example(*turns, untrained=frozenset({1}))) is Reason.UNTRAINED_TURN


def test_arguments_are_an_object_and_tools_a_text() -> None:
    tool = Tool("find", parameters={"type": "object"})
    one = example(USER, calling(ToolCall("find", '{"a": [1, "ü"]}', "c1")), tools=(tool,))
    written = row("trl", one)
    function = {"name": "find", "arguments": {"a": [1, "ü"]}}
    assert written["completion"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        }
    ]
    assert isinstance(written["tools"], str)
    assert json.loads(written["tools"]) == [
        {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    ]


def test_reasoning_has_both_names_but_beside_a_text_and_tool_calls() -> None:
    thought = Message("assistant", "42", reasoning="6 * 7")
    call = ToolCall("f", "{}", "c1")
    both = Message("assistant", "Let me see.", tool_calls=(call,), reasoning="hm")
    messages = row("trl-messages", example(USER, both, USER, thought))["messages"]
    assert isinstance(messages, list)
    assert [
        {key: value for key, value in message.items() if key in ("thinking", "reasoning_content")}
        for message in messages
        if isinstance(message, dict) and message["role"] == "assistant"
    ] == [
        {"reasoning_content": "hm"},
        {"reasoning_content": "6 * 7", "thinking": "6 * 7"},
    ]


@pytest.mark.parametrize("name", ["trl", "trl-messages", "trl-dpo"])
def test_decimals_in_arguments_are_listed_for_their_reader(name: str) -> None:
    decimal = calling(ToolCall("f", '{"a": 0.3}', "c1"))
    whole = calling(ToolCall("f", '{"a": 3}', "c1"))
    left_out = FORMATS[name].left_out
    assert left_out(example(USER, decimal, rejected=ANSWER)) == {LeftOut.DECIMALS}
    assert left_out(example(USER, whole, rejected=ANSWER)) == frozenset()
    assert b'{"a":0.3}' in FORMATS[name].row(example(USER, decimal, rejected=ANSWER))
