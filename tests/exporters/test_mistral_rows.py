"""Rows for Mistral keep to what mistral-common's validators ask for."""

import pytest

from exporters.selection import Reason
from exporters.tool_ids import id_of_nine
from storage.trace import Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, refusal, row

CALL = ToolCall("find", '{"a": 1}', "call_1")
RESULT = Message("tool", "there", tool_call_id="call_1")
SYSTEM = Message("system", "Be kind.")


def test_ids_have_nine_characters_and_the_rest_is_openais() -> None:
    one = example(SYSTEM, USER, calling(CALL), RESULT, ANSWER, tools=(Tool("find"),))
    new = id_of_nine("call_1")
    function = {"name": "find", "arguments": '{"a": 1}'}
    assert row("mistral", one) == {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": new, "type": "function", "function": function}],
            },
            {"role": "tool", "content": "there", "tool_call_id": new},
            {"role": "assistant", "content": "good day"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "find", "parameters": {"type": "object", "properties": {}}},
            }
        ],
    }


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((USER, ANSWER), None),
        ((USER, USER, ANSWER), None),
        ((USER, ANSWER, ANSWER), None),
        ((USER, calling(CALL)), None),
        ((USER, ANSWER, SYSTEM, USER, ANSWER), Reason.TURN_ORDER),
        ((USER, RESULT, ANSWER), Reason.TOOL_RESULTS),
        ((USER, calling(CALL), ANSWER), Reason.TOOL_RESULTS),
        ((USER, calling(CALL), RESULT, RESULT, ANSWER), Reason.TOOL_RESULTS),
        ((USER, calling(CALL, content="Let me see.")), Reason.CONTENT_WITH_CALLS),
        ((USER, Message("assistant", ""), USER, ANSWER), Reason.EMPTY_TURN),
        ((USER, calling(ToolCall("a.b", "{}", "1"))), Reason.TOOL_NAME),
    ],
)
def test_what_the_validators_refuse_is_named(
    said: tuple[Message, ...], reason: Reason | None
) -> None:
    assert refusal("mistral", *said) is reason


def test_parameters_that_are_no_schema_are_named() -> None:
    tool = Tool("find", parameters={"type": "dict"})
    assert refusal("mistral", USER, ANSWER, tools=(tool,)) is Reason.TOOL_SCHEMA
