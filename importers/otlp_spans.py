"""Spans as OTLP sends them, protobuf or JSON, in one form; and their attributes as plain values.

The format is https://opentelemetry.io/docs/specs/otlp/ (opentelemetry-proto 1.x): the message
ExportTraceServiceRequest. Its JSON form writes ids as hex and 64-bit numbers as text, which
protobuf's own JSON does not, so it is read by itself. What is not of the form raises SpansError;
unknown fields are passed over, as the specification asks.

Limit: a value nested deeper than LEVELS_MAX is replaced by a text that says so.
"""

import base64
import math
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from storage.trace import Json
from storage.wire import Object

LEVELS_MAX = 64  # protobuf stops at some 30; what is deeper would make the whole answer unreadable
_TOO_DEEP = f"(nested deeper than {LEVELS_MAX} levels)"
_ERROR_CODES = (2, "2", "STATUS_CODE_ERROR")


class SpansError(Exception):
    """Bytes that are no export of spans."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened within a span."""

    name: str
    time_ns: int
    attributes: Object


class OtlpSpan(msgspec.Struct, frozen=True):
    """One span. Ids are lower-case hex, empty where there are none; times since 1970 UTC."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    started_at_ns: int
    ended_at_ns: int
    attributes: Object
    events: tuple[Event, ...]
    failed: bool  # its status is ERROR
    status_message: str
    resource: Object  # the attributes of what sent it
    scope: str  # the instrumentation that made it


def decode_protobuf(data: bytes) -> Iterator[OtlpSpan]:
    """Read the spans of an ExportTraceServiceRequest. Raise SpansError where it is none."""
    try:
        request = ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        raise SpansError("the body is not an ExportTraceServiceRequest in protobuf") from None
    return _spans_of(request)


def decode_json(data: bytes) -> Iterator[OtlpSpan]:
    """Read the spans of an ExportTraceServiceRequest in JSON. Raise SpansError where it is none."""
    try:
        request = _decode_json(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SpansError(f"the body is not OTLP's JSON: {error}") from None
    return _json_spans_of(request)


def convert_json(value: Object) -> Iterator[OtlpSpan]:
    """Read the spans of a request that has been read as JSON. Raise SpansError where it is none."""
    try:
        request = msgspec.convert(value, _JsonRequest, strict=False)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SpansError(f"it is not OTLP's JSON: {error}") from None
    return _json_spans_of(request)


def _spans_of(request: ExportTraceServiceRequest) -> Iterator[OtlpSpan]:
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield OtlpSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_span_id=span.parent_span_id.hex(),
                    name=span.name,
                    started_at_ns=span.start_time_unix_nano,
                    ended_at_ns=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    events=tuple(
                        Event(event.name, event.time_unix_nano, _attributes(event.attributes))
                        for event in span.events
                    ),
                    failed=span.status.code in _ERROR_CODES,
                    status_message=span.status.message,
                    resource=resource,
                    scope=scope_spans.scope.name,
                )


def _attributes(pairs: Iterable[KeyValue]) -> Object:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Json:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return _finite(value.double_value)
        case "array_value":
            return [_plain(each) for each in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
    return None


def _finite(number: float) -> Json:
    """JSON has no other numbers; what is none becomes the text it is called by."""
    return number if math.isfinite(number) else str(number)


# The JSON form. Numbers of 64 bits come as text, in some senders as numbers; both are taken.
_Time = Annotated[int, msgspec.Meta(ge=0)]


class _JsonArray(msgspec.Struct, rename="camel"):
    values: "list[_JsonValue]" = []


class _JsonPairs(msgspec.Struct, rename="camel"):
    values: "list[_JsonPair]" = []


class _JsonValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | str | None = None
    array_value: _JsonArray | None = None
    kvlist_value: _JsonPairs | None = None
    bytes_value: str | None = None


class _JsonPair(msgspec.Struct, rename="camel"):
    key: str = ""
    value: _JsonValue | None = None


class _JsonEvent(msgspec.Struct, rename="camel"):
    name: str = ""
    time_unix_nano: _Time = 0
    attributes: list[_JsonPair] = []


class _JsonStatus(msgspec.Struct, rename="camel"):
    code: int | str = 0  # a number; some senders write its name
    message: str = ""


class _JsonSpan(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    name: str = ""
    start_time_unix_nano: _Time = 0
    end_time_unix_nano: _Time = 0
    attributes: list[_JsonPair] = []
    events: list[_JsonEvent] = []
    status: _JsonStatus | None = None


class _JsonScope(msgspec.Struct, rename="camel"):
    name: str = ""


class _JsonScopeSpans(msgspec.Struct, rename="camel"):
    scope: _JsonScope | None = None
    spans: list[_JsonSpan] = []


class _JsonResource(msgspec.Struct, rename="camel"):
    attributes: list[_JsonPair] = []


class _JsonResourceSpans(msgspec.Struct, rename="camel"):
    resource: _JsonResource | None = None
    scope_spans: list[_JsonScopeSpans] = []


class _JsonRequest(msgspec.Struct, rename="camel"):
    resource_spans: list[_JsonResourceSpans]


_decode_json = msgspec.json.Decoder(_JsonRequest, strict=False).decode


def _json_spans_of(request: _JsonRequest) -> Iterator[OtlpSpan]:
    for resource_spans in request.resource_spans:
        given = resource_spans.resource
        resource = _json_attributes(given.attributes) if given else {}
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope.name if scope_spans.scope else ""
            for span in scope_spans.spans:
                status = span.status or _JsonStatus()
                yield OtlpSpan(
                    trace_id=span.trace_id.lower(),
                    span_id=span.span_id.lower(),
                    parent_span_id=(span.parent_span_id or "").lower(),
                    name=span.name,
                    started_at_ns=span.start_time_unix_nano,
                    ended_at_ns=span.end_time_unix_nano,
                    attributes=_json_attributes(span.attributes),
                    events=tuple(
                        Event(event.name, event.time_unix_nano, _json_attributes(event.attributes))
                        for event in span.events
                    ),
                    failed=status.code in _ERROR_CODES,
                    status_message=status.message,
                    resource=resource,
                    scope=scope,
                )


def _json_attributes(pairs: Iterable[_JsonPair], level: int = 0) -> Object:
    return {pair.key: _json_plain(pair.value, level) if pair.value else None for pair in pairs}


def _json_plain(value: _JsonValue, level: int) -> Json:
    if level > LEVELS_MAX:
        return _TOO_DEEP
    if value.array_value is not None:
        return [_json_plain(each, level + 1) for each in value.array_value.values]
    if value.kvlist_value is not None:
        return _json_attributes(value.kvlist_value.values, level + 1)
    for plain in (value.string_value, value.bool_value, value.int_value, value.bytes_value):
        if plain is not None:
            return plain
    number = value.double_value
    return _finite(number) if isinstance(number, float) else number
