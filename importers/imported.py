"""A call as another tool recorded it, and how that becomes a capture.

The bodies are put into the wire form of a dialect, so that `storage.derive` understands an
imported call like any other. What the source says and a wire form has no place for stands in the
answer under `imported`: derived, it is in `Span.understood.extra`, and nothing is lost. Session,
tags and trace become the headers an application would have sent (`x-shalt-session`,
`x-shalt-tag-<key>`, `traceparent`).

Ids are a function of the source, so importing twice adds nothing: a uuid7 whose time is the
original one and whose other bits are a SHA-256 of project, format and original id; where a record
has no id, of the record itself and how many equal ones stood before it in the file.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from storage.capture import Body, Capture, Dialect, Headers, Outcome
from storage.trace import Json
from storage.wire import Object, as_array, as_object

CHAT_TARGET = "/v1/chat/completions"
TIME_NS_MAX = 2**48 * 1_000_000 - 1  # uuid7 has 48 bits of milliseconds; some 9,000 years
DURATION_NS_MAX = 366 * 86_400 * 1_000_000_000  # a longer one is a wrong clock

_HEX_32 = re.compile(r"(?!0{32})[0-9a-f]{32}")
_HEX_16 = re.compile(r"(?!0{16})[0-9a-f]{16}")

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class NotUnderstood(Exception):
    """A record is not of its format; the message says why, in words that follow its place."""


class ImportedCall(msgspec.Struct, frozen=True):
    """A call as another tool recorded it, its bodies in the form of `target`'s wire format.

    `original_id` is the source's id of it, empty where it has none. `started_at_ns` is since 1970
    UTC, None where the source does not say; `first_token_ns` is since then, None unless the answer
    was streamed. `status_code` None: the source says only that it failed. `rest` is what has no
    place.
    """

    request: Object
    response: Object
    original_id: str = ""
    started_at_ns: int | None = None
    duration_ns: int = 0
    first_token_ns: int | None = None
    streamed: bool = False
    target: str = CHAT_TARGET
    dialect: Dialect = Dialect.OPENAI
    upstream: str = ""
    status_code: int | None = 200
    error: str = ""
    session_id: str = ""
    trace_id: str = ""
    parent_span_id: str = ""
    tags: dict[str, str] = {}
    rest: Object = {}


class Reading(NamedTuple):
    """What a record holds: calls, and how many things that are none, as spans of other kinds."""

    calls: list[ImportedCall]
    other_count: int = 0


Reader = Callable[[Object], Reading]  # raises NotUnderstood


class Identities:
    """Gives imported calls their ids. One for each file: equal records are counted within it.

    About 100 bytes of memory for each record without an id of its own.
    """

    def __init__(self, project: str, form: str) -> None:
        self._prefix = f"{project}\0{form}\0"
        self._seen: Counter[bytes] = Counter()

    def id_of(self, call: ImportedCall, record: Object, started_at_ns: int) -> str:
        """Return the id of a call that was found in `record` and started then."""
        if call.original_id:
            key = call.original_id.encode("utf-8", "surrogatepass")
        else:
            key = hashlib.sha256(_encode_sorted(record)).digest()[:16]
            self._seen[key] += 1
            key += b"\0%d" % self._seen[key]
        return call_id(started_at_ns, self._prefix.encode() + key)


def call_id(started_at_ns: int, key: bytes) -> str:
    """Make the uuid7 of a time and a key: of `storage.capture.new_id`'s form, but reproducible."""
    milliseconds, rest_ns = divmod(min(max(started_at_ns, 0), TIME_NS_MAX), 1_000_000)
    fraction = rest_ns * 4096 // 1_000_000
    bits = int.from_bytes(hashlib.sha256(key).digest()[:8]) & 0x3FFF_FFFF_FFFF_FFFF
    value = milliseconds << 80 | 0x7000 << 64 | fraction << 64 | 0x8000_0000_0000_0000 | bits
    return f"{value:032x}"


def capture_of(
    call: ImportedCall,
    *,
    id: str,
    project: str,
    source: str,
    started_at_ns: int,
    tags: Mapping[str, str],
    body_bytes_max: int,
) -> Capture:
    """Write the capture that the call would have been; `tags` come before the call's own."""
    response = dict(call.response)
    if call.rest:
        response["imported"] = call.rest
    streamed = call.streamed and call.target == CHAT_TARGET and bool(response.get("choices"))
    content_type = b"text/event-stream" if streamed else b"application/json"
    failed = call.status_code is None or call.status_code >= 400 or bool(call.error)
    duration_ns = min(max(call.duration_ns, 0), DURATION_NS_MAX)
    first_ns = duration_ns if call.first_token_ns is None else call.first_token_ns
    return Capture(
        id=id,
        project=project,
        upstream=call.upstream or "imported",
        dialect=call.dialect,
        method="POST",
        target=call.target,
        request_headers=_request_headers(call, tags),
        request_body=_body(_encode(call.request), body_bytes_max),
        status_code=call.status_code,
        response_headers=[(b"content-type", content_type)],
        response_body=_body(
            _event_stream(response) if streamed else _encode(response), body_bytes_max
        ),
        outcome=Outcome.UPSTREAM_ERROR if failed else Outcome.COMPLETE,
        error=call.error,
        started_at_ns=min(max(started_at_ns, 0), TIME_NS_MAX),
        forwarded_ns=None,
        response_started_ns=None,
        first_byte_ns=min(max(first_ns, 0), duration_ns) if duration_ns else None,
        ended_ns=duration_ns,
        overhead_ns=0,
        redacted=False,
        source=source,
    )


def trace_of(trace_id: str) -> str:
    """Return a trace id as W3C writes one, empty if it is none: 32 hex digits, dashes left out."""
    plain = trace_id.replace("-", "").lower()
    return plain if _HEX_32.fullmatch(plain) else ""


def _request_headers(call: ImportedCall, tags: Mapping[str, str]) -> Headers:
    headers: Headers = [(b"content-type", b"application/json")]
    if call.session_id:
        headers.append((b"x-shalt-session", _header_value(call.session_id)))
    trace_id = trace_of(call.trace_id)
    own_tags = dict(call.tags)
    if trace_id:
        # Of a trace without a parent this is the root, whose id the header cannot leave out.
        parent = call.parent_span_id.lower()
        if not _HEX_16.fullmatch(parent):
            parent = hashlib.sha256(call.original_id.encode()).hexdigest()[:16]
            if call.parent_span_id:
                own_tags["parent_id"] = call.parent_span_id
        headers.append((b"traceparent", f"00-{trace_id}-{parent}-01".encode()))
    elif call.trace_id:
        own_tags["trace_id"] = call.trace_id
        if call.parent_span_id:
            own_tags["parent_id"] = call.parent_span_id
    for key, value in {**own_tags, **tags}.items():
        headers.append((b"x-shalt-tag-" + _header_value(key.lower()), _header_value(value)))
    return headers


def _header_value(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _body(data: bytes, kept_bytes_max: int) -> Body:
    """Keep a body as the relay would: of a longer one, hash and length of all."""
    if len(data) <= kept_bytes_max:
        return Body(data, len(data))
    return Body(data[:kept_bytes_max], len(data), hashlib.sha256(data).hexdigest(), True)


def _event_stream(response: Object) -> bytes:
    """Write a chat completion as the stream it was: one chunk, then the end.

    Only so is it known to have been streamed, and its time to first token one.
    """
    choices: list[Json] = []
    for choice in map(as_object, as_array(response.get("choices"))):
        delta = dict(as_object(choice.get("message")))
        if calls := as_array(delta.get("tool_calls")):
            delta["tool_calls"] = [
                {"index": index, **as_object(call)} for index, call in enumerate(calls)
            ]
        kept = {key: value for key, value in choice.items() if key != "message"}
        choices.append({**kept, "delta": delta})
    chunk = {**response, "object": "chat.completion.chunk", "choices": choices}
    return b"data: " + _encode(chunk) + b"\n\ndata: [DONE]\n\n"
