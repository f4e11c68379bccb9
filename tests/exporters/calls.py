"""Calls for the tests of exporters: written here, nothing of them recorded anywhere."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from exporters.columns import window_of
from exporters.parts import LEAVING
from exporters.row_lines import file_of
from exporters.windows import Measured, Window
from storage.capture import Capture, Dialect, Outcome
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from storage.trace import Choice, Json, Message, Span, Tool, ToolCall, Understood
from tests.captures import plain_capture, plain_span

# The files of the sides that leave, but for Parquet's suffix.
SIDE_FILES = {side: file_of(side, "jsonl") for side in LEAVING}
WORDS = [f"{first}{last}" for first in ("ba", "ko", "mi", "ru", "te") for last in "nrstlmpdgk"]


@dataclass(frozen=True)
class Traffic:
    """A population of call-log extractions: 2023, one model, one prompt; and what may change."""

    new_year_ratio: float = 0.0  # share of logs dated 2024
    new_tool_ratio: float = 0.0  # share of calls that offer one tool more, and call it
    new_model_ratio: float = 0.0
    new_template_ratio: float = 0.0
    longer_by: float = 0.0  # standard deviations of the logarithm of the length

    def understood(self, chance: random.Random) -> Understood:
        year = 2024 if chance.random() < self.new_year_ratio else 2023
        count = max(1, round(chance.lognormvariate(3 + 0.5 * self.longer_by, 0.5)))
        text = " ".join(chance.choices(WORDS, k=count))
        date = f"{year}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
        system = "You extract fields from call logs. Answer in JSON."
        if chance.random() < self.new_template_ratio:
            system += " Write dates in ISO form."
        tools = [Tool("look_up", "Find a customer", {"type": "object"})]
        called = ["look_up"] * (chance.random() < 0.3)
        if chance.random() < self.new_tool_ratio:
            tools.append(Tool("refund", "Pay back", {"type": "object"}))
            called = ["refund"]
        model = "tiny-2" if chance.random() < self.new_model_ratio else "tiny-1"
        answer = Message(
            "assistant",
            None if called else " ".join(chance.choices(WORDS, k=chance.randint(3, 12))),
            tool_calls=tuple(ToolCall(name, "{}", f"call_{name}") for name in called),
        )
        turns = [
            Message(role, "and then")
            for _ in range(chance.choice((0, 0, 0, 1, 2)))
            for role in ("user", "assistant")
        ]
        return Understood(
            request_model=model,
            response_model=f"{model}-0613",
            messages=(Message("system", system), *turns, Message("user", f"{date}: {text}")),
            tools=tuple(tools),
            choices=(Choice(answer, "tool_calls" if called else "stop"),),
            ended=True,
        )


def span_of(understood: Understood, call_id: str = "0" * 32) -> Span:
    """Wrap what was understood as a complete chat call."""
    return plain_span(understood, id=call_id, trace_id=call_id)


def measured_of(understood: Understood, call_id: str, group_id: str = "") -> Measured:
    """Measure a call as the recorder would; its group is its own unless one is given."""
    span = span_of(understood, call_id)
    return Measured(
        call_id,
        group_id or call_id,
        understood.request_model,
        understood.response_model,
        span.finish_reason,
        features_of(span),
    )


def window(traffic: Traffic, count: int, seed: int) -> Window:
    """Draw `count` calls, each a group of its own."""
    return window_of(drawn(traffic, count, seed), f"seed {seed}")


def drawn(traffic: Traffic, count: int, seed: int) -> list[Measured]:
    """Draw the calls of such a window, in the order of their ids."""
    chance = random.Random(seed)
    return [
        measured_of(traffic.understood(chance), f"{seed:016x}{number:016x}")
        for number in range(count)
    ]


def said(role: str, content: Json, **more: Json) -> dict[str, Json]:
    """Write a message as OpenAI's API has it."""
    return {"role": role, "content": content, **more}


def chat(
    number: int,
    messages: Sequence[dict[str, Json]],
    answer: dict[str, Json] | None,
    *,
    finish_reason: str = "stop",
    model: str = "tiny-1",
    session: str = "",
    outcome: Outcome = Outcome.COMPLETE,
    started_at_ns: int = 0,
    path: str = "/v1/chat/completions",
    dialect: Dialect = Dialect.OPENAI,
    **request: Json,
) -> Capture:
    """Capture a chat completion; its id is `number` in hex, so ids sort as numbers do."""
    body = {"model": model, "messages": list(messages), **request}
    choices = [{"index": 0, "message": answer, "finish_reason": finish_reason}] if answer else []
    response = {"id": f"chatcmpl-{number}", "model": f"{model}-0613", "choices": choices}
    return capture(
        number,
        msgspec.json.encode(body),
        msgspec.json.encode(response),
        session=session,
        outcome=outcome,
        started_at_ns=started_at_ns,
        path=path,
        dialect=dialect,
    )


def capture(
    number: int,
    request: bytes,
    response: bytes,
    *,
    session: str = "",
    outcome: Outcome = Outcome.COMPLETE,
    started_at_ns: int = 0,
    path: str = "/v1/chat/completions",
    dialect: Dialect = Dialect.OPENAI,
) -> Capture:
    """Capture any call from its two bodies."""
    headers = [(b"content-type", b"application/json")]
    if session:
        headers.append((b"x-shalt-session", session.encode()))
    return plain_capture(
        request,
        response,
        id=f"{number:032x}",
        dialect=dialect,
        target=path,
        request_headers=headers,
        status_code=200 if outcome is Outcome.COMPLETE else 500,
        outcome=outcome,
        started_at_ns=started_at_ns,
    )


def opening(number: int) -> str:
    """Write an opening that is like no other: the guard finds nothing in it."""
    return " ".join(random.Random(number).choices(WORDS, k=12))


def conversation(
    first: int, asked: str, turns: int, *, session: str = "", system: str = "Be brief."
) -> list[Capture]:
    """Capture every turn of a conversation: each call repeats the turns before it."""
    history = [said("system", system)]
    captures = []
    for turn in range(turns):
        history.append(said("user", asked if turn == 0 else f"{asked}, question {turn}"))
        answer = said("assistant", f"answer {turn} to {asked}")
        captures.append(chat(first + turn, tuple(history), answer, session=session))
        history.append(answer)
    return captures


def record(store: TraceStore, captures: Iterable[Capture], offset: int = 1) -> None:
    """Store captures as the recorder would: derived, grouped, measured."""
    batch = []
    for one in captures:
        span = derive(one)
        batch.append(Recorded(one, span, group_of(span, one), features_of(span)))
    store.insert(batch, Checkpoint("f" * 32, 0, offset))
