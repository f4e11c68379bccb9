"""Stored calls as OpenTelemetry spans, with the attributes of the GenAI conventions.

Names are those of late 2026 (https://github.com/open-telemetry/semantic-conventions-genai,
gen-ai-spans.md). What the conventions have no name for goes under `shalt.`: the call's id, project,
outcome, group and side, and each tag as `shalt.tag.<key>`.

Messages, answers and tools are content, which the conventions leave out unless it is asked for;
so does this. They are written as JSON text in the conventions' form of parts; what that form has
no part for is a part under its own type.

A call that came as a span keeps its span's id; of any other, it is the second half of the call's
id. The same call is always the same span. A call whose body has been deleted is sent with what
its row says.
"""

import re
from collections.abc import Iterable, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from storage.capture import Capture, Dialect, Endpoint, Outcome
from storage.derive import derive
from storage.rows import CallRow, StoredCall, microseconds_of
from storage.trace import Json, Message, Part, Tool, Understood
from storage.wire import Object, as_object, as_text, read_json, write_json

SCOPE = "shalt"

_OPERATIONS = {
    Endpoint.CHAT_COMPLETIONS: "chat",
    Endpoint.RESPONSES: "chat",
    Endpoint.MESSAGES: "chat",
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EMBEDDINGS: "embeddings",
}
_SETTINGS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "stop": "gen_ai.request.stop_sequences",
    "stop_sequences": "gen_ai.request.stop_sequences",
}
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}.*")

Value = str | int | float | bool | Sequence[str] | None


def request_of(calls: Iterable[StoredCall], *, content: bool, version: str) -> bytes:
    """Write an ExportTraceServiceRequest of these calls; `content`: with what was said."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(
        [_pair("service.name", SCOPE), _pair("service.version", version)]
    )
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = SCOPE
    scope_spans.scope.version = version
    scope_spans.spans.extend(span_of(call, content=content) for call in calls)
    return request.SerializeToString()


def span_of(call: StoredCall, *, content: bool) -> OtlpSpan:
    """Write the span of one call."""
    row = call.row
    understood = derive(call.capture).understood if call.capture else Understood()
    operation = _operation(row)
    span_id = row.tags.get("span_id", "")
    if not _SPAN_ID.fullmatch(span_id):
        span_id = row.id[16:]
    started_ns = microseconds_of(row.started_at) * 1_000
    span = OtlpSpan(
        trace_id=bytes.fromhex(row.trace_id),
        span_id=bytes.fromhex(span_id),
        name=f"{operation} {row.request_model}".strip(),
        kind=OtlpSpan.SPAN_KIND_CLIENT,
        start_time_unix_nano=started_ns,
        end_time_unix_nano=started_ns + round(row.duration_ms * 1e6),
    )
    parent_id = _parent_id(call.capture)
    if parent_id and parent_id != span_id:
        span.parent_span_id = bytes.fromhex(parent_id)
    attributes = {**_row_attributes(row, operation), **_settings(understood)}
    if content:
        attributes |= _content(understood)
    span.attributes.extend(
        _pair(name, value) for name, value in attributes.items() if value not in (None, "", ())
    )
    if row.outcome is not Outcome.COMPLETE:
        message = understood.error_message if content else ""
        span.status.CopyFrom(
            Status(code=Status.STATUS_CODE_ERROR, message=message or row.error or row.outcome.value)
        )
    return span


def _operation(row: CallRow) -> str:
    if row.dialect is Dialect.GEMINI and row.endpoint is Endpoint.OTHER:
        return "generate_content"
    return _OPERATIONS.get(row.endpoint, row.endpoint.value)


def _row_attributes(row: CallRow, operation: str) -> dict[str, Value]:
    first_ms = row.time_to_first_token_ms
    failed = row.outcome is not Outcome.COMPLETE
    usage = "shalt.estimated_usage" if row.usage_estimated else "gen_ai.usage"
    status_code = "" if row.status_code is None else str(row.status_code)
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": row.upstream,
        "gen_ai.request.model": row.request_model,
        "gen_ai.response.model": row.response_model,
        "gen_ai.response.id": row.provider_id,
        "gen_ai.response.finish_reasons": [row.finish_reason] if row.finish_reason else (),
        "gen_ai.request.stream": True if row.streamed else None,
        "gen_ai.response.time_to_first_chunk": None if first_ms is None else first_ms / 1_000,
        # Where the upstream did not count, shalt's estimate does not go under its name.
        f"{usage}.input_tokens": row.input_tokens,
        f"{usage}.output_tokens": row.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": row.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
        "gen_ai.usage.audio.input_tokens": row.audio_input_tokens,
        "gen_ai.usage.audio.output_tokens": row.audio_output_tokens,
        "gen_ai.conversation.id": row.session_id,
        "user.id": row.user_id,
        "error.type": (status_code or row.outcome.value) if failed else None,
        "http.response.status_code": row.status_code,
        "url.path": row.path,
        "shalt.call.id": row.id,
        "shalt.project": row.project,
        "shalt.outcome": row.outcome.value,
        "shalt.group.id": row.group_id,
        "shalt.side": row.side.value,
        "shalt.source": row.source,
        "shalt.cost_usd": row.cost_usd,
        **{f"shalt.tag.{key}": value for key, value in row.tags.items() if key != "span_id"},
    }


def _settings(understood: Understood) -> dict[str, Value]:
    said: dict[str, Value] = {}
    for setting, name in _SETTINGS.items():
        value = understood.settings.get(setting)
        if isinstance(value, str):  # one stop sequence is an array of one
            value = [value]
        if isinstance(value, list):
            said[name] = [as_text(each) for each in value]
        elif isinstance(value, int | float):
            said[name] = value
    return said


def _content(understood: Understood) -> dict[str, Value]:
    outputs: list[Json] = [
        {**_message(choice.message), "finish_reason": choice.finish_reason}
        for choice in understood.choices
    ]
    reasons = [choice.finish_reason for choice in understood.choices]
    return {
        "gen_ai.input.messages": _json([_message(each) for each in understood.messages]),
        "gen_ai.output.messages": _json(outputs),
        "gen_ai.tool.definitions": _json([_tool(tool) for tool in understood.tools]),
        "gen_ai.response.finish_reasons": reasons if any(reasons) else (),
    }


def _json(values: Sequence[Json]) -> str:
    return write_json([*values]) if values else ""


def _message(message: Message) -> Object:
    """Write a message in the conventions' parts, in their order: reasoning, content, calls."""
    parts: list[Json] = []
    if message.reasoning:
        parts.append({"type": "reasoning", "content": message.reasoning})
    if message.role == "tool":
        result = message.content if isinstance(message.content, str | None) else message.text
        parts.append(
            {"type": "tool_call_response", "id": message.tool_call_id, "response": result or ""}
        )
    elif isinstance(message.content, str):
        parts.append({"type": "text", "content": message.content})
    else:
        parts += [_part(part) for part in message.content or ()]
    if message.refusal:
        parts.append({"type": "refusal", "content": message.refusal})
    for call in message.tool_calls:
        arguments = read_json(call.arguments.encode("utf-8", "replace"), "", [])
        parts.append(
            {
                "type": "tool_call",
                "id": call.id,
                "name": call.name,
                "arguments": arguments if isinstance(arguments, dict) else call.arguments,
            }
        )
    written: Object = {"role": message.role, "parts": parts}
    if message.name:
        written["name"] = message.name
    return written


def _part(part: Part) -> Json:
    if part.kind == "text":
        return {"type": "text", "content": part.text}
    raw = part.raw or {}
    url = as_text(as_object(raw.get("image_url")).get("url"))
    if part.kind == "image" and url.startswith("data:"):
        head, _, data = url.removeprefix("data:").partition(",")
        mime_type = head.partition(";")[0]
        return {"type": "blob", "modality": "image", "mime_type": mime_type, "content": data}
    if part.kind == "image" and url:
        return {"type": "uri", "modality": "image", "uri": url}
    return {"type": part.kind, **raw}


def _tool(tool: Tool) -> Json:
    written: Object = {"type": tool.kind, "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.parameters is not None:
        written["parameters"] = tool.parameters
    return written


def _parent_id(capture: Capture | None) -> str:
    headers = capture.request_headers if capture else []
    value = next((value for name, value in headers if name == b"traceparent"), b"")
    found = _TRACE_PARENT.fullmatch(value)
    return found[1].decode() if found else ""


def _pair(name: str, value: Value) -> KeyValue:
    return KeyValue(key=name, value=_any_value(value))


def _any_value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    written = AnyValue()
    written.array_value.values.extend(AnyValue(string_value=each) for each in value or ())
    return written
