"""What a GenAI span's attributes and events say of a call, as the bodies of a chat completion.

Conventions, in the order in which they are believed: OpenTelemetry's GenAI attributes as of late
2026 (https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-spans.md), on the span or
on its event `gen_ai.client.inference.operation.details`; those of 2024, events named
`gen_ai.content.prompt` and `gen_ai.content.completion`; those of 2025, an event a message
(`gen_ai.user.message`, `gen_ai.choice`); OpenLLMetry; OpenInference, of which `input.value` is the
request itself where it is one.

Attributes that have no place in a body are handed back.
"""

from collections.abc import Callable
from typing import NamedTuple

from importers import flattened
from importers.fields import flat_metadata, parsed
from importers.flattened import Attributes
from importers.messages import (
    chat_messages,
    choice,
    choices_of,
    finish_reason,
    request_of,
    system_messages,
    tool_of,
)
from importers.otlp_spans import Event, OtlpSpan
from storage.trace import Json
from storage.wire import Object, as_array, as_count, as_object, as_text

DETAILS_EVENT = "gen_ai.client.inference.operation.details"

# Attributes of the request and what a chat completion calls them.
_SETTINGS = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.choice.count": "n",
}
_REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name")
_RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model_name")
_INPUT_TOKENS = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
)  # fmt: skip
_OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
    "llm.token_count.completion",
)  # fmt: skip
_DETAILS = {
    ("prompt_tokens_details", "cached_tokens"): (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    ("prompt_tokens_details", "cache_write_tokens"): (
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    ("prompt_tokens_details", "audio_tokens"): (
        "gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio",
    ),
    ("completion_tokens_details", "reasoning_tokens"): (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    ("completion_tokens_details", "audio_tokens"): (
        "gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio",
    ),
}  # fmt: skip
_TOTALS = ("llm.usage.total_tokens", "gen_ai.usage.total_tokens", "llm.token_count.total")
_MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CONTENT_EVENTS = {"gen_ai.content.prompt", "gen_ai.content.completion", DETAILS_EVENT}
UNDERSTOOD_EVENTS = {*_MESSAGE_EVENTS, *_CONTENT_EVENTS, "gen_ai.choice"}


class Bodies(NamedTuple):
    """A request and an answer, and the attributes that are in neither."""

    request: Object
    response: Object
    rest: Object


def chat_bodies(span: OtlpSpan) -> Bodies:
    """Write the request and the answer of a span that is a chat completion or resembles one."""
    attributes = _with_event_attributes(span)
    given = as_object(parsed(attributes.rest.get("input.value")))
    request: Object = {}
    if isinstance(given.get("messages"), list):
        request = request_of(attributes.take("input.value"))
    messages = _messages(attributes, span)
    request.setdefault("messages", [*messages])
    _add_settings(request, attributes)
    response = _response(attributes, span)
    if tools := _tools(attributes):
        request.setdefault("tools", tools)
    return Bodies(request, response, attributes.rest)


def embedding_bodies(span: OtlpSpan) -> Bodies:
    """Write the request and the answer of a span that computed embeddings."""
    attributes = _with_event_attributes(span)
    nested = attributes.take_list("embedding.embeddings")
    found = [as_object(as_object(each).get("embedding")) for each in nested]
    texts: list[Json] = [each["text"] for each in found if "text" in each]
    spoken = [
        *chat_messages(attributes.take("gen_ai.input.messages")),
        *flattened.openllmetry_messages(attributes),
    ]
    texts = texts or [message.get("content") for message in spoken]
    request: Object = {"input": texts or attributes.take("input.value")}
    _add_settings(request, attributes)
    if model := attributes.take("embedding.model_name"):
        request.setdefault("model", model)
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": each["vector"]}
        for index, each in enumerate(found)
        if "vector" in each
    ]
    response: Object = {"object": "list", "data": data}
    _add_answer_fields(response, attributes)
    return Bodies(request, response, attributes.rest)


def _with_event_attributes(span: OtlpSpan) -> Attributes:
    """Put together what the span says and what the events say that stand for attributes."""
    together: Object = {}
    for event in span.events:
        if event.name in _CONTENT_EVENTS:
            together |= event.attributes
    return Attributes({**together, **span.attributes})


def _messages(attributes: Attributes, span: OtlpSpan) -> list[Object]:
    system = system_messages(attributes.take("gen_ai.system_instructions"))
    sources: tuple[Callable[[], list[Object]], ...] = (
        lambda: chat_messages(attributes.take("gen_ai.input.messages")),
        lambda: chat_messages(attributes.take("gen_ai.prompt")),
        lambda: _event_messages(span.events),
        lambda: flattened.openllmetry_messages(attributes),
        lambda: flattened.openinference_messages(attributes),
    )
    # All are taken: the conventions repeat each other where a sender speaks several.
    found = [messages for source in sources if (messages := source())]
    if not found and not system:
        found.append(chat_messages(attributes.take("input.value")))
    return [*system, *(found[0] if found else [])]


def _choices(attributes: Attributes, span: OtlpSpan) -> list[Object]:
    given = as_object(parsed(attributes.rest.get("output.value")))
    sources: tuple[Callable[[], list[Object]], ...] = (
        lambda: choices_of(attributes.take("output.value")) if "choices" in given else [],
        lambda: choices_of(attributes.take("gen_ai.output.messages")),
        lambda: choices_of(attributes.take("gen_ai.completion")),
        lambda: _event_choices(span.events),
        lambda: flattened.openllmetry_choices(attributes),
        lambda: flattened.openinference_choices(attributes),
    )
    found = [choices for source in sources if (choices := source())]
    if not found:
        found.append(choices_of(attributes.take("output.value")))
    return found[0]


def _event_messages(events: tuple[Event, ...]) -> list[Object]:
    """Read the events that are a message each."""
    messages: list[Object] = []
    for event in events:
        if event.name in _MESSAGE_EVENTS:
            message = _event_body(event)
            message["role"] = as_text(message.get("role")) or _MESSAGE_EVENTS[event.name]
            if message["role"] == "tool" and "id" in message:
                message["tool_call_id"] = message.pop("id")
            messages += chat_messages([message])
    return messages


def _event_choices(events: tuple[Event, ...]) -> list[Object]:
    choices: list[Object] = []
    for event in events:
        if event.name == "gen_ai.choice":
            body = _event_body(event)
            said = parsed(body.get("message"))
            message: Object = {"content": said} if said else {}
            if isinstance(said, dict):
                message = said
            elif not said:
                message |= {key: body[key] for key in ("content", "tool_calls") if key in body}
            spoken = chat_messages([{"role": "assistant", "content": None, **message}])
            choices.append(choice(spoken[-1], as_count(body.get("index")) or 0, body))
    return choices


def _event_body(event: Event) -> Object:
    """Return the body of an event, which is its attributes or JSON in one of them."""
    attributes = dict(event.attributes)
    for name in ("gen_ai.event.content", "event_body", "body"):
        body = parsed(attributes.pop(name, None))
        if isinstance(body, dict):
            attributes |= body
    kept = {key: value for key, value in attributes.items() if not key.startswith("gen_ai.")}
    kept.setdefault("content", None)
    return kept


def _tools(attributes: Attributes) -> list[Json]:
    defined = parsed(attributes.take("gen_ai.tool.definitions", "gen_ai.request.tools"))
    found = [
        [tool_of(tool) for tool in as_array(defined)],
        flattened.openllmetry_tools(attributes),
        flattened.openinference_tools(attributes),
    ]
    return next((tools for tools in found if tools), [])


def _add_settings(request: Object, attributes: Attributes) -> None:
    for name, setting in _SETTINGS.items():
        if (value := attributes.take(name)) is not None:
            request.setdefault(setting, value)
    parameters = as_object(parsed(attributes.take("llm.invocation_parameters")))
    for setting, value in parameters.items():
        request.setdefault(setting, value)
    if model := attributes.take(*_REQUEST_MODEL):
        request.setdefault("model", model)
    if metadata := flat_metadata(attributes.take("metadata")):
        request["metadata"] = {**as_object(request.get("metadata")), **metadata}
    if attributes.take("gen_ai.request.stream", "llm.is_streaming") is True:
        request.setdefault("stream", True)


def _response(attributes: Attributes, span: OtlpSpan) -> Object:
    response: Object = {"object": "chat.completion"}
    output = as_object(parsed(attributes.rest.get("output.value")))
    if "choices" in output:
        response |= output
    choices = _choices(attributes, span)
    reasons = as_array(attributes.take("gen_ai.response.finish_reasons"))
    for given, reason in zip(choices, reasons, strict=False):
        given["finish_reason"] = finish_reason(as_text(reason))
    _add_answer_fields(response, attributes)
    if span.failed:
        exception: Object = next(
            (event.attributes for event in span.events if event.name == "exception"), {}
        )
        message = span.status_message or as_text(exception.get("exception.message"))
        kind = attributes.take("error.type") or exception.get("exception.type")
        response["error"] = {"message": message or "the span's status is ERROR", "type": kind}
    if choices or not span.failed:
        response["choices"] = [*choices]
    return response


def _add_answer_fields(response: Object, attributes: Attributes) -> None:
    usage: Object = {
        "prompt_tokens": as_count(attributes.take(*_INPUT_TOKENS)),
        "completion_tokens": as_count(attributes.take(*_OUTPUT_TOKENS)),
    }
    for (group, name), names in _DETAILS.items():
        count = as_count(attributes.take(*names))
        if count is not None:
            usage[group] = {**as_object(usage.get(group)), name: count}
    if any(value is not None for value in usage.values()):
        response.setdefault("usage", usage)
    attributes.take(*_TOTALS)  # the sum of what has been taken
    if response_id := attributes.take("gen_ai.response.id"):
        response.setdefault("id", response_id)
    if model := attributes.take(*_RESPONSE_MODEL):
        response.setdefault("model", model)
    fingerprint = attributes.take(
        "openai.response.system_fingerprint", "gen_ai.openai.response.system_fingerprint"
    )
    if fingerprint:
        response.setdefault("system_fingerprint", fingerprint)
