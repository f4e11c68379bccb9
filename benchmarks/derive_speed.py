"""What it costs to understand a call: derive, beside json.loads of the same bytes.

    python -m benchmarks.derive_speed

Three calls of our own: a 1 KB chat call, the same with its answer as a stream of 64 chunks, and a
20 KB call of an agent with tools. Of each the best of REPEATS runs, because the machine is shared.
`json.loads` of request and answer (of every event's data, for the stream) is the floor that the
standard library sets. Targets: 60 µs, 250 µs, and for 20 KB twice the floor. Then what tokens and
price of such a call cost on top: counted by the upstream, and estimated. Target: 15 µs together.
"""

import json
import sys
import timeit
from collections.abc import Callable
from functools import partial

import msgspec

from storage.capture import Capture, SystemClock, new_id
from storage.derive import derive
from storage.prices import Cost, billed, cost_of
from storage.sse import events
from storage.trace import Json, Span, Usage
from storage.usage import usage_of
from tests.captures import plain_capture

REPEATS = 15
SECONDS_PER_REPEAT = 0.05
TOKENS_AND_PRICE_TARGET_US = 15.0
TARGETS_US = {"1 KB JSON": 60.0, "64 chunks": 250.0}


def main() -> int:
    """Measure and print a table; exit 1 if a target is missed."""
    print(f"{'call':<12}{'bytes':>8}{'derive µs':>12}{'json.loads µs':>16}{'ratio':>8}")
    missed = False
    for name, call in (("1 KB JSON", small()), ("64 chunks", stream()), ("20 KB JSON", large())):
        bodies = call.request_body.data, call.response_body.data
        spent = best_us(partial(derive, call))
        floor = best_us(partial(load, *bodies))
        missed |= spent > TARGETS_US.get(name, 2 * floor)
        size = sum(map(len, bodies))
        print(f"{name:<12}{size:>8}{spent:>12.1f}{floor:>16.1f}{spent / floor:>8.2f}")
        assert derive(call).understood.ended, derive(call).understood.note
    missed |= tokens_and_price_us() > TOKENS_AND_PRICE_TARGET_US
    return int(missed)


def tokens_and_price_us() -> float:
    """Print microseconds for tokens and price, counted and estimated; return the greater."""
    span = derive(small())
    named = msgspec.structs.replace(span.understood, request_model="gpt-4o")
    uncounted = msgspec.structs.replace(named, usage=Usage())
    spent = {}
    for name, understood in (("counted", named), ("estimated", uncounted)):
        priced = msgspec.structs.replace(span, understood=understood)
        assert count_and_price(priced).usd is not None
        spent[name] = best_us(partial(count_and_price, priced))
    print(", ".join(f"tokens {name} and priced {us:.1f} µs" for name, us in spent.items()))
    return max(spent.values())


def count_and_price(span: Span) -> Cost:
    """Find tokens and price of a call, as the recorder does."""
    return cost_of(billed(span, usage_of(span)[0]))


def best_us(run: Callable[[], object]) -> float:
    """Microseconds per call in the best of REPEATS runs."""
    timer = timeit.Timer(run)
    number, seconds = timer.autorange()
    number = max(1, int(number * SECONDS_PER_REPEAT / seconds))
    return min(timer.repeat(REPEATS, number)) / number * 1e6


def load(request: bytes, response: bytes) -> None:
    """Do what nobody who reads these bodies with the standard library can do without."""
    json.loads(request)
    if response.startswith(b"data:"):
        for event in events(response)[:-1]:
            json.loads(event.data)
    else:
        json.loads(response)


def call_of(request: Json, response: bytes, kind: bytes) -> Capture:
    data = json.dumps(request).encode()
    return plain_capture(
        data,
        response,
        id=new_id(SystemClock()),
        request_headers=[
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"user-agent", b"benchmark"),
            (b"x-shalt-tag-team", b"tides"),
        ],
        response_headers=[(b"content-type", kind), (b"server", b"benchmark")],
        started_at_ns=1_763_000_000_000_000_000,
    )


USAGE: Json = {
    "prompt_tokens": 42,
    "completion_tokens": 64,
    "total_tokens": 106,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
HEAD: dict[str, Json] = {
    "id": "chatcmpl-9bQfW2mT7sKxLr3VnYpZ1aHc",
    "created": 1763000000,
    "model": "small-1-2026-03-01",
    "service_tier": "default",
    "system_fingerprint": "fp_b376dfbbd5",
}


def question() -> dict[str, Json]:
    return {
        "model": "small-1",
        "messages": [
            {"role": "system", "content": "You answer questions about tides in one sentence."},
            {"role": "user", "content": "When is high water in Brest tomorrow, and how high?"},
        ],
        "temperature": 0.2,
        "max_tokens": 128,
    }


def answer(message: dict[str, Json], finish_reason: str) -> bytes:
    choice: Json = {
        "index": 0,
        "message": {"role": "assistant", "refusal": None, **message},
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    whole: Json = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return json.dumps(whole).encode()


def small() -> Capture:
    text = "High water in Brest is at 04:10 and 16:32 tomorrow, at 6.9 and 6.7 metres. "
    return call_of(question(), answer({"content": text}, "stop"), b"application/json")


def stream() -> Capture:
    deltas: list[dict[str, Json]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": f" word{number}"} for number in range(61)]
    chunks: list[dict[str, Json]] = [
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas
    ]
    chunks.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"})
    kind: dict[str, Json] = {**HEAD, "object": "chat.completion.chunk"}
    lines = [
        json.dumps(kind | {"choices": [chunk], "usage": None, "obfuscation": "x1Yz"})
        for chunk in chunks
    ]
    lines.append(json.dumps(kind | {"choices": [], "usage": USAGE, "obfuscation": ""}))
    data = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
    streamed: dict[str, Json] = {"stream": True, "stream_options": {"include_usage": True}}
    request = {**question(), **streamed}
    return call_of(request, data, b"text/event-stream; charset=utf-8")


def large() -> Capture:
    """An agent's ninth turn: tools, calls, results."""
    schema: Json = {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": f"The {name} to look for."}
            for name in ("port", "date", "unit")
        },
        "required": ["port"],
    }
    tools: list[Json] = [
        {
            "type": "function",
            "function": {"name": f"find_{n}", "description": "Look it up.", "parameters": schema},
        }
        for n in range(12)
    ]
    messages: list[Json] = [{"role": "system", "content": "You plan voyages. " * 40}]
    for turn in range(8):
        call: Json = {
            "id": f"call_{turn}",
            "type": "function",
            "function": {"name": "find_1", "arguments": '{"port":"Brest","date":"2026-11-22"}'},
        }
        messages += [
            {"role": "user", "content": "And what about the next port on the list? " * 6},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "04:10 6.9 m\n" * 50},
            {"role": "assistant", "content": "You can enter from 02:00 on. " * 10},
        ]
    request: dict[str, Json] = {**question(), "messages": messages, "tools": tools}
    return call_of(request, answer({"content": "Wait. " * 100}, "stop"), b"application/json")


if __name__ == "__main__":
    sys.exit(main())
