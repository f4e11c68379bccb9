"""Rows that are written here pass, and each rule can be broken."""

import json
import random

import pytest

from exporters.formats import FORMATS
from exporters.images import Images
from exporters.row_rules import validate_row
from exporters.row_shape import PLAIN, Shape
from storage.trace import Json, Message, Tool, ToolCall
from tests.exporters.rows import (
    ANSWER,
    USER,
    calling,
    example,
    picture,
    recorded_example,
    understood,
)
from tests.shared import data_set

CALL = ToolCall("find", '{"a": 1}', "aB3dE6gH9")
RESULT = Message("tool", "there", tool_call_id="aB3dE6gH9")
TOOL = Tool("find", parameters={"type": "object"})
HI: Json = {"role": "user", "content": "hi"}
YES: Json = {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize("name", FORMATS)
def test_rows_written_here_are_valid(name: str) -> None:
    format = FORMATS[name]
    conversations = [
        (USER, ANSWER),
        (Message("developer", "Be kind."), USER, ANSWER, USER, ANSWER),
        (USER, calling(CALL), RESULT, ANSWER),
        (USER, calling(CALL, CALL, content="Let me see."), RESULT, RESULT, ANSWER),
        (picture(), Message("assistant", "a cat", reasoning="whiskers")),
        (USER, Message("assistant", refusal="No."), USER, ANSWER),
    ]
    valid = 0
    for said in conversations:
        answers = {i for i, message in enumerate(said[:-1]) if message.role == "assistant"}
        for untrained in (frozenset[int](), frozenset(answers)):
            for shape in (PLAIN, Shape(Images.STRIP)):
                one = example(
                    *said,
                    tools=(TOOL,),
                    untrained=untrained,
                    rejected=Message("assistant", "no"),
                    parallel_tool_calls=True,
                )
                call = understood(*said, tools=(TOOL,))
                if format.unfit(call, shape) or format.unfit_row(one, shape):
                    continue
                assert validate_row(name, format.row(one, shape)) is None
                valid += 1
    assert valid >= 4


def chat(*messages: Json, **more: Json) -> Json:
    return {"messages": list(messages), **more}


def called(call_id: str = "aB3dE6gH9", arguments: Json = "{}", name: str = "f") -> dict[str, Json]:
    function: Json = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def answered(call_id: str = "aB3dE6gH9") -> Json:
    return {"role": "tool", "content": "1", "tool_call_id": call_id}


def offered(name: str, **more: Json) -> Json:
    return {"type": "function", "function": {"name": name, **more}}


IMAGE: Json = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SHOWN: list[Json] = [{"role": "user", "content": [IMAGE]} for _ in range(11)]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("openai", chat()),
        ("openai", chat(HI)),
        ("openai", chat(HI, YES, metadata={})),
        ("openai", chat(HI, {"role": "assistant"})),
        ("openai", chat(HI, {**dict(role="assistant", content="a"), "weight": 0.5})),
        ("openai", chat({**dict(role="user", content="a"), "weight": 1}, YES)),
        ("openai", chat({"role": "bot", "content": "a"}, YES)),
        ("openai", chat(HI, called(arguments={}))),
        ("openai", chat(HI, YES, tools=[offered("a.b")])),
        ("openai", chat(HI, {"role": "tool", "content": "1"}, YES)),
        ("openai", chat(*SHOWN, YES)),
        ("openai", chat({"role": "system", "content": [IMAGE]}, YES)),
        ("together", chat({"role": "developer", "content": "a"}, HI, YES)),
        ("together", chat(HI, YES, parallel_tool_calls=True)),
        ("together", chat({"role": "user", "content": [IMAGE]}, YES)),
        ("together", chat({"role": "user", "content": [{"type": "text", "text": "a"}]}, YES)),
        ("together", chat(HI, {"role": "assistant", "content": "a", "reasoning_content": "b"})),
        ("fireworks", chat(HI, {**called(), "content": None})),
        ("fireworks", chat(HI, YES, parallel_tool_calls=False)),
        ("mistral", chat(HI, called("call_1"))),
        ("mistral", chat(HI, called(), YES)),
        ("mistral", chat(HI, called(), answered(), answered(), YES)),
        ("mistral", chat(HI, {**called(), "content": "text"})),
        ("mistral", chat(HI, YES, {"role": "system", "content": "a"}, HI, YES)),
        ("mistral", chat(HI, YES, tools=[offered("f")])),
        ("mistral", chat(HI, YES, tools=[offered("f", parameters={"type": "dict"})])),
        ("axolotl", chat(HI, called(arguments="London"))),
        ("axolotl", chat(HI, {"role": "assistant", "content": "a", "weight": 0})),
        ("axolotl", chat(HI, YES, tools=[offered("f")])),
        ("trl", {"prompt": [HI], "completion": []}),
        ("trl", {"prompt": [], "completion": [YES]}),
        ("trl", {"prompt": [HI], "completion": [HI, YES]}),
        ("trl", {"prompt": [HI], "completion": [called()]}),
        ("trl", {"prompt": [HI], "completion": [YES], "tools": "{"}),
        ("trl-messages", chat(HI, called())),
        ("trl-dpo", {"prompt": [HI], "chosen": [YES], "rejected": [YES]}),
        ("trl-dpo", {"prompt": [HI, YES], "chosen": [YES], "rejected": [YES]}),
        ("openai-dpo", {"input": chat(HI), "preferred_output": [YES]}),
        (
            "openai-dpo",
            {"input": chat(HI), "preferred_output": [YES, YES], "non_preferred_output": [YES]},
        ),
        ("sharegpt", {"conversations": [], "system": "", "tools": ""}),
        (
            "sharegpt",
            {"conversations": [{"from": "gpt", "value": "a"}] * 2, "system": "", "tools": ""},
        ),
        ("prompt-completion", {"prompt": "a"}),
        ("prompt-completion", {"prompt": "a", "completion": ""}),
        ("text-label", {"text": "a", "label": 3}),
        ("text-label", {"text": "a", "label": ""}),
        ("parquet", {"call_id": "1", "answer_source": "original", "messages": []}),
    ],
)
def test_a_row_that_breaks_a_rule_is_told_which(name: str, row: Json) -> None:
    assert validate_row(name, json.dumps(row).encode())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", [b"", b"{", b"[]", b"\xff", b'"\xed\xa0\xbd"', b"[" * 100_000])
def test_any_bytes_have_an_answer(name: str, row: bytes) -> None:
    assert validate_row(name, row)


@pytest.mark.parametrize(
    "data", ["sgd", "glaive_toolcall_en", "glaive_toolcall_zh", "tau_bench_airline"]
)
def test_rows_of_the_data_sets_are_valid(data: str) -> None:
    path = data_set(data)
    lines = path.read_text().splitlines()
    for line in random.Random(1).sample(lines, min(60, len(lines))):
        row = json.loads(line)
        messages = row["messages"]
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
        if len(messages) < 2:
            continue
        one = recorded_example(messages, row.get("tools"))
        call = understood(*one.messages, tools=one.tools)
        for name, format in FORMATS.items():
            if not format.is_preference and not format.unfit(call):
                assert validate_row(name, format.row(one)) is None
