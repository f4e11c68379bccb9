"""Chat traffic as an application makes it, in any number of calls, the same for the same seed.

    python -m benchmarks.realistic [--calls 20000]      print what it is made of

What a store of calls is measured on decides what it is good at, so: text that people wrote, the
docstrings, comments and code of this Python installation and the documents beside it; 60 system
prompts and 12 sets of tools that recur; conversations that grow and are sent again with each turn,
half of the calls in one of 2 to 12 turns; 1,000 users, 20 tags, 7 models, 3 % errors, 3 % of
requests over 20 KB; the headers that the SDK and the upstream send. Request and response bodies
have about 5.3 KB together, spread over 30 days.
"""

import argparse
import ast
import json
import random
import re
import statistics
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

from storage.capture import Body, Capture, Dialect, Outcome

START_NS: Final = 1_790_000_000_000_000_000  # 21 September 2026
SPAN_NS: Final = 30 * 86_400 * 10**9
PARAGRAPHS_MAX: Final = 100_000
OPEN_CONVERSATIONS_MAX: Final = 2_000
MODELS: Final = ("gpt-5-mini", "gpt-5", "gpt-4o-mini", "gpt-4o", "o4-mini", "small-ft-1", "large-2")
APPS: Final = [f"app-{number}" for number in range(20)]

Json = dict[str, object]


@dataclass
class Conversation:
    """One user's conversation so far."""

    user: str
    app: str
    model: str
    turns_left: int
    messages: list[Json]
    tools: list[Json]
    session: str
    answered: int = field(default=0)


class Traffic:
    """Makes calls in the order of time. `streamed`: every answer is a stream of 64 events."""

    def __init__(self, calls: int, *, seed: int = 7, streamed: bool = False) -> None:
        self._chance = random.Random(seed)
        self._step_ns = SPAN_NS // calls
        self._calls = calls
        self._streamed = streamed
        self._open: list[Conversation] = []
        self._paragraphs = paragraphs()
        self._systems = [self.text(self._chance.randint(300, 1_200)) for _ in range(60)]
        self._tool_sets = [self._tool_set() for _ in range(12)]

    def __iter__(self) -> Iterator[Capture]:
        for number in range(self._calls):
            yield self._call(START_NS + number * self._step_ns)

    def text(self, length: int) -> str:
        """Make a text of about so many characters from whole paragraphs."""
        pieces: list[str] = []
        while length > 0:
            piece = self._chance.choice(self._paragraphs)
            pieces.append(piece[: max(length, 40)])
            length -= len(piece)
        return "\n\n".join(pieces)

    def _call(self, started_at_ns: int) -> Capture:
        chance = self._chance
        conversation = self._conversation()
        length = int(min(chance.lognormvariate(5.7, 1.0), 60_000))
        if chance.random() < 0.013:
            length = chance.randint(15_000, 40_000)
        conversation.messages.append({"role": "user", "content": self.text(length)})
        request: Json = {"model": conversation.model, "messages": conversation.messages}
        request |= {"temperature": chance.choice((0, 0.2, 0.7)), "user": conversation.user}
        if conversation.tools:
            request["tools"] = conversation.tools
        if self._streamed:
            request["stream"] = True
        body = json.dumps(request, ensure_ascii=False).encode()
        failed = chance.random() < 0.03
        answer = "" if failed else self.text(int(min(chance.lognormvariate(6.0, 0.8), 8_000)))
        if failed:
            status = chance.choice((429, 500, 503))
            error = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}
            response = json.dumps({"error": error}).encode()
        else:
            status = 200
            response = self._answer(conversation.model, answer, len(body), started_at_ns)
        conversation.messages.append({"role": "assistant", "content": answer})
        return self._capture(started_at_ns, conversation, body, status, response)

    def _conversation(self) -> Conversation:
        """Go on with a conversation, or begin one."""
        chance = self._chance
        if self._open and chance.random() < 0.5:
            at = chance.randrange(len(self._open))
            conversation = self._open[at]
            conversation.turns_left -= 1
            if conversation.turns_left <= 0:
                self._open[at] = self._open[-1]
                self._open.pop()
            return conversation
        turns = chance.choice((1, 1, 1, 2, 3, 4, 6, 12))
        conversation = Conversation(
            user=f"user-{chance.randrange(1_000)}",
            app=chance.choice(APPS),
            model=chance.choice(MODELS),
            turns_left=turns - 1,
            messages=[{"role": "system", "content": chance.choice(self._systems)}],
            tools=chance.choice(self._tool_sets) if chance.random() < 0.3 else [],
            session=f"{chance.getrandbits(64):016x}" if chance.random() < 0.7 else "",
        )
        if turns > 1:
            if len(self._open) >= OPEN_CONVERSATIONS_MAX:
                self._open[chance.randrange(len(self._open))] = conversation
            else:
                self._open.append(conversation)
        return conversation

    def _answer(self, model: str, text: str, request_bytes: int, at_ns: int) -> bytes:
        chance = self._chance
        answer: Json = {
            "id": f"chatcmpl-{chance.getrandbits(128):032x}"[:38],
            "object": "chat.completion.chunk" if self._streamed else "chat.completion",
            "created": at_ns // 10**9,
            "model": f"{model}-2026-05-01",
            "service_tier": "default",
            "system_fingerprint": f"fp_{zlib.crc32(model.encode()) & 0xFFFF:04x}",
        }
        read, written = request_bytes // 4, len(text) // 4
        usage: Json = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": read // 128 * 64, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }
        if not self._streamed:
            message: Json = {"role": "assistant", "content": text, "refusal": None}
            choice: Json = {"index": 0, "message": message, "logprobs": None}
            answer["choices"] = [choice | {"finish_reason": "stop"}]
            return json.dumps(answer | {"usage": usage}, ensure_ascii=False, indent=2).encode()
        return _events(answer, text, usage)

    def _capture(
        self,
        started_at_ns: int,
        conversation: Conversation,
        body: bytes,
        status: int,
        response: bytes,
    ) -> Capture:
        chance = self._chance
        milliseconds = started_at_ns // 10**6
        call_id = f"{milliseconds << 80 | 0x7000 << 64 | 2 << 62 | chance.getrandbits(62):032x}"
        duration_ns = int(chance.lognormvariate(20.7, 0.6))
        headers = [(name, value) for name, value in _REQUEST_HEADERS]
        headers += [(b"content-length", b"%d" % len(body))]
        headers += [(b"x-shalt-tag-app", conversation.app.encode())]
        if conversation.session:
            headers += [(b"x-shalt-session", conversation.session.encode())]
        return Capture(
            id=call_id,
            project="default",
            upstream="openai",
            dialect=Dialect.OPENAI,
            method="POST",
            target="/v1/chat/completions",
            request_headers=headers,
            request_body=Body(body, len(body)),
            status_code=status,
            response_headers=self._response_headers(duration_ns),
            response_body=Body(response, len(response)),
            outcome=Outcome.COMPLETE if status < 400 else Outcome.UPSTREAM_ERROR,
            error="",
            started_at_ns=started_at_ns,
            forwarded_ns=chance.randint(80_000, 200_000),
            response_started_ns=duration_ns - 100_000,
            first_byte_ns=duration_ns - 90_000,
            ended_ns=duration_ns,
            overhead_ns=chance.randint(100_000, 300_000),
            redacted=True,
        )

    def _response_headers(self, duration_ns: int) -> list[tuple[bytes, bytes]]:
        chance = self._chance
        kind = b"text/event-stream; charset=utf-8" if self._streamed else b"application/json"
        left = chance.randint(100_000, 200_000)
        return [
            (
                b"date",
                b"Mon, 21 Sep 2026 %02d:%02d:%02d GMT"
                % tuple(chance.randrange(24) for _ in range(3)),
            ),
            (b"content-type", kind),
            (b"openai-organization", b"user-9zkq3"),
            (b"openai-processing-ms", b"%d" % (duration_ns // 10**6)),
            (b"openai-version", b"2020-10-01"),
            (b"x-ratelimit-limit-requests", b"10000"),
            (b"x-ratelimit-limit-tokens", b"200000"),
            (b"x-ratelimit-remaining-requests", b"%d" % chance.randint(9_900, 9_999)),
            (b"x-ratelimit-remaining-tokens", b"%d" % left),
            (b"x-ratelimit-reset-requests", b"8.64s"),
            (b"x-request-id", b"req_%032x" % chance.getrandbits(128)),
            (b"cf-cache-status", b"DYNAMIC"),
            (b"set-cookie", b"[redacted]"),
            (b"x-content-type-options", b"nosniff"),
            (b"server", b"cloudflare"),
            (b"cf-ray", b"%016x-AMS" % chance.getrandbits(64)),
        ]

    def _tool_set(self) -> list[Json]:
        return [self._tool(number) for number in range(self._chance.randint(2, 6))]

    def _tool(self, number: int) -> Json:
        properties = {
            f"field_{at}": {"type": "string", "description": self.text(60)} for at in range(3)
        }
        parameters = {"type": "object", "properties": properties, "required": ["field_0"]}
        name, about = f"tool_{number}", self.text(150)
        function = {"name": name, "description": about, "parameters": parameters}
        return {"type": "function", "function": function}


def agent_run(turns: int, *, turn_bytes: int = 2_000, seed: int = 3) -> list[Capture]:
    """Make one agent's run: every turn sends all earlier ones again and adds `turn_bytes`."""
    traffic = Traffic(1_000, seed=seed)
    conversation = Conversation("user-0", "agent", "gpt-5", turns, [], [], "run-1")
    captures = []
    for turn in range(turns):
        result = traffic.text(turn_bytes // 2)
        role = "tool" if turn else "user"
        conversation.messages.append(
            {"role": role, "content": result, "tool_call_id": f"call_{turn}"}
        )
        request: Json = {"model": conversation.model, "messages": conversation.messages}
        body = json.dumps(request, ensure_ascii=False).encode()
        answer = traffic.text(turn_bytes // 2)
        at_ns = START_NS + turn * 10**10
        response = traffic._answer(conversation.model, answer, len(body), at_ns)
        conversation.messages.append({"role": "assistant", "content": answer})
        captures.append(traffic._capture(at_ns, conversation, body, 200, response))
    return captures


@cache
def paragraphs() -> list[str]:
    """Collect what people wrote into the files of this Python installation, in a fixed order."""
    found: dict[str, None] = {}
    for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".py", ".md", ".rst", ".txt") and path.stat().st_size < 300_000:
                for paragraph in _paragraphs_of(path):
                    found[paragraph] = None
                if len(found) > PARAGRAPHS_MAX:
                    return list(found)
    return list(found)


def _paragraphs_of(path: Path) -> Iterator[str]:
    try:
        text = path.read_text()
        if path.suffix == ".py":
            # Docstrings are prose; of code, every fifth paragraph is enough.
            tree = ast.parse(text)
            code = re.split(r"\n\s*\n", text)[::5]
            documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
            nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
            text = "\n\n".join([*(ast.get_docstring(node) or "" for node in nodes), *code])
    except (SyntaxError, ValueError, RecursionError):
        return
    for paragraph in re.split(r"\n\s*\n", text):
        if 60 <= len(paragraph) <= 1_500:
            yield paragraph.strip()


def _events(answer: Json, text: str, usage: Json) -> bytes:
    """Write an answer as a stream: 62 pieces, one with the usage, the end."""
    size = max(len(text) // 61 + 1, 1)
    pieces = [text[at : at + size] for at in range(0, max(len(text), 1), size)]
    lines = []
    for number in range(62):
        piece = pieces[number] if number < len(pieces) else ""
        choice = {"index": 0, "delta": {"content": piece}, "logprobs": None, "finish_reason": None}
        lines.append(json.dumps(answer | {"choices": [choice], "usage": None}, ensure_ascii=False))
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    lines.append(json.dumps(answer | {"choices": [last], "usage": usage}))
    return b"".join(b"data: %b\n\n" % line.encode() for line in [*lines, "[DONE]"])


_REQUEST_HEADERS: Final = (
    (b"host", b"127.0.0.1:8400"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"OpenAI/Python 2.21.0"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-package-version", b"2.21.0"),
    (b"x-stainless-os", b"Linux"),
    (b"x-stainless-arch", b"x64"),
    (b"x-stainless-runtime", b"CPython"),
    (b"x-stainless-runtime-version", b"3.11.7"),
    (b"authorization", b"Bearer [redacted:4f1c9a70]"),
    (b"x-stainless-async", b"false"),
    (b"x-stainless-retry-count", b"0"),
    (b"x-stainless-read-timeout", b"600"),
    (b"content-type", b"application/json"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    calls = parser.parse_args().calls
    requests, responses = [], []
    for capture in islice(Traffic(calls), calls):
        requests.append(capture.request_body.length)
        responses.append(capture.response_body.length)
    print(f"paragraphs {len(paragraphs()):,}")
    for name, sizes in (("request", requests), ("response", responses)):
        large = sum(size > 20_000 for size in sizes) / calls
        print(
            f"{name:<9} mean {statistics.mean(sizes):,.0f} median {statistics.median(sizes):,.0f} "
            f"bytes, {large:.1%} over 20 KB"
        )


if __name__ == "__main__":
    main()
