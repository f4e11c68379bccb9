"""GenAI spans of OpenTelemetry as calls: from an OTLP file, or as `/otlp/v1/traces` receives them.

A span is a call when it names an operation that asks a model (`chat`, `generate_content`,
`text_completion`, `embeddings`), when OpenInference calls it LLM or EMBEDDING, or when it has a
model and belongs to neither a tool nor an agent. Other spans are counted and not kept. A span that
was sent without the content of its messages is a call without messages.

Ids come from (trace id, span id), so what is sent twice is stored once, whichever way it came.
Trace, parent, session and user are kept; `service.name` and the deployment environment are tags,
and so is `span_id`.
"""

from importers import genai
from importers.fields import between_ns, text_of
from importers.imported import CHAT_TARGET, ImportedCall, NotUnderstood, Reading
from importers.otlp_spans import OtlpSpan, SpansError, convert_json
from storage.trace import Json
from storage.wire import Object, as_array, as_object, as_text

FORMAT = "otlp"
TAG_PREFIX = "shalt.tag."  # how shalt sends tags itself (exporters.otlp)

_CHAT_OPERATIONS = {"chat", "generate_content", "text_completion"}
_KINDS = {"LLM": "chat", "EMBEDDING": "embeddings"}  # OpenInference's
_TYPES = {"chat": "chat", "completion": "chat", "embedding": "embeddings"}  # OpenLLMetry's
_SESSIONS = (
    "gen_ai.conversation.id", "session.id", "langfuse.session.id",
    "traceloop.association.properties.session_id",
)  # fmt: skip
_USERS = (
    "user.id", "enduser.id", "langfuse.user.id", "llm.user",
    "traceloop.association.properties.user_id",
)  # fmt: skip
_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_FIRST_CHUNK = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
_RESOURCE_TAGS = ("service.name", "deployment.environment.name", "deployment.environment")


def recognise(record: Object) -> bool:
    """Tell whether a record is of this format."""
    return isinstance(record.get("resourceSpans"), list)


def read(record: Object) -> Reading:
    """Read one ExportTraceServiceRequest of a JSON file. Raise NotUnderstood where it is none."""
    try:
        spans = list(convert_json(record))
    except SpansError as error:
        raise NotUnderstood(str(error)) from None
    found = [call_of(span) for span in spans]
    calls = [call for call in found if call is not None]
    return Reading(calls, other_count=len(found) - len(calls))


def call_of(span: OtlpSpan) -> ImportedCall | None:
    """Make a call of a span, None where it asked no model."""
    operation = _operation(span.attributes)
    if not operation or not span.trace_id or not span.span_id:
        return None
    chat = operation == "chat"
    bodies = genai.chat_bodies(span) if chat else genai.embedding_bodies(span)
    attributes = dict(bodies.rest)
    request, tags = bodies.request, _tags(span, attributes)
    if user := _take(attributes, _USERS):
        request.setdefault("user", user)
    first_ns = _first_token_ns(span, attributes)
    provider, session_id = _take(attributes, _PROVIDERS), _take(attributes, _SESSIONS)
    return ImportedCall(
        request=request,
        response=bodies.response,
        original_id=f"{span.trace_id}:{span.span_id}",
        started_at_ns=span.started_at_ns or None,
        duration_ns=between_ns(span.started_at_ns, span.ended_at_ns),
        first_token_ns=first_ns,
        streamed=chat and (request.get("stream") is True or first_ns is not None),
        target=CHAT_TARGET if chat else "/v1/embeddings",
        upstream=provider,
        status_code=_status_code(span) if span.failed else 200,
        session_id=session_id,
        trace_id=span.trace_id,
        parent_span_id=span.parent_span_id or span.span_id,
        tags=tags,
        rest=_rest(span, attributes),
    )


def _operation(attributes: Object) -> str:
    """Say what a span asked a model for: `chat`, `embeddings`, or empty for nothing."""
    named = text_of(attributes, "gen_ai.operation.name")
    if named:
        return "chat" if named in _CHAT_OPERATIONS else named if named == "embeddings" else ""
    kind = text_of(attributes, "openinference.span.kind")
    if kind:
        return _KINDS.get(kind.upper(), "")
    if "traceloop.span.kind" in attributes or "gen_ai.tool.name" in attributes:
        return ""
    if asked := text_of(attributes, "llm.request.type"):
        return _TYPES.get(asked, "")
    return "chat" if text_of(attributes, "gen_ai.request.model", "gen_ai.response.model") else ""


def _take(attributes: Object, names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := as_text(attributes.pop(name, None)))), "")


def _first_token_ns(span: OtlpSpan, attributes: Object) -> int | None:
    seconds = next((attributes.pop(name) for name in _FIRST_CHUNK if name in attributes), None)
    if isinstance(seconds, int | float) and 0 <= seconds < 1e6:
        return round(seconds * 1e9)
    for event in span.events:
        if event.name in ("First Token Stream Event", "gen_ai.content.completion.chunk"):
            return between_ns(span.started_at_ns, event.time_ns)
    return None


def _status_code(span: OtlpSpan) -> int | None:
    said = text_of(span.attributes, "http.response.status_code", "http.status_code", "error.type")
    return int(said) if said.isdecimal() and 400 <= int(said[:4]) < 600 else None


def _tags(span: OtlpSpan, attributes: Object) -> dict[str, str]:
    tags = {"span_id": span.span_id}
    for name in _RESOURCE_TAGS:
        if value := as_text(span.resource.get(name)):
            tags[name] = value
    for name in [name for name in attributes if name.startswith(TAG_PREFIX)]:
        tags[name.removeprefix(TAG_PREFIX)] = as_text(attributes.pop(name))
    if words := [as_text(word) for word in as_array(attributes.pop("tag.tags", None))]:
        tags["tags"] = ",".join(words)
    return tags


def _rest(span: OtlpSpan, attributes: Object) -> Object:
    """Keep what has no place: the span's name, its scope, resource, further attributes, events."""
    events: list[Json] = [
        {"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes}
        for event in span.events
        if event.name not in genai.UNDERSTOOD_EVENTS
    ]
    kept: Object = {
        "span_name": span.name,
        "scope": span.scope,
        "attributes": attributes,
        "resource": as_object(span.resource),
        "events": events,
    }
    return {key: value for key, value in kept.items() if value}
