"""Rows say what the call said; what they cannot say is named."""

import json
import random

import msgspec
import pytest

from exporters.chat_rows import is_schema
from exporters.formats import FORMATS, LeftOut
from exporters.selection import Example, Reason, Turns
from exporters.turns import Conversations
from storage.capture import Capture, Dialect
from storage.derive import derive
from storage.trace import Json, Message, Part, Span, Tool, ToolCall
from tests.exporters.calls import capture, chat, said
from tests.exporters.rows import calling, example, refusal
from tests.shared import data_set

OPENAI = FORMATS["openai"]
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
    row: dict[str, Json] = json.loads(OPENAI.row(example_of(recorded, turns)))
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
    line = OPENAI.row(example_of(chat(1, [said("user", text)], ANSWER)))
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
        assert OPENAI.unfit(derive(recorded).understood) is None
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
        (chat(1, [USER, said("tool", "1", tool_call_id="c1")], ANSWER), Reason.TOOL_RESULTS),
        (chat(1, [said("user", [{"type": "hologram"}])], ANSWER), Reason.CONTENT_KIND),
        (chat(1, [USER], ANSWER, tools=[{"type": "web_search"}]), Reason.TOOL_KIND),
        (chat(1, [USER], ANSWER, functions=[{"name": "old"}]), Reason.TOOL_KIND),
        (chat(1, [said("function", "1", name="old")], ANSWER), Reason.ROLE),
    ],
)
def test_what_the_format_cannot_carry_is_named(recorded: Capture, reason: Reason | None) -> None:
    assert OPENAI.unfit(derive(recorded).understood) is reason


def test_what_a_row_leaves_out_is_named() -> None:
    thoughtful = said("assistant", "42", reasoning_content="6 * 7", annotations=[{"url": "x"}])
    assert OPENAI.left_out(example_of(chat(1, [USER], thoughtful))) == {
        LeftOut.REASONING,
        LeftOut.DETAILS,
    }
    assert OPENAI.left_out(example_of(chat(1, [USER], {**ANSWER, "annotations": []}))) == set()
    assert "reasoning" not in json.dumps(row_of(chat(1, [USER], thoughtful)))


def test_a_second_answer_is_named_as_left_out() -> None:
    choices = [{"index": index, "message": ANSWER, "finish_reason": "stop"} for index in (0, 1)]
    recorded = capture(
        1, msgspec.json.encode({"messages": [USER]}), msgspec.json.encode({"choices": choices})
    )
    assert OPENAI.left_out(example_of(recorded)) == {LeftOut.OTHER_CHOICES}


def test_a_tool_name_that_openai_refuses_is_no_row() -> None:
    odd = Tool("math.add", parameters={"type": "object"})
    assert refusal("openai", Message("user", "1"), Message("assistant", "2"), tools=(odd,)) is (
        Reason.TOOL_NAME
    )
    called = calling(ToolCall("math.add", "{}", "c1"))
    assert refusal("openai", Message("user", "1"), called) is Reason.TOOL_NAME
    for name in ("together", "axolotl", "trl", "sharegpt"):
        assert refusal(name, Message("user", "1"), called, tools=(odd,)) is None


def test_only_formats_with_a_place_for_it_carry_reasoning() -> None:
    thoughtful = example(Message("user", "6 * 7?"), Message("assistant", "42", reasoning="of 6"))
    for name, format in FORMATS.items():
        if format.is_preference:
            continue
        carries = name in ("fireworks", "axolotl", "trl", "trl-messages", "parquet")
        assert (b"of 6" in format.row(thoughtful)) is carries
        assert (LeftOut.REASONING in format.left_out(thoughtful)) is not carries


def test_what_a_trainer_does_not_know_is_written_in_its_words_and_listed() -> None:
    one = example(
        Message("developer", "Be kind."),
        Message("user", "a", name="ada"),
        Message("assistant", refusal="No."),
        Message("user", (Part("text", "b"), Part("text", "c"))),
        Message("assistant", "d"),
        parallel_tool_calls=True,
    )
    row = json.loads(FORMATS["axolotl"].row(one))
    assert row == {
        "messages": [
            said("system", "Be kind."),
            said("user", "a"),
            said("assistant", "No."),
            said("user", "bc"),
            said("assistant", "d"),
        ]
    }
    assert FORMATS["axolotl"].left_out(one) == {
        LeftOut.ROLE_DEVELOPER,
        LeftOut.NAMES,
        LeftOut.REFUSAL,
        LeftOut.TEXT_PARTS,
        LeftOut.PARALLEL_SETTING,
    }
    assert FORMATS["openai"].left_out(one) == frozenset()


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("openai", {"weight": 0}),
        ("together", {"weight": 0}),
        ("fireworks", {"weight": 0}),
        ("mistral", {"weight": 0}),
        ("axolotl", {"train": False}),
    ],
)
def test_a_turn_that_is_not_trained_is_marked_as_the_trainer_reads_it(
    name: str, mark: dict[str, Json]
) -> None:
    turns = [Message("user", "a"), Message("assistant", "b")] * 2
    row = json.loads(FORMATS[name].row(example(*turns, untrained=frozenset({1}))))
    assert row["messages"][1] == {**said("assistant", "b"), **mark}
    assert row["messages"][3] == said("assistant", "b")


def test_arguments_that_are_no_object_are_no_row_for_who_parses_them() -> None:
    called = calling(ToolCall("f", "London", "c1"))
    asked = Message("user", "a")
    for name in ("trl", "trl-messages", "trl-dpo", "axolotl", "sharegpt"):
        assert refusal(name, asked, called) is Reason.ARGUMENTS
    for name in ("openai", "together", "fireworks", "mistral", "parquet"):
        assert refusal(name, asked, called) is None


def test_fireworks_takes_one_tool_call_at_a_time() -> None:
    both = calling(ToolCall("f", "{}", "c1"), ToolCall("f", "{}", "c2"))
    assert refusal("fireworks", Message("user", "a"), both) is Reason.PARALLEL_CALLS
    assert refusal("openai", Message("user", "a"), both) is None


def test_a_schema_is_checked_without_following_its_references() -> None:
    assert is_schema({"$ref": "http://127.0.0.1:9/never"})
    assert is_schema({"type": "object"})
    assert is_schema(None)
    assert not is_schema({"type": "dict"})
    assert not is_schema("object")


@pytest.mark.parametrize("name", ["sgd", "glaive_toolcall_en", "glaive_toolcall_zh", "xquad"])
def test_conversations_of_the_data_sets_come_back_as_they_were(name: str) -> None:
    path = data_set(name)
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
