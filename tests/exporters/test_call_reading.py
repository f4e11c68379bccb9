"""Calls as rows need them: the same as storage.derive says, and each piece understood once."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporters.call_reading import CallReader
from storage.capture import Body, Capture, Outcome
from storage.derive import NAME_CHARS_MAX, derive
from storage.trace import Json, Span
from storage.wire import NESTING_MAX
from tests.captures import plain_capture

STREAMS = sorted((Path(__file__).parents[1] / "corpus" / "streams").glob("*.sse"))
JSON = (b"content-type", b"application/json")
HI: Json = {"role": "user", "content": "Hi"}
FUNCTION: Json = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
CALL: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": "{}"},
}


def deep(levels: int) -> Json:
    value: Json = "ground"
    for _ in range(levels):
        value = [value]
    return value


def request(*messages: Any, **more: Any) -> bytes:
    asked = messages or (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    )
    return json.dumps({"model": "tiny-1", "messages": asked, **more}).encode()


def answer(**more: Any) -> bytes:
    said: Json = {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}
    return json.dumps(
        {"id": "chatcmpl-1", "model": "tiny-1-0613", "choices": [choice]} | more
    ).encode()


def call(asked: bytes = request(), answered: bytes = answer(), **fields: Any) -> Capture:
    return plain_capture(asked, answered, **fields)


ODD_REQUESTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "a list": b"[]",
    "no messages": b'{"model":"tiny-1"}',
    "messages null": b'{"model":"tiny-1","messages":null}',
    "messages are an object": b'{"model":"tiny-1","messages":{}}',
    "no message": b'{"model":"tiny-1","messages":[]}',
    "a message is none": request("Hi", {"role": "user", "content": "Hi"}, None),
    "keys twice": request(HI)[:-1] + b',"messages":[],"model":"b"}',
    "other roles": request(
        {"role": "critic", "content": "No"}, {"role": "function", "content": "1"}
    ),
    "parts": request({"role": "user", "content": [{"type": "text", "text": "Hi"}, "there"]}),
    "tools": request({"role": "assistant", "tool_calls": [CALL]}, tools=[FUNCTION, FUNCTION]),
    "a tool is none": request(tools=["look_up", FUNCTION]),
    "tools null": request(tools=None),
    "functions": request(functions=[{"name": "look_up"}]),
    "a prompt kept upstream": request(prompt={"id": "pmpt_1"}),
    "parallel calls": request(parallel_tool_calls=False),
    "parallel calls, in words": request(parallel_tool_calls="no"),
    "model null": request(model=None),
    "model a number": request(model=1),
    "model too long": request(model="m" * (NAME_CHARS_MAX + 1)),
    "model with U+0000": request(model="m\0"),
    "a weight": request({"role": "assistant", "content": "No", "weight": 0}),
    "lone surrogate": rb'{"model":"tiny-1","messages":[{"role":"user","content":"\ud800"}]}',
    "lone surrogate elsewhere": request(HI)[:-1] + rb',"user":"\ud800"}',
    "not UTF-8": b'{"model":"tiny-1","messages":[{"role":"user","content":"\xff"}]}',
    "not UTF-8 elsewhere": request(HI)[:-1] + b',"user":"\xff"}',
    "no number": request(HI)[:-1] + b',"seed":NaN}',
    "no number in a message": b'{"model":"m","messages":[{"role":"user","x":NaN}]}',
    "a large number": request({"role": "user", "content": 10**30}),
    "a byte order mark": b"\xef\xbb\xbf" + request(),
    "text behind it": request() + b" and more",
    "deep": request({"role": "user", "content": "Hi", "more": deep(NESTING_MAX - 3)}),
    "too deep": request({"role": "user", "content": "Hi", "more": deep(NESTING_MAX - 2)}),
    "too deep elsewhere": request(more=deep(NESTING_MAX + 1)),
    "a tool too deep": request(
        tools=[{"function": {"name": "a", "parameters": deep(NESTING_MAX)}}]
    ),
    "many brackets": request(*({"role": "user", "content": "[" * 40} for _ in range(9))),
}
ODD_ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"Bad Gateway",
    "an object of nothing": b"{}",
    "an error": b'{"error":{"message":"No","code":"nope"}}',
    "an error in a list": b'[{"error":{"message":"No"}}]',
    "no choice": answer(choices=[]),
    "choices null": answer(choices=None),
    "a choice is none": answer(choices=["Hello"]),
    "two choices": answer(choices=[{"index": at, "message": {"content": "A"}} for at in (1, 0)]),
    "an odd index": answer(choices=[{"index": "x", "message": {"content": "A"}}]),
    "a message is none": answer(choices=[{"message": "A", "finish_reason": "stop"}]),
    "a delta": answer(choices=[{"delta": {"content": "A"}, "finish_reason": "stop"}]),
    "a text": answer(choices=[{"text": "A", "finish_reason": "stop"}]),
    "a finish reason is none": answer(choices=[{"message": {"content": "A"}, "finish_reason": 1}]),
    "a long one": answer(choices=[{"message": {"content": "A"}, "finish_reason": "s" * 600}]),
    "tool calls": answer(
        choices=[{"message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}]
    ),
    "reasoning": answer(choices=[{"message": {"content": "A", "reasoning_content": "Hm"}}]),
    "a refusal": answer(choices=[{"message": {"refusal": "No"}, "finish_reason": "stop"}]),
    "deep": answer(more=deep(NESTING_MAX - 1)),
    "too deep": answer(more=deep(NESTING_MAX)),
    "not UTF-8": answer()[:-1] + b',"x":"\xff"}',
    "a stream called JSON": b'data: {"choices":[{"delta":{"content":"A"}}]}\n\n',
    "space before": b" \n" + answer(),
}
ODD_CALLS: dict[str, dict[str, Any]] = {
    "a trace": {
        "request_headers": [(b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]
    },
    "an encoded request": {
        "request_headers": [(b"content-encoding", b"gzip")],
        "request_body": Body(gzip.compress(request())),
    },
    "an encoded answer": {
        "response_headers": [JSON, (b"content-encoding", b"gzip")],
        "response_body": Body(gzip.compress(answer())),
    },
    "encoded, it says": {"response_headers": [(b"content-encoding", b"gzip")]},
    "called a stream": {"response_headers": [(b"content-type", b"text/event-stream")]},
    "no answer": {"status_code": None, "response_body": Body(), "outcome": Outcome.CLIENT_GONE},
    "a cut request": {"request_body": Body(request()[:-9], 999, "", True)},
    "a cut answer": {"response_body": Body(answer()[:-9], 999, "", True)},
    "cut, and whole JSON": {"response_body": Body(answer(), 999, "", True)},
    "a cut request, and whole JSON": {"request_body": Body(request(), 999, "", True)},
    "an encoded request that is not": {
        "request_headers": [(b"content-encoding", b"gzip")],
        "request_body": Body(ODD_REQUESTS["not UTF-8 elsewhere"]),
    },
    "an encoded answer that is not": {
        "response_headers": [(b"content-encoding", b"gzip")],
        "response_body": Body(answer()[:-1] + b',"x":"\xff"}'),
    },
    "Azure": {
        "target": "/openai/deployments/gpt-4o/chat/completions?api-version=1",
        "request_body": Body(b'{"messages":[{"role":"user","content":"Hi"}]}'),
    },
    "listing": {"method": "GET"},
    "a WebSocket": {"status_code": 101},
    "Responses": {"target": "/v1/responses", "request_body": Body(b'{"model":"m","input":"Hi"}')},
    "Anthropic": {"target": "/v1/messages"},
    "imported": {"source": "import:openai-chat", "redacted": True},
}


def in_rows(span: Span) -> Json:
    """Say of a call what a row, or what decides about rows, says of it."""
    understood = span.understood
    value: Json = msgspec.to_builtins(span)
    assert isinstance(value, dict)
    known = value["understood"]
    assert isinstance(known, dict)
    said = ("request_model", "messages", "tools", "ended", "previous_id", "conversation_id")
    settings = {name: understood.settings.get(name) for name in ("parallel_tool_calls", "prompt")}
    choices = [(each.finish_reason, each.index) for each in understood.choices]
    answers = [each.message for each in understood.choices]
    return value | {
        "understood": [known[name] for name in said],
        "more": msgspec.to_builtins([settings, choices, answers, understood.instruction_count]),
    }


def same(reader: CallReader, capture: Capture) -> bool:
    return in_rows(reader.read(capture)) == in_rows(derive(capture, with_context=False))


@pytest.mark.parametrize("what", ODD_REQUESTS)
def test_an_odd_request_is_read_as_it_is_derived(what: str) -> None:
    reader = CallReader()
    assert same(reader, call(ODD_REQUESTS[what]))
    assert same(reader, call(ODD_REQUESTS[what]))


@pytest.mark.parametrize("what", ODD_ANSWERS)
def test_an_odd_answer_is_read_as_it_is_derived(what: str) -> None:
    assert same(CallReader(), call(answered=ODD_ANSWERS[what]))


@pytest.mark.parametrize("what", ODD_CALLS)
def test_an_odd_call_is_read_as_it_is_derived(what: str) -> None:
    assert same(CallReader(), msgspec.structs.replace(call(), **ODD_CALLS[what]))


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_every_recorded_stream_is_read_as_it_is_derived(path: Path) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    asked = request(tools=[FUNCTION], stream=True)
    assert same(CallReader(), call(asked, path.read_bytes(), response_headers=headers))


def test_a_body_cut_at_every_byte_is_read_as_it_is_derived() -> None:
    reader, asked, answered = CallReader(), request(tools=[FUNCTION]), answer()
    assert all(same(reader, call(asked[:end])) for end in range(len(asked)))
    assert all(same(reader, call(answered=answered[:end])) for end in range(len(answered)))


def test_what_is_sent_again_is_the_same_object() -> None:
    reader = CallReader()
    first = reader.read(call(request(tools=[FUNCTION]))).understood
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Ho"}]
    second = reader.read(call(request(*asked, tools=[FUNCTION]))).understood
    assert first.messages[0] is second.messages[0]
    assert first.tools[0] is second.tools[0]
    assert first.messages[1] != second.messages[1]


def test_what_was_forgotten_is_read_again() -> None:
    reader = CallReader(known_bytes_max=100)
    calls = [call(request({"role": "user", "content": f"{at} " * 20})) for at in (0, 1, 2, 0)]
    first, *_, again = [reader.read(each).understood.messages[0] for each in calls]
    assert first == again
    assert first is not again
