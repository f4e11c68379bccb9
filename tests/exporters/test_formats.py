"""Rows say what the call said; what they cannot say is named."""

import json
import random
from pathlib import Path

import msgspec
import pytest

from exporters.formats import FORMATS, LeftOut, openai_left_out, openai_row, openai_unfit
from exporters.selection import Example, Reason, Turns
from exporters.turns import Conversations
from storage.capture import Capture, Dialect
from storage.derive import derive
from storage.trace import Json, Span
from tests.exporters.calls import capture, chat, said

SHARED = Path(__file__).parents[3] / "shared" / "data" / "datasets"
USER, ANSWER = said("user", "hello"), said("assistant", "good day")
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def never(call_id: str) -> Span:
    raise AssertionError(f"{call_id} was read again")


def example_of(recorded: Capture, turns: Turns = Turns.LEAF) -> Example:
    conversations = Conversations(turns, never)
    conversations.add(derive(recorded), None)
    (example,) = conversations.examples()
    return example


def row_of(recorded: Capture, turns: Turns = Turns.LEAF) -> dict[str, Json]:
    row: dict[str, Json] = json.loads(openai_row(example_of(recorded, turns)))
    return row


def test_a_row_is_the_request_with_the_answer_last() -> None:
    row = row_of(chat(1, [said("system", "Be kind."), USER], ANSWER))
    assert row == {"messages": [said("system", "Be kind."), USER, ANSWER]}


def test_tools_calls_and_results_are_as_they_were_sent() -> None:
    function: dict[str, Json] = {"name": "find", "parameters": {"type": "object"}}
    tools: list[Json] = [{"type": "function", "function": {**function, "strict": True}}]
    arguments = '{ "key":  "ключ" }'
    called = said(
        "assistant",
        None,
        tool_calls=[
            {"id": "c1", "type": "function", "function": {"name": "find", "arguments": arguments}}
        ],
    )
    result = said("tool", "it is there", tool_call_id="c1")
    messages = [USER, called, result]
    row = row_of(chat(1, messages, ANSWER, tools=tools, parallel_tool_calls=False))
    assert row == {
        "messages": [*messages, ANSWER],
        "tools": tools,
        "parallel_tool_calls": False,
    }


def test_turns_that_are_not_trained_have_weight_nought() -> None:
    row = row_of(chat(1, [USER, ANSWER, USER], ANSWER), Turns.LAST)
    assert row["messages"] == [USER, {**ANSWER, "weight": 0}, USER, ANSWER]


def test_text_in_any_script_is_written_as_it_is() -> None:
    text = 'Ünïcödé 漢字 🙂 \u2028 \\ " \t'
    line = openai_row(example_of(chat(1, [said("user", text)], ANSWER)))
    assert "漢字 🙂".encode() in line
    assert json.loads(line)["messages"][0]["content"] == text
    assert b"\n" not in line


def test_images_of_every_dialect_become_the_same_part() -> None:
    wanted: list[Json] = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    openai = chat(1, [said("user", wanted)], ANSWER)
    asked: dict[str, Json] = {
        "input": [
            said(
                "user",
                [
                    {"type": "input_text", "text": "what is it?"},
                    {"type": "input_image", "image_url": PIXEL},
                ],
            )
        ]
    }
    answered = {"status": "completed", "output": [{"type": "message", "content": "a cat"}]}
    responses = capture(
        2, msgspec.json.encode(asked), msgspec.json.encode(answered), path="/v1/responses"
    )
    source: Json = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    blocks: list[Json] = [
        {"type": "text", "text": "what is it?"},
        {"type": "image", "source": source},
    ]
    anthropic = capture(
        3,
        msgspec.json.encode({"messages": [said("user", blocks)]}),
        msgspec.json.encode({"type": "message", "content": [{"type": "text", "text": "a cat"}]}),
        path="/v1/messages",
        dialect=Dialect.ANTHROPIC,
    )
    for recorded in (openai, responses, anthropic):
        assert openai_unfit(derive(recorded).understood) is None
        messages = row_of(recorded)["messages"]
        assert isinstance(messages, list)
        assert messages[0] == said("user", wanted)


def test_tools_of_anthropic_become_functions() -> None:
    tool = {"name": "find", "description": "Find it", "input_schema": {"type": "object"}}
    recorded = capture(
        1,
        msgspec.json.encode({"messages": [USER], "tools": [tool]}),
        msgspec.json.encode({"type": "message", "content": [{"type": "text", "text": "a cat"}]}),
        path="/v1/messages",
        dialect=Dialect.ANTHROPIC,
    )
    function = {"name": "find", "description": "Find it", "parameters": {"type": "object"}}
    assert row_of(recorded)["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        (chat(1, [USER], ANSWER), None),
        (
            chat(1, [said("user", [{"type": "input_audio", "input_audio": {}}])], ANSWER),
            Reason.AUDIO,
        ),
        (chat(1, [said("user", [{"type": "file", "file": {}}])], ANSWER), Reason.FILE),
        (
            chat(1, [said("tool", [{"type": "image_url", "image_url": {"url": PIXEL}}])], ANSWER),
            Reason.IMAGE_PLACE,
        ),
        (chat(1, [said("user", [{"type": "hologram"}])], ANSWER), Reason.CONTENT_KIND),
        (chat(1, [USER], ANSWER, tools=[{"type": "web_search"}]), Reason.TOOL_KIND),
        (chat(1, [USER], ANSWER, functions=[{"name": "old"}]), Reason.TOOL_KIND),
        (chat(1, [said("function", "1", name="old")], ANSWER), Reason.ROLE),
    ],
)
def test_what_the_format_cannot_carry_is_named(recorded: Capture, reason: Reason | None) -> None:
    assert openai_unfit(derive(recorded).understood) is reason


def test_what_a_row_leaves_out_is_named() -> None:
    thoughtful = said("assistant", "42", reasoning_content="6 * 7", annotations=[{"url": "x"}])
    assert openai_left_out(example_of(chat(1, [USER], thoughtful))) == {
        LeftOut.REASONING,
        LeftOut.DETAILS,
    }
    assert openai_left_out(example_of(chat(1, [USER], {**ANSWER, "annotations": []}))) == set()
    assert "reasoning" not in json.dumps(row_of(chat(1, [USER], thoughtful)))


def test_a_second_answer_is_named_as_left_out() -> None:
    choices = [{"index": index, "message": ANSWER, "finish_reason": "stop"} for index in (0, 1)]
    recorded = capture(
        1, msgspec.json.encode({"messages": [USER]}), msgspec.json.encode({"choices": choices})
    )
    assert openai_left_out(example_of(recorded)) == {LeftOut.OTHER_CHOICES}


def test_every_format_is_found_by_its_name() -> None:
    assert {name: format.name for name, format in FORMATS.items()} == {"openai": "openai"}


@pytest.mark.parametrize("name", ["sgd", "glaive_toolcall_en", "glaive_toolcall_zh", "xquad"])
def test_conversations_of_the_data_sets_come_back_as_they_were(name: str) -> None:
    path = SHARED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"the shared data sets are not beside the checkout: {path}")
    lines = path.read_text().splitlines()
    for line in random.Random(1).sample(lines, min(200, len(lines))):
        row = json.loads(line)
        *messages, answer = row.get("messages") or [None]
        if not messages or answer["role"] != "assistant":
            continue
        tools = {"tools": row["tools"]} if row.get("tools") else {}
        recorded = capture(
            1,
            json.dumps({"model": "m", "messages": messages, **tools}).encode(),
            json.dumps({"choices": [{"message": answer, "finish_reason": "stop"}]}).encode(),
        )
        assert row_of(recorded) == {"messages": [*messages, answer], **tools}
