"""What a call meant, as far as rows say it; what requests repeat is understood once.

A conversation is sent again with each turn, and applications begin all of theirs alike, so most
messages and tools of a chat completion were in a request before. Each is known by its bytes: those
that are not new are not decoded, and are the same objects again, which makes comparing quick. Of a
plain JSON answer the choices alone are read.

A `Span` from here is what storage.derive makes of the capture, but for what is in no row: of a chat
completion usage, note, logprobs and extra, names and ids of the answer, settings other than
`parallel_tool_calls`. Whatever is unusual (odd JSON, an encoded body, other endpoints) is left to
storage.derive, in part or as a whole.

Memory: KNOWN_BYTES_MAX of JSON each for messages and tools, and what was made of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import msgspec
from msgspec.structs import replace

from storage.capture import Body, Capture, Dialect, Endpoint, endpoint_of
from storage.derive import NAME_CHARS_MAX, derive
from storage.trace import Choice, Json, Message, Span, Tool, Understood
from storage.wire import DEEP_BYTES, NESTING_MAX, as_count, is_shallow
from storage.wire_openai import read_message, read_request

KNOWN_BYTES_MAX: Final = 2**20

# Above a message or tool are the object and the list that hold it.
_LEVELS_MAX: Final = NESTING_MAX - 2
_NOTHING_ASKED: Final = Body(b'{"messages":[]}')
_ENCODED: Final = b"content-encoding"
_TRACED: Final = b"traceparent"

Piece = TypeVar("Piece")


class CallReader:
    """Reads calls one after the other; best those of a group in a row, for they repeat much."""

    def __init__(self, known_bytes_max: int = KNOWN_BYTES_MAX) -> None:
        self._messages = _Known(_message, known_bytes_max)
        self._tools = _Known(_tool, known_bytes_max)

    def read(self, capture: Capture) -> Span:
        """Read a call but for who made it, which is in no row either. Never raises."""
        asked = self._asked(capture)
        if asked is None:
            return derive(capture, with_context=False)
        # Azure names the model in the path.
        choices = _choices(capture) if asked.model and not asked.is_traced else None
        if choices is not None:
            return _span(capture, asked, choices)
        span = derive(replace(capture, request_body=_NOTHING_ASKED), with_context=False)
        understood = replace(
            span.understood,
            request_model=asked.model or span.understood.request_model,
            messages=asked.messages,
            tools=asked.tools,
            settings=asked.settings,
        )
        return replace(span, understood=understood)

    def _asked(self, capture: Capture) -> "_Asked | None":
        """Read what was asked; None where storage.derive has to."""
        body = capture.request_body
        is_chat = endpoint_of(capture.method, capture.target) is Endpoint.CHAT_COMPLETIONS
        names = [name for name, _ in capture.request_headers]
        if not is_chat or capture.status_code == 101 or body.truncated or _ENCODED in names:
            return None
        try:
            request = _decode_request(body.data)
            sent = list(map(bytes, request.messages))
            offered = list(map(bytes, request.tools or ()))
            rest_bytes = len(body.data) - sum(map(len, sent)) - sum(map(len, offered))
            if rest_bytes >= DEEP_BYTES and not is_shallow(body.data):
                return None
            messages, tools = self._messages.find(sent), self._tools.find(offered)
        except _UNUSUAL:
            return None
        model, parallel = request.model or "", request.parallel_tool_calls
        is_odd = request.functions is not None or request.prompt is not None
        if is_odd or len(model) > NAME_CHARS_MAX or "\0" in model:
            return None
        settings: dict[str, Json] = {} if parallel is None else {"parallel_tool_calls": parallel}
        return _Asked(model, messages, tools, settings, _TRACED in names)


class _Asked(NamedTuple):
    """What a row says of a request."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    settings: dict[str, Json]
    is_traced: bool


class _Request(msgspec.Struct):
    """A request as rows need it. `functions` and `prompt` make it an unusual one."""

    messages: list[msgspec.Raw]
    model: str | None = None
    tools: list[msgspec.Raw] | None = None
    parallel_tool_calls: bool | None = None
    functions: Any = None
    prompt: Any = None


class _ReadChoice(msgspec.Struct):
    message: dict[str, Any]
    finish_reason: str | None = None
    index: Any = None


class _Answer(msgspec.Struct):
    choices: list[_ReadChoice]


class _Unusual(Exception):
    """Not for here."""


_UNUSUAL: Final = (_Unusual, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decode_request: Final = msgspec.json.Decoder(_Request).decode
_decode_answer: Final = msgspec.json.Decoder(_Answer).decode
_decode: Final = msgspec.json.Decoder().decode


class _Known(Generic[Piece]):
    """Messages, or tools, by the bytes they were sent in."""

    def __init__(self, understand: Callable[[Json], Piece | None], bytes_max: int) -> None:
        self._understand = understand
        self._bytes_max = bytes_max
        self._known: dict[bytes, Piece] = {}
        self._known_bytes = 0

    def find(self, sent: Sequence[bytes]) -> tuple[Piece, ...]:
        """Understand pieces, where they are new. Raises one of _UNUSUAL."""
        found = tuple(map(self._known.get, sent))
        if None not in found:
            return cast(tuple[Piece, ...], found)
        return tuple([known or self._new(each) for each, known in zip(sent, found, strict=True)])

    def _new(self, sent: bytes) -> Piece:
        if not is_shallow(sent, _LEVELS_MAX):
            raise _Unusual
        piece = self._understand(_decode(sent))
        if piece is None:
            raise _Unusual
        self._known_bytes += len(sent)
        if self._known_bytes > self._bytes_max:
            self._known.clear()
            self._known_bytes = len(sent)
        self._known[sent] = piece
        return piece


def _message(sent: Json) -> Message | None:
    return read_message(sent, []) if isinstance(sent, dict) else None


def _tool(sent: Json) -> Tool | None:
    tools = read_request({"tools": [sent]}, []).tools
    return tools[0] if tools else None


def _choices(capture: Capture) -> tuple[Choice, ...] | None:
    """Read the choices of a whole, plain JSON answer; None where storage.derive has to."""
    data = capture.response_body.data
    if (
        not data.startswith(b"{")
        or capture.response_body.truncated
        or _ENCODED in [name for name, _ in capture.response_headers]
        or not is_shallow(data)
    ):
        return None
    try:
        read = _decode_answer(data).choices
    except _UNUSUAL:
        return None
    choices: list[Choice] = []
    for position, each in enumerate(read):
        finish_reason, index = each.finish_reason or "", as_count(each.index)
        if len(finish_reason) > NAME_CHARS_MAX or "\0" in finish_reason:
            return None
        message = read_message({"role": "assistant", **each.message}, [])
        choices.append(Choice(message, finish_reason, position if index is None else index))
    return tuple(choices)


def _span(capture: Capture, asked: _Asked, choices: tuple[Choice, ...]) -> Span:
    """Say of a call with a plain answer, which belongs to no trace, what storage.derive would."""
    return Span(
        id=capture.id,
        project=capture.project,
        upstream=capture.upstream,
        dialect=Dialect.OPENAI,
        endpoint=Endpoint.CHAT_COMPLETIONS,
        method=capture.method,
        path=capture.target.partition("?")[0],
        started_at_ns=capture.started_at_ns,
        duration_ms=capture.ended_ns / 1e6,
        time_to_first_token_ms=None,
        outcome=capture.outcome,
        status_code=capture.status_code,
        error=capture.error,
        session_id="",
        trace_id=capture.id,
        user_id="",
        tags={},
        redacted=capture.redacted,
        truncated=False,
        understood=Understood(
            request_model=asked.model,
            messages=asked.messages,
            tools=asked.tools,
            choices=choices,
            settings=asked.settings,
            ended=True,
        ),
        source=capture.source,
    )
