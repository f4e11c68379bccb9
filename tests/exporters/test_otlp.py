"""Tests of exporters.otlp: the spans, and that the importer reads in them what was stored."""

import json
from collections.abc import Sequence

import msgspec
import pytest

from exporters.otlp import request_of
from importers.otlp import call_of
from importers.otlp_spans import OtlpSpan, decode_protobuf
from storage.capture import Capture
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import Checkpoint, Recorded, StoredCall
from storage.store import TraceStore
from storage.trace import Span
from tests.importers.reading import captured, read


def stored(store: TraceStore, captures: Sequence[Capture]) -> list[StoredCall]:
    batch = []
    for capture in captures:
        span = derive(capture)
        batch.append(Recorded(capture, span, group_of(span, capture), features_of(span)))
    store.insert(batch, Checkpoint("f" * 32, 1, 12))
    found = [store.get(capture.id) for capture in captures]
    return [call for call in found if call is not None]


def sent(calls: Sequence[StoredCall], *, content: bool) -> list[OtlpSpan]:
    return list(decode_protobuf(request_of(calls, content=content, version="0.1.0")))


@pytest.fixture(name="calls")
def _calls(store: TraceStore) -> list[StoredCall]:
    captures = [
        *read("otlp", "otlp.jsonl").captures,
        *read("litellm", "litellm.jsonl").captures,
        *read("langfuse", "langfuse_observations.jsonl").captures,
        *read("openai-chat", "openai_chat.jsonl").captures,
    ]
    return stored(store, captures)


def test_a_span_has_the_names_of_the_conventions(calls: list[StoredCall]) -> None:
    span = sent(calls[:1], content=False)[0]
    assert (span.name, span.trace_id) == ("chat gpt-4", "4bf92f3577b34da6a3ce929d0e0e4736")
    assert (span.span_id, span.parent_span_id) == ("0000000000000001", "00f067aa0ba902b7")
    assert span.ended_at_ns - span.started_at_ns == 1_500_000_000
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.response.model": "gpt-4-0613",
        "gen_ai.response.id": "chatcmpl-o1",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 200,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 52,
        "gen_ai.usage.output_tokens": 47,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 9,
        "gen_ai.conversation.id": "conv-1",
        "user.id": "u-5",
        "http.response.status_code": 200,
        "shalt.call.id": calls[0].row.id,
        "shalt.tag.service.name": "shop",
    }
    assert {name: span.attributes.get(name) for name in expected} == expected
    assert span.resource["service.name"] == "shalt"


def test_content_is_sent_only_when_it_is_wanted(calls: list[StoredCall]) -> None:
    without = request_of(calls, content=False, version="0.1.0")
    for word in (b"Weather", b"get_weather", b"Be brief", b"slow down"):
        assert word not in without
    with_content = sent(calls[:1], content=True)[0].attributes
    messages = json.loads(str(with_content["gen_ai.input.messages"]))
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[1]["parts"][1] == {
        "type": "uri", "modality": "image", "uri": "https://example.com/sky.png",
    }  # fmt: skip


def test_what_is_sent_is_understood_as_it_was(calls: list[StoredCall]) -> None:
    chats = [call for call in calls if call.row.endpoint.value != "embeddings"]
    for call, span in zip(chats, sent(chats, content=True), strict=True):
        imported = call_of(span)
        assert imported is not None
        assert call.capture is not None
        before, after = derive(call.capture), derive(captured(imported))
        assert meaning(after) == meaning(before), call.row.id


def meaning(span: Span) -> dict[str, object]:
    """What a span says, but for what the conventions have no place for."""
    understood = span.understood

    def plain(message: object) -> object:
        fields = msgspec.to_builtins(message)
        assert isinstance(fields, dict)
        calls = fields.pop("tool_calls")
        called = [(each["name"], json.loads(each["arguments"]), each["id"]) for each in calls]
        fields.pop("extra")  # weights and the like
        content = fields.pop("content") or None
        if isinstance(content, tuple) and [part["kind"] for part in content] == ["text"]:
            content = content[0]["text"]  # the conventions write a text as the only part
        return fields, content, called

    return {
        "messages": [plain(message) for message in understood.messages],
        "choices": [(plain(each.message), each.finish_reason) for each in understood.choices],
        "tools": [(each.name, each.description, each.parameters) for each in understood.tools],
        "models": (understood.request_model, understood.response_model),
        "usage": understood.usage,
        "streamed": understood.streamed,
        "first": span.time_to_first_token_ms,
        "duration": span.duration_ms,
        "session": span.session_id,
        "user": understood.user_id,
        "trace": span.trace_id,
        "outcome": (span.outcome, span.status_code),
        "upstream": span.upstream,
        "tags": {k: v for k, v in span.tags.items() if k not in ("span_id", "service.name")},
    }


def test_a_failed_call_has_the_status_and_the_type_of_its_error(calls: list[StoredCall]) -> None:
    failed = next(call for call in calls if call.row.status_code == 429)
    with_content, without = sent([failed], content=True)[0], sent([failed], content=False)[0]
    assert with_content.failed
    assert without.failed
    assert with_content.attributes["error.type"] == "429"
    assert (with_content.status_message, without.status_message) == ("too many", "upstream_error")


def test_the_same_call_is_always_the_same_span(calls: list[StoredCall]) -> None:
    first = request_of(calls, content=True, version="0.1.0")
    assert first == request_of(calls, content=True, version="0.1.0")
    spans = sent(calls, content=False)
    assert len({(span.trace_id, span.span_id) for span in spans}) == len(calls)
    assert all(len(span.trace_id) == 32 and len(span.span_id) == 16 for span in spans)


def test_a_call_whose_body_is_gone_is_sent_with_what_its_row_says(
    calls: list[StoredCall],
) -> None:
    gone = StoredCall(calls[0].row, None)
    span = sent([gone], content=True)[0]
    assert span.attributes["gen_ai.usage.input_tokens"] == 52
    assert "gen_ai.input.messages" not in span.attributes
