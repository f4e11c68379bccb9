"""Rows for LLaMA-Factory alternate, and nothing is left for it to skip."""

import json

import pytest

from exporters.formats import FORMATS
from exporters.row_shape import Shape
from exporters.selection import Reason
from storage.trace import Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, refusal, row

CALL = ToolCall("find", '{"a": 1}', "c1")
RESULT = Message("tool", "there", tool_call_id="c1")
SYSTEM = Message("system", "Be kind.")


def test_a_conversation_with_a_tool() -> None:
    one = example(SYSTEM, USER, calling(CALL), RESULT, ANSWER, tools=(Tool("find"),))
    assert row("sharegpt", one) == {
        "conversations": [
            {"from": "human", "value": "hello"},
            {"from": "function_call", "value": '{"name":"find","arguments":{"a":1}}'},
            {"from": "observation", "value": "there"},
            {"from": "gpt", "value": "good day"},
        ],
        "system": "Be kind.",
        "tools": '[{"name":"find"}]',
    }


def test_system_and_tools_are_there_when_empty() -> None:
    written = row("sharegpt", example(USER, ANSWER))
    assert (written["system"], written["tools"]) == ("", "")


def test_several_calls_at_the_end_are_a_list() -> None:
    value = row("sharegpt", example(USER, calling(CALL, CALL)))["conversations"]
    assert isinstance(value, list)
    assert isinstance(value[1], dict)
    assert len(json.loads(str(value[1]["value"]))) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((USER, ANSWER), None),
        ((SYSTEM, USER, ANSWER), None),
        ((USER, calling(CALL, CALL)), None),
        ((ANSWER,), Reason.TURN_ORDER),
        ((USER, USER, ANSWER), Reason.TURN_ORDER),
        ((USER, ANSWER, ANSWER), Reason.TURN_ORDER),
        ((SYSTEM, SYSTEM, USER, ANSWER), Reason.TURN_ORDER),
        ((USER, ANSWER, SYSTEM, ANSWER), Reason.TURN_ORDER),
        ((USER, calling(CALL), RESULT, RESULT, ANSWER), Reason.TURN_ORDER),
        ((USER, calling(CALL, CALL), RESULT, ANSWER), Reason.PARALLEL_CALLS),
        ((USER, calling(CALL, content="Let me see.")), Reason.CONTENT_WITH_CALLS),
    ],
)
def test_what_the_converter_would_skip_is_named(
    said: tuple[Message, ...], reason: Reason | None
) -> None:
    assert refusal("sharegpt", *said) is reason


def test_an_untrained_turn_needs_an_export_that_trains_last_answers_alone() -> None:
    one = example(USER, ANSWER, USER, ANSWER, untrained=frozenset({1}))
    unfit = FORMATS["sharegpt"].unfit_row
    assert unfit(one) is Reason.UNTRAINED_TURN
    assert unfit(one, Shape(last_only=True)) is None
