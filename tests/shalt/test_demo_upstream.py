"""The demo's upstream answers as OpenAI's client libraries expect."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from shalt.demo_calls import Answer, DemoCall
from shalt.demo_upstream import GREETING, DemoUpstream

TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"order_id": "FN-1, a long one"}'},
}
MESSAGES: Any = [{"role": "user", "content": "Grüße?"}]
PREPARED = {"model": "m", "messages": MESSAGES}
STREAMED = {"model": "m", "stream": True, "messages": MESSAGES}  # in the order of the SDK


@pytest.fixture(name="client")
def _client() -> Iterator[openai.OpenAI]:
    prepared = json.dumps(PREPARED, separators=(",", ":"), ensure_ascii=False).encode()
    streamed = json.dumps(STREAMED, separators=(",", ":"), ensure_ascii=False)
    tools = Answer({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}, "tool_calls")
    calls = [
        DemoCall({}, prepared, Answer(status=429, error="slower")),
        DemoCall({}, prepared, Answer({"role": "assistant", "content": "Ja."})),
        DemoCall({}, streamed.encode(), tools),
    ]
    with (
        DemoUpstream(calls) as upstream,
        openai.OpenAI(base_url=upstream.base_url, api_key="none", max_retries=0) as client,
    ):
        yield client


def test_prepared_answers_come_in_their_order(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError, match="slower"):
        client.chat.completions.create(model="m", messages=MESSAGES)
    for _ in range(2):
        answer = client.chat.completions.create(model="m", messages=MESSAGES)
        assert answer.choices[0].message.content == "Ja."


def test_what_was_not_prepared_is_greeted_streamed_or_not(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="other", messages=MESSAGES)
    assert answer.choices[0].message.content == GREETING
    with client.chat.completions.create(model="other", messages=MESSAGES, stream=True) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == GREETING


def test_tool_calls_are_streamed_in_pieces(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
        choices = [chunk.choices[0] for chunk in stream]
    calls = [choice.delta.tool_calls[0] for choice in choices if choice.delta.tool_calls]
    assert (calls[0].id, calls[0].index) == ("call_1", 0)
    arguments = "".join((call.function and call.function.arguments) or "" for call in calls)
    assert arguments == '{"order_id": "FN-1, a long one"}'
    assert len(calls) > 2
    assert choices[-1].finish_reason == "tool_calls"
