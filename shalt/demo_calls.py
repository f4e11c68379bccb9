"""The demo's traffic: conversations as an application would send them, and what is answered.

Four applications, two periods. Each period has the same number of conversations of each kind, drawn
in the same way; only the dates that people mention are of 2023 in the first and of 2024 in the
second. So there is one drift to be found, and none between two random halves.

About 500 conversations, 670 calls; the same for the same seed. Some calls fail, are cut short or
are refused, because in real traffic they are.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from shalt import demo_texts as texts

SEED = 2023
PERIODS = ("2023", "2024")
# Conversations of each kind in each period; drift needs 200 groups in a window.
NOTES_COUNT, SUPPORT_COUNT, TRANSLATE_COUNT, DIGEST_COUNT = 125, 40, 50, 40
SMALL_MODEL, LARGE_MODEL = "gpt-4o-mini", "gpt-4o"
RATE_LIMITED_RATIO, FAILED_RATIO, CUT_RATIO, PRIVATE_RATIO = 0.02, 0.01, 0.08, 0.10

Json = dict[str, object]


@dataclass(frozen=True)
class Answer:
    """What the upstream says to one request. `error` instead of a message, where status >= 400."""

    message: Json = field(default_factory=dict)
    finish_reason: str = "stop"
    status: int = 200
    error: str = ""


@dataclass(frozen=True)
class DemoCall:
    """One request, `body` being its bytes, and the answer it gets."""

    headers: dict[str, str]
    body: bytes
    answer: Answer


Conversation = list[DemoCall]


def conversations(period: str, seed: int = SEED) -> list[Conversation]:
    """Make the conversations of a period, in the order in which they begin."""
    dice = random.Random(f"{seed} {period}")
    made = [
        *(_notes(dice, period) for _ in range(NOTES_COUNT)),
        *(_support(dice, period) for _ in range(SUPPORT_COUNT)),
        *(_translate(dice, period) for _ in range(TRANSLATE_COUNT)),
        *(_digest(dice, period) for _ in range(DIGEST_COUNT)),
    ]
    dice.shuffle(made)
    return [list(_with_failures(dice, calls)) for calls in made]


def _notes(dice: random.Random, period: str) -> Conversation:
    """A transcript of a telephone call to one JSON object."""
    reason, said, noted = dice.choice(texts.NOTES_CASES)
    event = _day(dice, period)
    callback = event + timedelta(days=dice.randint(3, 20)) if dice.random() < 0.6 else None
    amount = dice.randint(1200, 48000) / 100
    fill = {
        "event": _spoken(dice, event),
        "amount": f"{amount:.2f}",
        "city": dice.choice(texts.CITIES),
        "reading": dice.randint(10_000, 99_999),
    }
    caller = _name(dice)
    asked = (
        dice.choice(texts.NOTES_CALLBACKS).format(callback=_spoken(dice, callback))
        if callback
        else dice.choice(texts.NOTES_NO_CALLBACKS)
    )
    agent = dice.choice(texts.AGENTS)
    transcript = (
        f"{agent}: Northwater Energy, {agent} speaking, how can I help?\n"
        f"Caller: Good morning, {caller} is my name. {said.format(**fill)}\n"
        f"{agent}: {dice.choice(texts.NOTES_ANSWERS)}\n"
        f"Caller: {asked}\n"
    )
    noted_as = {
        "caller": caller,
        "reason": reason,
        "event_date": event.isoformat(),
        "callback_date": callback.isoformat() if callback else None,
        "amount": amount if "{amount}" in said else None,
        "summary": noted.format(**fill),
    }
    request: Json = {
        "model": SMALL_MODEL,
        "temperature": 0,
        "messages": [
            _system(texts.NOTES_SYSTEM.format(today=event + timedelta(days=1))),
            _user(transcript),
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "note", "strict": True, "schema": texts.NOTES_SCHEMA},
        },
    }
    return [_call("call-notes", period, request, _says(json.dumps(noted_as, ensure_ascii=False)))]


@dataclass
class _Dialogue:
    """A conversation that grows: every request carries all that was said before."""

    period: str
    headers: dict[str, str]
    request: Json
    messages: list[Json]
    calls: Conversation = field(default_factory=list)

    def ask(self, answer: Answer, *messages: Json) -> None:
        self.messages += messages
        request = {**self.request, "messages": list(self.messages)}
        self.calls.append(_call("support", self.period, request, answer, self.headers))
        self.messages.append(answer.message)


def _support(dice: random.Random, period: str) -> Conversation:
    """A customer and an assistant that looks orders up and refunds them."""
    customer = f"C{dice.randint(10_000, 99_999)}"
    dialogue = _Dialogue(
        period,
        {"x-shalt-session": f"chat-{period}-{dice.getrandbits(32):08x}"},
        {
            "model": LARGE_MODEL,
            "tools": _SUPPORT_TOOLS,
            "user": customer,
            **_streamed(dice.random() < 0.7),
        },
        [_system(texts.SUPPORT_SYSTEM.format(customer=customer))],
    )
    item, price = dice.choice(texts.SUPPORT_ITEMS)
    order, second = (f"FN-{dice.randint(100_000, 999_999)}" for _ in range(2))
    fill = {"item": item, "order": order, "second": second, "price": f"{price:.2f}"}
    fill["event"] = _spoken(dice, _day(dice, period))
    fill["state"] = dice.choice(["delivered", "on its way", "returned to us"])
    if dice.random() < PRIVATE_RATIO:
        refusal = Answer({"role": "assistant", "content": None, "refusal": texts.SUPPORT_REFUSAL})
        dialogue.ask(refusal, _user(texts.SUPPORT_PRIVATE.format(**fill)))
    elif dice.random() < 0.25:
        _ask_for_two(dice, dialogue, fill)
    else:
        _ask_for_refund(dice, dialogue, fill, price)
    return dialogue.calls


def _ask_for_two(dice: random.Random, dialogue: _Dialogue, fill: dict[str, str]) -> None:
    other, price = dice.choice(texts.SUPPORT_ITEMS)
    fill |= {"other": other, "state_two": dice.choice(["packed", "on its way"])}
    first = _tool_call(dice, "lookup_order", {"order_id": fill["order"]})
    second = _tool_call(dice, "lookup_order", {"order_id": fill["second"]})
    dialogue.ask(_calls(first, second), _user(_pick(dice, texts.SUPPORT_OPENINGS_TWO, fill)))
    found = {"item": fill["item"], "price": fill["price"], "state": fill["state"]}
    found_two = {"item": other, "price": f"{price:.2f}", "state": fill["state_two"]}
    answer = _says(texts.SUPPORT_STATUS_TWO.format(**fill))
    dialogue.ask(answer, _tool_result(first, found), _tool_result(second, found_two))


def _ask_for_refund(
    dice: random.Random, dialogue: _Dialogue, fill: dict[str, str], price: float
) -> None:
    lookup = _tool_call(dice, "lookup_order", {"order_id": fill["order"]})
    dialogue.ask(_calls(lookup), _user(_pick(dice, texts.SUPPORT_OPENINGS, fill)))
    found = {"item": fill["item"], "price": fill["price"], "state": fill["state"]}
    dialogue.ask(_says(_pick(dice, texts.SUPPORT_STATUS, fill)), _tool_result(lookup, found))
    if dice.random() < 0.75:
        refund = _tool_call(dice, "refund_order", {"order_id": fill["order"], "amount": price})
        dialogue.ask(_calls(refund), _user(dice.choice(texts.SUPPORT_YES)))
        done = _says(_pick(dice, texts.SUPPORT_REFUNDED, fill))
        dialogue.ask(done, _tool_result(refund, {"refunded": price}))


def _translate(dice: random.Random, period: str) -> Conversation:
    """One message into one language."""
    at = dice.randrange(len(texts.TRANSLATE_LANGUAGES))
    pair = dice.choice(texts.TRANSLATE_PAIRS)
    fill = {
        "name": _name(dice),
        "city": dice.choice(texts.CITIES),
        "hour": str(dice.randint(7, 11)),
        "amount": f"{dice.randint(900, 30_000) / 100:.2f}",
        "order": f"FN-{dice.randint(100_000, 999_999)}",
    }
    system = texts.TRANSLATE_SYSTEM.format(language=texts.TRANSLATE_LANGUAGES[at])
    request: Json = {
        "model": SMALL_MODEL,
        "messages": [_system(system), _user(pair[0].format(**fill))],
    }
    return [_call("translate", period, request, _says(pair[at + 1].format(**fill)))]


def _digest(dice: random.Random, period: str) -> Conversation:
    """A ticket to two sentences; a few run into the token limit."""
    lines, summary = dice.choice(texts.DIGEST_CASES)
    fill = {
        "name": _name(dice),
        "agent": dice.choice(texts.AGENTS),
        "city": dice.choice(texts.CITIES),
        "count": str(dice.randint(3, 60)),
    }
    is_cut = dice.random() < CUT_RATIO
    request: Json = {
        "model": SMALL_MODEL,
        "max_tokens": 4 if is_cut else 120,
        "messages": [_system(texts.DIGEST_SYSTEM), _user("\n".join(lines).format(**fill))],
        "metadata": {"team": dice.choice(["grid", "billing"])},
        **_streamed(True),
    }
    answer = _says(texts.DIGEST_CUT, "length") if is_cut else _says(summary.format(**fill))
    return [_call("digest", period, request, answer)]


def _with_failures(dice: random.Random, calls: Conversation) -> Iterator[DemoCall]:
    """Let some calls be refused for their rate, and sent again; let a few fail for good."""
    for call in calls:
        fate = dice.random()
        if fate < RATE_LIMITED_RATIO:
            limited = Answer(status=429, error="Rate limit reached, try again in 20 ms.")
            yield DemoCall(call.headers, call.body, limited)
        elif fate < RATE_LIMITED_RATIO + FAILED_RATIO:
            failed = Answer(status=500, error="The server had an error processing your request.")
            yield DemoCall(call.headers, call.body, failed)
            return
        yield call


def _call(
    app: str, period: str, request: Json, answer: Answer, headers: dict[str, str] | None = None
) -> DemoCall:
    tags = {"x-shalt-tag-app": app, "x-shalt-tag-period": period}
    body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
    return DemoCall({**tags, **(headers or {})}, body, answer)


def _tool(name: str, description: str, **parameters: str) -> Json:
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


_SUPPORT_TOOLS = [
    _tool("lookup_order", "Find an order by its number.", order_id="string"),
    _tool(
        "refund_order", "Refund an amount in euros of an order.", order_id="string", amount="number"
    ),
]


def _tool_call(dice: random.Random, name: str, arguments: Json) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{dice.getrandbits(64):016x}", "type": "function", "function": function}


def _tool_result(call: Json, result: Mapping[str, object]) -> Json:
    return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)}


def _calls(*calls: Json) -> Answer:
    message: Json = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return Answer(message, "tool_calls")


def _says(text: str, finish_reason: str = "stop") -> Answer:
    return Answer({"role": "assistant", "content": text}, finish_reason)


def _system(text: str) -> Json:
    return {"role": "system", "content": text}


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _streamed(streamed: bool) -> Json:
    return {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}


def _name(dice: random.Random) -> str:
    return f"{dice.choice(texts.FIRST_NAMES)} {dice.choice(texts.LAST_NAMES)}"


def _pick(dice: random.Random, choices: list[str], fill: dict[str, str]) -> str:
    return dice.choice(choices).format(**fill)


def _day(dice: random.Random, period: str) -> date:
    """A day of the year, early enough that what follows it is in the same year."""
    return date(int(period), 1, 1) + timedelta(days=dice.randint(0, 330))


def _spoken(dice: random.Random, day: date) -> str:
    """A day as people say it: three of four name the year."""
    forms = ("%-d %B %Y", "%B %-d, %Y", "%Y-%m-%d", "%-d %B")
    return day.strftime(dice.choice(forms))
