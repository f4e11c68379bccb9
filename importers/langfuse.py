"""Observations and traces of Langfuse, as its API, its pages and its blob storage export them.

Generations become calls; spans, events and other observations do not. Field names may be
`snake_case` (blob storage, https://langfuse.com/docs/api-and-data-platform/features/
blob-storage-export-fields) or `camelCase` (API). User, session and tags of an observation are those
of its trace: enriched observations carry them, a trace may hold its observations, and a file that
begins with a trace is read before those of observations. Input and output may be messages, whole
requests and answers, or plain text (importers.messages).

Langfuse counts kinds of tokens apart (`input` without `input_cached_tokens`); here `input_tokens`
is all of the input. Its `total` tells which of the two a row means.

Limit: the context of TRACES_MAX traces waits in memory for their observations, some 500 bytes each.
"""

from importers.fields import as_tags, between_ns, flat_metadata, parsed, text_of, time_ns
from importers.imported import ImportedCall, NotUnderstood, Reading
from importers.messages import choices_of, request_of, tool_of
from storage.trace import Json
from storage.wire import Object, as_array, as_count, as_object, as_text

TRACES_MAX = 1_000_000

_TYPES = {
    "SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING",
    "GUARDRAIL",
}  # fmt: skip
_TAGS = ("name", "environment", "version", "release", "trace_name", "prompt_name", "prompt_version")
# What a trace says for all its observations, and an enriched observation for itself.
_TRACE_FIELDS = ("user_id", "session_id", "release", "tags", "trace_name")
_PLACED = {
    "id", "trace_id", "type", "parent_observation_id", "start_time", "end_time", "metadata",
    "input", "output", "provided_model_name", "model", "model_parameters", "usage_details", "usage",
    "completion_start_time", "tool_definitions", "level", "status_message", "project_id",
    "created_at", "updated_at", "latency", "time_to_first_token", "tool_calls", "tool_call_names",
    *_TAGS, *_TRACE_FIELDS,
}  # fmt: skip
# Kinds of tokens by what they are of, in the words of Langfuse's own integrations.
_CACHED = ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens")
_WRITTEN = ("input_cache_creation", "cache_creation_input_tokens", "input_cache_write_tokens")
_REASONING = ("output_reasoning_tokens", "output_reasoning", "reasoning_tokens")


def recognise(record: Object) -> bool:
    """Tell whether a record is of this format."""
    row = _snake(record)
    observed = row.get("type") in _TYPES and "trace_id" in row and "start_time" in row
    return observed or is_context(record)


def is_context(record: Object) -> bool:
    """Tell whether a record is a trace, which says what its observations do not."""
    row = _snake(record)
    return "timestamp" in row and "id" in row and "type" not in row and "bookmarked" in row


class Reader:
    """Reads observations, and the traces they are of."""

    def __init__(self) -> None:
        self._traces: dict[str, Object] = {}

    def __call__(self, record: Object) -> Reading:
        """Read an observation or a trace. Raise NotUnderstood for anything else."""
        row = _snake(record)
        if is_context(record):
            return self._trace(row)
        if not recognise(record):
            raise NotUnderstood("it is neither an observation nor a trace of Langfuse")
        if row["type"] != "GENERATION":
            return Reading([], other_count=1)
        context = self._traces.get(text_of(row, "trace_id"), {})
        return Reading([_generation({**context, **_filled(row)})])

    def _trace(self, row: Object) -> Reading:
        if len(self._traces) >= TRACES_MAX:
            raise NotUnderstood(f"more than {TRACES_MAX} traces wait for their observations")
        context = {name: row[name] for name in _TRACE_FIELDS if row.get(name)}
        if name := text_of(row, "name"):
            context["trace_name"] = name
        self._traces[text_of(row, "id")] = context
        calls: list[ImportedCall] = []
        others = 1
        for given in as_array(row.get("observations")):
            observation = _snake(as_object(given))
            if observation.get("type") == "GENERATION":
                observation.setdefault("trace_id", row["id"])
                calls.append(_generation({**context, **_filled(observation)}))
            else:
                others += 1
        return Reading(calls, other_count=others)


def _generation(row: Object) -> ImportedCall:
    started_ns, ended_ns = time_ns(row.get("start_time")), time_ns(row.get("end_time"))
    first_ns = time_ns(row.get("completion_start_time"))
    if started_ns is None:
        raise NotUnderstood("its start_time is no time")
    failed = row.get("level") == "ERROR"
    tags, _ = as_tags({name: row.get(name) for name in _TAGS})
    if words := [as_text(word) for word in as_array(parsed(row.get("tags")))]:
        tags["tags"] = ",".join(words)
    rest = {key: value for key, value in row.items() if key not in _PLACED}
    if not failed and (message := text_of(row, "status_message")):
        rest["status_message"] = message
    return ImportedCall(
        request=_request(row),
        response=_response(row, failed),
        original_id=text_of(row, "id"),
        started_at_ns=started_ns,
        duration_ns=between_ns(started_ns, ended_ns),
        first_token_ns=between_ns(started_ns, first_ns) if first_ns else None,
        streamed=first_ns is not None,
        status_code=None if failed else 200,
        session_id=text_of(row, "session_id"),
        trace_id=text_of(row, "trace_id"),
        parent_span_id=text_of(row, "parent_observation_id"),
        tags=tags,
        rest=rest,
    )


def _request(row: Object) -> Object:
    request = request_of(row.get("input"))
    request |= {
        key: value
        for key, value in as_object(parsed(row.get("model_parameters"))).items()
        if key not in request and value is not None
    }
    if model := text_of(row, "provided_model_name", "model"):
        request.setdefault("model", model)
    defined = parsed(row.get("tool_definitions"))
    if isinstance(defined, dict):  # by name, each as JSON text
        defined = [{"name": name, **as_object(parsed(value))} for name, value in defined.items()]
    if defined and "tools" not in request:
        request["tools"] = [tool_of(tool) for tool in as_array(defined)]
    if user := text_of(row, "user_id"):
        request["user"] = user
    metadata = flat_metadata(row.get("metadata"))
    if metadata:
        request["metadata"] = {**flat_metadata(request.get("metadata")), **metadata}
    return request


def _response(row: Object, failed: bool) -> Object:
    response: Object = {"id": text_of(row, "id"), "object": "chat.completion"}
    output = parsed(row.get("output"))
    if isinstance(output, dict) and isinstance(output.get("choices"), list):
        response |= output
    if model := text_of(row, "provided_model_name", "model"):
        response.setdefault("model", model)
    if usage := _usage(as_object(row.get("usage_details")) or as_object(row.get("usage"))):
        response.setdefault("usage", usage)
    choices: list[Json] = [*choices_of(row.get("output"))]
    if failed:
        del response["id"]
        response["error"] = {"message": text_of(row, "status_message") or "logged as an error"}
    if choices or not failed:
        response["choices"] = choices
    return response


def _usage(counted: Object) -> Object:
    """Write counts of tokens as a chat completion does."""
    counts = {key: count for key, each in counted.items() if (count := as_count(each)) is not None}
    if not counts:
        return {}
    cached = next((counts[key] for key in _CACHED if key in counts), None)
    written = next((counts[key] for key in _WRITTEN if key in counts), None)
    reasoning = next((counts[key] for key in _REASONING if key in counts), None)
    fresh = counts.get("input", counts.get("prompt_tokens"))
    plain = counts.get("output", counts.get("completion_tokens"))
    apart = counts.get("total") != (fresh or 0) + (plain or 0)  # else the kinds are parts of these
    if apart and fresh is not None:
        kinds = {key for key in counts if key.startswith("input_")} | {*_CACHED, *_WRITTEN}
        fresh += sum(counts[key] for key in kinds if key in counts)
    if apart and plain is not None:
        kinds = {key for key in counts if key.startswith("output_")} | {*_REASONING}
        plain += sum(counts[key] for key in kinds if key in counts)
    usage: Object = {"prompt_tokens": fresh, "completion_tokens": plain}
    if cached is not None or written is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached, "cache_write_tokens": written}
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def _filled(row: Object) -> Object:
    """Leave out what says nothing, so that it does not hide what the trace says."""
    return {key: value for key, value in row.items() if value not in (None, "", [], {})}


def _snake(record: Object) -> Object:
    """Write the names of fields as the blob storage export does."""
    return {_snake_name(name): value for name, value in record.items()}


def _snake_name(name: str) -> str:
    if name.islower():
        return name
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
