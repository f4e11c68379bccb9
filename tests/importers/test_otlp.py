"""Tests of importers.otlp."""

from storage.capture import Endpoint, Outcome
from tests.importers.reading import read


def test_spans_that_ask_a_model_are_calls_and_others_are_counted() -> None:
    found = read("otlp", "otlp.jsonl")
    assert (len(found.spans), found.other_count, found.troubles) == (9, 2, [])


def test_trace_parent_session_user_and_times_are_kept() -> None:
    span = read("otlp", "otlp.jsonl").spans[0]
    assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (span.session_id, span.understood.user_id) == ("conv-1", "u-5")
    assert span.started_at_ns == 1_790_000_001_000_000_000
    assert (span.duration_ms, span.time_to_first_token_ms) == (1_500.0, 250.0)
    assert span.understood.streamed
    assert span.upstream == "openai"
    headers = dict(read("otlp", "otlp.jsonl").captures[0].request_headers)
    assert headers[b"traceparent"] == b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_sessions_and_users_of_other_conventions_are_kept() -> None:
    spans = read("otlp", "otlp.jsonl").spans
    assert (spans[4].session_id, spans[4].understood.user_id) == ("s-8", "u-8")
    assert (spans[5].session_id, spans[5].understood.user_id) == ("s-6", "u-6")
    assert (spans[5].tags["plan"], spans[5].tags["tags"]) == ("pro", "a,b")


def test_what_has_no_place_is_kept_in_the_answer() -> None:
    span = read("otlp", "otlp.jsonl").spans[0]
    assert span.tags == {"span_id": "0000000000000001", "service.name": "shop"}
    kept = (span.understood.extra or {})["imported"]
    assert kept == {
        "span_name": "chat gpt-4",
        "scope": "test.instrumentation",
        "attributes": {"gen_ai.operation.name": "chat", "app.version": "3.1"},
        "resource": {"service.name": "shop", "host.name": "h1"},
    }


def test_a_span_with_an_error_is_a_failed_call() -> None:
    span = read("otlp", "otlp.jsonl").spans[7]
    assert (span.outcome, span.status_code) == (Outcome.UPSTREAM_ERROR, 429)
    assert span.tags["deployment.environment.name"] == "prod"


def test_embeddings_go_to_their_own_endpoint() -> None:
    assert read("otlp", "otlp.jsonl").spans[8].endpoint is Endpoint.EMBEDDINGS


def test_ids_come_from_trace_and_span() -> None:
    first, second = read("otlp", "otlp.jsonl"), read("otlp", "otlp.jsonl", "otlp.jsonl")
    assert len({capture.id for capture in first.captures}) == 9
    assert [capture.id for capture in second.captures] == 2 * [c.id for c in first.captures]


def test_a_record_that_is_no_export_is_reported() -> None:
    assert "OTLP" in read("otlp", "litellm.jsonl").troubles[0]
