"""What the tests of understanding share: our own streams, recorded traffic, captures made of both.

The streams in tests/corpus/streams were written by hand, in the shapes servers send. The recorded
traffic lies beside the checkout, is not ours to copy, and is not needed: without it tests skip.
"""

import base64
import json
from functools import cache
from pathlib import Path

import pytest

from storage.capture import Body, Capture, Dialect, Headers, Outcome
from storage.trace import Json, Message, Part, Tool, ToolCall
from tests.captures import plain_capture

STREAMS = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).parents[1] / "corpus" / "streams").glob("*.sse"))
}
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "traffic" / "recorded.jsonl"
needs_recordings = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recorded traffic is not beside this checkout"
)

Record = dict[str, Json]


@cache
def recordings() -> tuple[Record, ...]:
    """Read all recorded exchanges, once."""
    with RECORDINGS.open(encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def body_of(record: Record, which: str) -> bytes:
    encoded, text = record.get(f"{which}_body_b64"), record.get(f"{which}_body")
    if isinstance(encoded, str):
        return base64.b64decode(encoded)
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def capture(
    *,
    target: str = "/v1/chat/completions",
    request: bytes = b"",
    response: bytes = b"",
    request_headers: Headers | None = None,
    response_headers: Headers | None = None,
    status_code: int | None = 200,
    dialect: Dialect = Dialect.OPENAI,
    method: str = "POST",
    outcome: Outcome = Outcome.COMPLETE,
    request_body: Body | None = None,
) -> Capture:
    """Make a capture as a worker would have; times are 1, 2, 3 and 4 ms."""
    return plain_capture(
        request,
        response,
        dialect=dialect,
        method=method,
        target=target,
        request_headers=request_headers or [],
        request_body=request_body or Body(request, len(request)),
        status_code=status_code,
        response_headers=response_headers or [],
        outcome=outcome,
        started_at_ns=1_763_000_000_000_000_000,
        forwarded_ns=1_000_000,
        response_started_ns=2_000_000,
        first_byte_ns=3_000_000,
        ended_ns=4_000_000,
        overhead_ns=0,
    )


def capture_of(record: Record) -> Capture:
    """Make the capture of a recorded exchange."""
    status, dialect = record["status"], str(record["dialect"])
    assert isinstance(status, int)

    def headers(which: str) -> Headers:
        pairs = record[f"{which}_headers"]
        assert isinstance(pairs, list)
        return [(str(k).lower().encode(), str(v).encode()) for k, v in map(_pair, pairs)]

    return capture(
        target=str(record["request_path"]),
        request=body_of(record, "request"),
        response=body_of(record, "response"),
        request_headers=headers("request"),
        response_headers=headers("response"),
        status_code=status,
        dialect=Dialect(dialect) if dialect in list(Dialect) else Dialect.RAW,
        method=str(record["method"]),
        outcome=Outcome.COMPLETE if status < 400 else Outcome.UPSTREAM_ERROR,
    )


def _pair(value: Json) -> tuple[Json, Json]:
    assert isinstance(value, list)
    return value[0], value[1]


def openai_message(message: Message) -> Record:
    """Render a message as chat completions have it; the measure for nothing being lost."""
    legacy = [call for call in message.tool_calls if call.kind == "function_call"]
    calls = [_openai_call(call) for call in message.tool_calls if call.kind != "function_call"]
    rendered: Record = {"role": (message.extra or {}).get("role", message.role)}
    rendered["content"] = _openai_content(message)
    if calls:
        rendered["tool_calls"] = [*calls]
    if legacy:
        rendered["function_call"] = {"name": legacy[0].name, "arguments": legacy[0].arguments}
    if message.tool_call_id:
        rendered["tool_call_id"] = message.tool_call_id
    if message.name:
        rendered["name"] = message.name
    return rendered


def _openai_content(message: Message) -> Json:
    if message.content is None or isinstance(message.content, str):
        return message.content
    return [_openai_part(part) for part in message.content]


def _openai_part(part: Part) -> Json:
    return part.raw if part.raw is not None else {"type": part.kind, "text": part.text}


def _openai_call(call: ToolCall) -> Record:
    if call.raw is not None:
        return call.raw
    payload = "input" if call.kind == "custom" else "arguments"
    return {
        "id": call.id,
        "type": call.kind,
        call.kind: {"name": call.name, payload: call.arguments},
    }


def openai_tool(tool: Tool) -> Record:
    """Render a tool as chat completions have it, from its parts and not from `raw`."""
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
