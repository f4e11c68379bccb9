"""Tests of importers.fine_tuning, with a file of the corpus and with whole data sets."""

import json
from pathlib import Path

import pytest

from tests.importers.reading import read

DATA_SETS = Path(__file__).parents[3] / "shared" / "data" / "datasets"


def test_the_last_assistant_message_is_the_answer() -> None:
    spans = read("openai-chat", "openai_chat.jsonl").spans
    answers = [span.understood.choices[0].message for span in spans]
    assert [answer.content for answer in answers] == ["Klein.", "It rains.", None, "Klein."]
    assert [len(span.understood.messages) for span in spans] == [2, 3, 1, 2]
    assert answers[0].extra == {"weight": 1}
    assert [span.finish_reason for span in spans] == ["stop", "stop", "tool_calls", "stop"]


def test_lines_without_an_answer_and_broken_ones_are_reported() -> None:
    assert read("openai-chat", "openai_chat.jsonl").troubles == [
        "4: none of its messages is an assistant's answer",
        "5: the record is not JSON",
    ]


def test_tools_settings_model_time_and_further_fields_are_kept() -> None:
    _, tools, dated, _ = read("openai-chat", "openai_chat.jsonl").spans
    assert [tool.name for tool in tools.understood.tools] == ["get_weather"]
    assert tools.understood.settings == {"parallel_tool_calls": False}
    assert dated.understood.request_model == dated.understood.response_model == "small-1"
    assert dated.started_at_ns == 1_790_000_000 * 10**9
    assert dated.tags == {"topic": "weather", "app": "demo", "depth": "3"}


def test_messages_after_the_answer_are_kept_apart() -> None:
    dated = read("openai-chat", "openai_chat.jsonl").spans[2]
    extra = dated.understood.extra or {}
    assert extra["imported"] == {
        "messages_after": [{"role": "tool", "tool_call_id": "call_1", "content": "sun"}]
    }


def test_equal_lines_are_calls_of_their_own() -> None:
    captures = read("openai-chat", "openai_chat.jsonl").captures
    assert captures[0].request_body == captures[3].request_body
    assert len({capture.id for capture in captures}) == 4


@pytest.mark.parametrize("name", ["glaive_toolcall_en", "sgd", "tau_bench_airline", "gpteacher"])
def test_a_data_set_is_understood_whole(name: str) -> None:
    path = DATA_SETS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = read("openai-chat", path)
    assert found.troubles == []
    assert len({capture.id for capture in found.captures}) == len(rows)
    for row, span in zip(rows, found.spans, strict=True):
        (choice,) = span.understood.choices
        expected = [m for m in row["messages"] if m["role"] == "assistant"][-1]
        assert (choice.message.content or "") == (expected["content"] or "")
        calls = [call["function"]["name"] for call in expected.get("tool_calls") or []]
        assert [call.name for call in choice.message.tool_calls] == calls
        assert len(span.understood.tools) == len(row.get("tools") or [])
        assert span.understood.note == ""
