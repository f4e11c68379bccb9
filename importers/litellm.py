"""Spend logs of LiteLLM: rows of its table LiteLLM_SpendLogs, as JSON, JSONL or CSV.

The columns are those of its schema.prisma (November 2026). `proxy_server_request` is the request's
body and `response` the answer's, both empty unless `store_prompts_in_spend_logs` is on; without
them model, tokens and times are all there is, and the call's note says so. LiteLLM cuts long texts
when it stores them, which shows in the text (`litellm_truncated`) and cannot be undone.

The wire format is the answer's: LiteLLM answers an Anthropic request with a chat completion where
its logger translated it.
"""

from importers.fields import between_ns, flat_metadata, parsed, text_of, time_ns
from importers.imported import CHAT_TARGET, ImportedCall, NotUnderstood, Reading
from importers.messages import chat_messages
from storage.capture import Dialect
from storage.trace import Json
from storage.wire import Object, as_array, as_count, as_object, as_text

_TARGETS = {
    "completion": CHAT_TARGET,
    "text_completion": "/v1/completions",
    "embedding": "/v1/embeddings",
    "responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "image_generation": "/v1/images/generations",
    "moderation": "/v1/moderations",
    "transcription": "/v1/audio/transcriptions",
    "speech": "/v1/audio/speech",
}
# Columns that become tags; those with a place elsewhere are in _PLACED, the others in `imported`.
_TAG_COLUMNS = ("model_group", "team_id", "organization_id", "agent_id", "custom_llm_provider")
_PLACED = {
    "request_id", "call_type", "startTime", "endTime", "completionStartTime", "model", "user",
    "end_user", "messages", "response", "proxy_server_request", "session_id", "metadata",
    "prompt_tokens", "completion_tokens", "total_tokens", "request_tags", *_TAG_COLUMNS,
}  # fmt: skip
_JSON_COLUMNS = ("metadata", "messages", "response", "proxy_server_request", "request_tags")


def recognise(record: Object) -> bool:
    """Tell whether a record is of this format."""
    return "request_id" in record and "startTime" in record


def read(record: Object) -> Reading:
    """Read a row. Raise NotUnderstood for one that is none."""
    if not recognise(record):
        raise NotUnderstood("it is no spend log: request_id or startTime is missing")
    row = {key: parsed(value) if key in _JSON_COLUMNS else value for key, value in record.items()}
    metadata = as_object(row["metadata"]) if "metadata" in row else {}
    response = _response(row, metadata)
    target = _target(row, response)
    started_ns = time_ns(row.get("startTime"))
    ended_ns = time_ns(row.get("endTime"))
    first_ns = time_ns(row.get("completionStartTime"))
    request = _request(row, target)
    # Of an answer that was not streamed, LiteLLM writes its end here.
    streamed = request.get("stream") is True or 0 < between_ns(first_ns, ended_ns)
    failed = text_of(row, "status") == "failure" or metadata.get("status") == "failure"
    error = as_object(metadata.get("error_information"))
    call = ImportedCall(
        request=request,
        response=response if not failed or "error" in response else _failure(response, error),
        original_id=text_of(row, "request_id"),
        started_at_ns=started_ns,
        duration_ns=between_ns(started_ns, ended_ns),
        first_token_ns=between_ns(started_ns, first_ns) if streamed and first_ns else None,
        streamed=streamed,
        target=target,
        dialect=Dialect.ANTHROPIC if target.endswith("/messages") else Dialect.OPENAI,
        upstream=text_of(row, "custom_llm_provider"),
        status_code=_status_code(error) if failed else 200,
        session_id=text_of(row, "session_id"),
        tags=_tags(row),
        rest=_rest(row, metadata),
    )
    return Reading([call])


def _request(row: Object, target: str) -> Object:
    request = dict(as_object(row.get("proxy_server_request")))
    request.setdefault("model", text_of(row, "model_group", "model"))
    if target == CHAT_TARGET:
        logged = [*chat_messages(row.get("messages") or None)]
        messages: list[Json] = [*(as_array(request.get("messages")) or logged)]
        system = request.pop("system", None)
        if system is not None:  # an Anthropic request whose answer was translated
            messages.insert(0, {"role": "system", "content": system})
        request["messages"] = messages
    if metadata := request.get("metadata"):
        request["metadata"] = flat_metadata(metadata)
    if user := text_of(row, "end_user") or text_of(row, "user"):
        request.setdefault("user", user)
    return request


def _response(row: Object, metadata: Object) -> Object:
    """Return the answer as logged; where it was not, what the columns know of it."""
    given = row.get("response")
    response = dict(as_object(given))
    if not response and isinstance(given, str) and given.strip():
        message: Object = {"role": "assistant", "content": given}
        response["choices"] = [{"index": 0, "message": message, "finish_reason": None}]
    if "usage" not in response:
        counts: Object = {
            name: _count(row.get(name))
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        }
        more = as_object(metadata.get("usage_object")) or as_object(
            metadata.get("additional_usage_values")
        )
        if any(counts.values()):
            response["usage"] = {**more, **counts}
    response.setdefault("id", text_of(row, "request_id"))
    response.setdefault("model", text_of(row, "model"))
    return response


def _target(row: Object, response: Object) -> str:
    """Say which endpoint's wire format the bodies have: by the answer, else by the call's type."""
    if "choices" in response and not as_text(response.get("object")).startswith("text_completion"):
        return CHAT_TARGET
    call_type = text_of(row, "call_type").removeprefix("_")
    known = _TARGETS.get(call_type) or _TARGETS.get(call_type.removeprefix("a"))
    return known or f"/v1/{call_type or 'unknown'}"


def _failure(response: Object, error: Object) -> Object:
    said: Object = {
        "message": text_of(error, "error_message") or "LiteLLM logged it as a failure",
        "type": error.get("error_class"),
        "code": error.get("error_code"),
    }
    kept = {key: value for key, value in response.items() if key != "id"}
    return {**kept, "error": said}


def _status_code(error: Object) -> int | None:
    code = _count(error.get("error_code"))
    return code if code is not None and 400 <= code < 600 else None


def _count(value: Json) -> int | None:
    if isinstance(value, str):  # a field of CSV
        value = int(value) if value.isdecimal() and len(value) < 16 else None
    return as_count(value)


def _tags(row: Object) -> dict[str, str]:
    tags = {name: text for name in _TAG_COLUMNS if (text := text_of(row, name))}
    if text_of(row, "end_user") and text_of(row, "user"):
        tags["internal_user"] = text_of(row, "user")
    words = [as_text(word) for word in as_array(row.get("request_tags"))]
    return tags | ({"request_tags": ",".join(words)} if words else {})


def _rest(row: Object, metadata: Object) -> Object:
    """Keep every column that has no place: spend, cache, key hash, whatever is added later."""
    kept: Object = {
        key: value
        for key, value in row.items()
        if key not in _PLACED and value not in (None, "", [], {})
    }
    said: Object = {
        key: value for key, value in metadata.items() if value not in (None, "", [], {})
    }
    if said:
        kept["metadata"] = said
    if text_of(row, "completionStartTime") not in ("", text_of(row, "endTime")):
        kept["completionStartTime"] = row["completionStartTime"]
    return kept
