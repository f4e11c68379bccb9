"""Capture to span: what a call meant. Pure and total.

The same capture gives the same span, and every capture gives one: what cannot be understood is
said in `note`, in words of ours, and the bytes stay in the capture. The end of the path decides
how the bodies are read, for `/messages` header and dialect too. What makes a model speak, embed,
judge or draw is understood; of every other call only the model, where the request names one. What
was answered with 101 is a WebSocket, whatever its path.

Limits: TAGS_MAX tags with keys of TAG_KEY_CHARS_MAX and values of TAG_VALUE_CHARS_MAX characters,
names and ids of NAME_CHARS_MAX; what is cut is noted. U+0000 in these becomes U+FFFD, because
PostgreSQL's text cannot hold it. The texts of messages are whole. Bodies are decoded within the
limits of storage.encoding and read within those of storage.wire.
"""

import re
from collections.abc import Callable
from operator import attrgetter
from urllib.parse import parse_qs, unquote

import msgspec

from storage import (
    wire_anthropic,
    wire_audio,
    wire_completions,
    wire_embeddings,
    wire_gemini,
    wire_images,
    wire_moderations,
    wire_openai,
    wire_realtime,
    wire_responses,
)
from storage.capture import Body, Capture, Dialect, Endpoint, Headers, Outcome, endpoint_of
from storage.context import Context, context_of, header_text
from storage.encoding import decode
from storage.trace import Span, Understood
from storage.wire import NOTE_CHARS_MAX, Notes, as_text, read_object

TAGS_MAX = 64
TAG_KEY_CHARS_MAX = 128
UNKNOWN_NAMED_MAX = 4  # headers that are none of ours, named in a note
TAG_VALUE_CHARS_MAX = 512  # an index of PostgreSQL takes 2,704 bytes of key, value and id
NAME_CHARS_MAX = 512

Format = Callable[[bytes, bytes, bool], Understood]

# https://www.w3.org/TR/trace-context/#traceparent-header: ids of zeros are none, ff is no version,
# 00 has four fields; later versions may append more.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
# Azure and Gemini name the model in the path: /deployments/gpt-4o/…, /models/gemini-2.5-pro:…
_MODEL_IN_PATH = re.compile(r"/(?:deployments/([^/]+)/|models/([^/:]+):)")
_GEMINI_METHODS = (":embedContent", ":batchEmbedContents")
_FORMATS: dict[Endpoint, Format] = {
    Endpoint.CHAT_COMPLETIONS: wire_openai.understand,
    Endpoint.RESPONSES: wire_responses.understand,
    Endpoint.MESSAGES: wire_anthropic.understand,
    Endpoint.GENERATE_CONTENT: wire_gemini.understand,
    Endpoint.COMPLETIONS: wire_completions.understand,
    Endpoint.EMBEDDINGS: wire_embeddings.understand,
    Endpoint.MODERATIONS: wire_moderations.understand,
    Endpoint.IMAGES: wire_images.understand,
    Endpoint.AUDIO: wire_audio.understand,
}
_STREAM_BEGINNINGS = (b"data:", b"event:", b":", b"id:", b"retry:", b"\xef\xbb\xbf")


def derive(capture: Capture, *, with_context: bool = True) -> Span:
    """Derive the span of a call. Never raises: a fault of ours is said in the span's note.

    Without the context, which is an eighth of the work, session, user and tags are empty.
    """
    notes: Notes = []
    endpoint = endpoint_of(capture.method, capture.target)
    understand = _format(capture, endpoint)
    understood = Understood()
    for response in (capture.response_body, Body()):  # a fault in one half must not lose the other
        try:
            understood = _understand(capture, understand, response, notes)
            break
        except Exception as error:  # noqa: BLE001 — one odd call must not stop those behind it
            # Its type alone: its text may quote the body.
            notes.append(f"not all was understood: {type(error).__name__} while reading")
    headers = capture.request_headers
    answered = capture.status_code is not None
    streamed = understood.streamed if answered else _wants_stream(capture, understood)
    tags: dict[str, str] = {}
    session_id = user_id = ""
    if with_context:
        context = context_of(headers)
        tags = _tags(context, understood.metadata, notes)
        session_id = _name(context.session_id, notes)
        user_id = _name(understood.user_id or context.user_id, notes)
    return Span(
        id=capture.id,
        project=capture.project,
        upstream=capture.upstream,
        dialect=_dialect(capture, understand),
        endpoint=endpoint,
        method=capture.method,
        path=capture.target.partition("?")[0],
        started_at_ns=capture.started_at_ns,
        duration_ms=capture.ended_ns / 1e6,
        time_to_first_token_ms=_time_to_first_token_ms(capture, streamed),
        outcome=capture.outcome,
        status_code=capture.status_code,
        error=capture.error,
        session_id=session_id,
        trace_id=_trace_id(headers) or capture.id,
        user_id=user_id,
        tags=tags,
        redacted=capture.redacted,
        truncated=capture.request_body.truncated or capture.response_body.truncated,
        understood=_bounded(understood, streamed, notes),
        source=capture.source,
    )


def _understand(
    capture: Capture, understand: Format | None, response_body: Body, notes: Notes
) -> Understood:
    request = _read_body("request", capture.request_headers, capture.request_body, notes)
    response = _read_body("answer", capture.response_headers, response_body, notes)
    streamed = _is_stream(capture.response_headers, response)
    if understand is None:
        endpoint = endpoint_of(capture.method, capture.target)
        notes.append(f"bodies of this kind are not understood ({endpoint})")
        is_json = request[:64].lstrip().startswith(b"{")
        understood = Understood(
            request_model=as_text(read_object(request, "", []).get("model")) if is_json else "",
            streamed=streamed,
            ended=capture.outcome in (Outcome.COMPLETE, Outcome.UPSTREAM_ERROR),
        )
    else:
        if not capture.request_body.data and understand is not wire_realtime.understand:
            notes.append("the request has no body")
        understood = understand(request, response, streamed)
    if not understood.request_model:
        model = _model_in_target(capture)
        if model:
            understood = msgspec.structs.replace(understood, request_model=model)
    return understood


def _model_in_target(capture: Capture) -> str:
    path, _, query = capture.target.partition("?")
    found = _MODEL_IN_PATH.search(path)
    if found:
        return unquote(found[1] or found[2])
    if endpoint_of(capture.method, path) is Endpoint.REALTIME:
        return parse_qs(query).get("model", [""])[0]
    return ""


def _format(capture: Capture, endpoint: Endpoint) -> Format | None:
    """Choose how to read the bodies of a call; None where we do not know how."""
    if capture.status_code == 101:
        return wire_realtime.understand
    if endpoint is Endpoint.MESSAGES and not _speaks_anthropic(capture):
        return None
    if endpoint is Endpoint.EMBEDDINGS and _path(capture).endswith(_GEMINI_METHODS):
        return wire_gemini.understand
    return _FORMATS.get(endpoint)


def _path(capture: Capture) -> str:
    return capture.target.partition("?")[0].rstrip("/")


def _speaks_anthropic(capture: Capture) -> bool:
    # OpenAI's assistants have /threads/<id>/messages.
    named = any(name == b"anthropic-version" for name, _ in capture.request_headers)
    return named or capture.dialect is Dialect.ANTHROPIC or "/threads/" not in capture.target


def _dialect(capture: Capture, understand: Format | None) -> Dialect:
    if understand is None:
        return capture.dialect
    if understand is wire_anthropic.understand:
        return Dialect.ANTHROPIC
    if understand is wire_realtime.understand and "BidiGenerateContent" in capture.target:
        return Dialect.GEMINI
    return Dialect.GEMINI if understand is wire_gemini.understand else Dialect.OPENAI


def _read_body(what: str, headers: Headers, body: Body, notes: Notes) -> bytes:
    data, trouble = decode(headers, body.data)
    if body.truncated:
        notes.append(f"of the {what} {len(body.data)} of {body.length} bytes were kept")
    elif trouble:
        notes.append(f"the {what} {trouble}")
    return data


def _is_stream(headers: Headers, response: bytes) -> bool:
    """Tell whether an answer is an event stream: by what it is called unless it is JSON, or by
    how it begins, because some servers call a stream JSON or nothing at all."""
    beginning = response[:64].lstrip()
    if _header(headers, b"content-type").lower().startswith("text/event-stream"):
        return not beginning.startswith((b"{", b"["))
    return beginning.startswith(_STREAM_BEGINNINGS)


def _wants_stream(capture: Capture, understood: Understood) -> bool:
    wanted = understood.settings.get("stream") is True
    return wanted or _path(capture).endswith(":streamGenerateContent")


def _time_to_first_token_ms(capture: Capture, streamed: bool) -> float | None:
    succeeded = capture.status_code is not None and 200 <= capture.status_code < 300
    if not (streamed and succeeded) or capture.first_byte_ns is None:
        return None
    return capture.first_byte_ns / 1e6


def _header(headers: Headers, wanted: bytes) -> str:
    for name, value in headers:
        if name == wanted:
            return header_text(value)
    return ""


def _trace_id(headers: Headers) -> str:
    parent = _header(headers, b"traceparent")
    found = _TRACEPARENT.fullmatch(parent) if parent else None
    if not found or (found["version"] == "00" and found["more"]):
        return ""
    return found["trace_id"]


def _tags(context: Context, metadata: dict[str, str], notes: Notes) -> dict[str, str]:
    """Collect the tags of headers and body; the first of a key counts, headers before the body."""
    tags: dict[str, str] = {}
    for name in context.unknown[:UNKNOWN_NAMED_MAX]:
        notes.append(f"{_cut(name, TAG_KEY_CHARS_MAX, 'a header', notes)} is no header of shalt's")
    for key, value in [*context.tags, *metadata.items()]:
        key = _cut(key.lower(), TAG_KEY_CHARS_MAX, "a tag's key", notes)
        if key in tags or not key:
            continue
        if len(tags) == TAGS_MAX:
            notes.append(f"only {TAGS_MAX} tags were kept")
            break
        tags[key] = _cut(value, TAG_VALUE_CHARS_MAX, "a tag's value", notes)
    return tags


_NAMES = (
    "request_model",
    "response_model",
    "user_id",
    "provider_id",
    "previous_id",
    "conversation_id",
    "system_fingerprint",
    "service_tier",
    "error_code",
)
_names_of = attrgetter(*_NAMES)


def _bounded(understood: Understood, streamed: bool, notes: Notes) -> Understood:
    """Bring the names and ids of an answer into their limits, and all notes together."""
    reasons = [choice.finish_reason for choice in understood.choices]
    changed: dict[str, object] = {}
    if any(map(_is_out_of_bounds, reasons)):
        changed["choices"] = tuple(
            msgspec.structs.replace(choice, finish_reason=_name(choice.finish_reason, notes))
            for choice in understood.choices
        )
    if _is_out_of_bounds("".join(_names_of(understood))):  # of all together: it may be none
        changed |= {key: _name(getattr(understood, key), notes) for key in _NAMES}
    if understood.note:
        notes.append(understood.note)
    note = "; ".join(dict.fromkeys(notes)) if notes else ""
    if note != understood.note or len(note) > NOTE_CHARS_MAX:
        changed["note"] = note[:NOTE_CHARS_MAX]
    if streamed != understood.streamed:
        changed["streamed"] = streamed
    return msgspec.structs.replace(understood, **changed) if changed else understood


def _name(text: str, notes: Notes) -> str:
    return _cut(text, NAME_CHARS_MAX, "a name or id", notes) if _is_out_of_bounds(text) else text


def _is_out_of_bounds(text: str) -> bool:
    return len(text) > NAME_CHARS_MAX or "\0" in text


def _cut(text: str, chars_max: int, what: str, notes: Notes) -> str:
    if len(text) > chars_max:
        notes.append(f"{what} was cut to {chars_max} characters")
    return text[:chars_max].replace("\0", "\ufffd")
