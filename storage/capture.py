"""What the worker saw of one call: bytes, times and outcome. The verbatim record.

A `Capture` is written once, by the worker, and never changed. Everything else that shalt
knows of a call (model, messages, tokens, group) is derived from it and can be derived again.

Limits: a kept body is at most `body_bytes_max` long (settings); beyond that `Body` keeps the
head, the full length and the SHA-256 of all of it. This module understands no dialect and
imports nothing of ours, because every worker loads it.
"""

import os
import time
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

import msgspec

CAPTURE_VERSION = 1
# A clock that is put right goes back by seconds; one that goes back further was wrong before.
CLOCK_STEP_SECONDS = 60
_STEP_TICKS = CLOCK_STEP_SECONDS * 1000 << 12
_last_tick = 0  # of the last id: 4096ths of a millisecond since 1970

PROJECT_PATTERN = r"[A-Za-z0-9._-]{1,64}"  # what the name of a project is made of
RELAYED = "relay"  # the source of a call that passed through shalt

Headers = list[tuple[bytes, bytes]]


class Clock(Protocol):
    """Where time comes from; the tests bring their own."""

    def wall_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...


class SystemClock:
    """The machine's clocks: nanoseconds since 1970 UTC, and monotonic nanoseconds."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class Outcome(StrEnum):
    """How a call ended. One of these for every call, whatever happened."""

    COMPLETE = "complete"  # the whole answer passed, status < 400
    UPSTREAM_ERROR = "upstream_error"  # the whole answer passed, status >= 400; or not HTTP
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_CUT = "upstream_cut"  # the answer began and broke off
    CLIENT_GONE = "client_gone"
    INTERRUPTED = "interrupted"  # shalt died in the middle
    REFUSED = "refused"  # answered by shalt itself


class DropReason(StrEnum):
    """Why an accepted call has no row. Counted in the ledger, one counter each."""

    SPOOL_FULL = "spool_full"  # spool_bytes_max reached, spool_full = "forward_unrecorded"
    SPOOL_ERROR = "spool_error"  # the disk refused the write
    WORKER_DIED = "worker_died"  # the worker was killed before the call reached the spool
    POISON = "poison"  # the recorder could not digest it; the bytes lie in the poison directory


class LeftOut(StrEnum):
    """Why an accepted call was not to be recorded. Counted in the ledger, one counter each."""

    SAMPLED_OUT = "sampled_out"  # `sample_ratio` of the calls are kept, and it is not one of them
    OPTED_OUT = "opted_out"  # it said so itself: x-shalt-record: none


class Dialect(StrEnum):
    """The family of wire formats an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    RAW = "raw"


class Endpoint(StrEnum):
    """What kind of call it is, by the end of its path."""

    CHAT_COMPLETIONS = "chat_completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    GENERATE_CONTENT = "generate_content"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
    IMAGES = "images"
    AUDIO = "audio"
    REALTIME = "realtime"
    MODELS = "models"
    OTHER = "other"


# By the last segment of the path, then the one before it; "" stands for any.
_ENDPOINTS: dict[str, dict[str, Endpoint]] = {
    "completions": {"chat": Endpoint.CHAT_COMPLETIONS, "": Endpoint.COMPLETIONS},
    "responses": {"": Endpoint.RESPONSES},
    "messages": {"": Endpoint.MESSAGES},
    "embeddings": {"": Endpoint.EMBEDDINGS},
    "moderations": {"": Endpoint.MODERATIONS},
    "generations": {"images": Endpoint.IMAGES},
    "edits": {"images": Endpoint.IMAGES},
    "variations": {"images": Endpoint.IMAGES},
    "speech": {"audio": Endpoint.AUDIO},
    "transcriptions": {"audio": Endpoint.AUDIO},
    "translations": {"audio": Endpoint.AUDIO},
    "models": {"": Endpoint.MODELS},
    "realtime": {"": Endpoint.REALTIME},
}
_BY_GET = frozenset((Endpoint.MODELS, Endpoint.REALTIME))
# Gemini's methods follow the model: /v1beta/models/gemini-2.5-pro:generateContent
_ENDPOINT_OF_METHOD = {
    "generateContent": Endpoint.GENERATE_CONTENT,
    "streamGenerateContent": Endpoint.GENERATE_CONTENT,
    "embedContent": Endpoint.EMBEDDINGS,
    "batchEmbedContents": Endpoint.EMBEDDINGS,
}
_GEMINI_LIVE = "BidiGenerateContent"  # behind the name of its service, or by itself
# Request lines whose endpoint is remembered, for most calls have one of a few.
ENDPOINTS_MAX: Final = 256


@lru_cache(ENDPOINTS_MAX)
def endpoint_of(method: str, target: str) -> Endpoint:
    """Name the endpoint of a request line: method, and path with or without query.

    Only a POST makes a model speak; reading a stored answer back (`GET /responses/resp_1`,
    `GET /chat/completions`) is `other`, or the same answer would count twice. Listing models and
    the handshake of a realtime WebSocket are the GETs with a name of their own.
    """
    path, _, last = target.partition("?")[0].rstrip("/").rpartition("/")
    found = _ENDPOINTS.get(last)
    if found is not None:
        endpoint = found.get(path.rpartition("/")[2]) or found.get("", Endpoint.OTHER)
    else:
        endpoint = _ENDPOINT_OF_METHOD.get(last.rpartition(":")[2], Endpoint.OTHER)
        if _GEMINI_LIVE in last:
            endpoint = Endpoint.REALTIME
    speaks = (method == "POST") != (endpoint in _BY_GET)
    return endpoint if speaks else Endpoint.OTHER


class Body(msgspec.Struct, frozen=True, array_like=True):
    """A body as it passed, after transfer-decoding, its content-encoding kept.

    `data` is what was kept, `length` what passed on the wire in bytes. `sha256` (hex) is of all
    that passed, and empty where `data` is exactly that. `truncated`: longer than was kept.
    `kept`: bytes of `data`, where secrets were taken out of it; None where none were. Of a
    WebSocket (the answer was 101) the bodies are the frames of both directions, the masks of the
    client's undone and their keys zero, which counts as what passed (storage.frames).
    """

    data: bytes = b""
    length: int = 0
    sha256: str = ""
    truncated: bool = False
    kept: int | None = None


class Capture(msgspec.Struct, frozen=True, array_like=True):
    """One call, verbatim but for secrets.

    `target` is path and query as the client sent them. Header names are lower-case, order and
    repeats kept; `x-shalt-*` request headers are here although they are not forwarded. Times
    named `_ns` other than `started_at_ns` are nanoseconds since the call started, by a monotonic
    clock; None where the call did not get so far. `source` says how the call came here: `relay`,
    `import:<format>`, `otlp`; what did not pass through shalt is put into the form of its dialect.
    """

    id: str
    project: str
    upstream: str
    dialect: Dialect
    method: str
    target: str
    request_headers: Headers
    request_body: Body
    status_code: int | None
    response_headers: Headers
    response_body: Body
    outcome: Outcome
    error: str  # what went wrong on our side of the wire, empty if nothing
    started_at_ns: int  # since 1970 UTC
    forwarded_ns: int | None  # the request's head was handed to an upstream connection
    response_started_ns: int | None  # the answer's head was here
    first_byte_ns: int | None  # the first byte of the answer's body was here
    ended_ns: int  # the last byte was handed to the client, or the call failed
    overhead_ns: int  # of all that, spent in shalt and not waiting for either side
    redacted: bool
    version: int = CAPTURE_VERSION
    source: str = RELAYED


def new_id(clock: Clock) -> str:
    """Mint an id: uuid7 (RFC 9562, method 3), 32 hex characters.

    48 bits of milliseconds, 12 bits of the fraction of a millisecond, 62 random bits: ids sort
    by time to a quarter of a microsecond and need no coordination between workers. Those of one
    process ascend even where the clock is set back, by CLOCK_STEP_SECONDS at most.
    """
    global _last_tick  # a process has one sequence of ids
    milliseconds, rest_ns = divmod(clock.wall_ns(), 1_000_000)
    tick = milliseconds << 12 | rest_ns * 4096 // 1_000_000
    if 0 <= _last_tick - tick < _STEP_TICKS:
        tick = _last_tick + 1
    _last_tick = tick
    random_bits = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF
    fraction = (tick & 0xFFF) << 64
    value = (tick >> 12) << 80 | 0x7000 << 64 | fraction | 0x8000_0000_0000_0000 | random_bits
    return f"{value:032x}"
