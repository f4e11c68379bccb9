"""Tests of importers.litellm."""

from storage.capture import Dialect, Endpoint, Outcome
from tests.importers.reading import read


def test_a_stored_prompt_is_a_request_and_the_answer_is_one() -> None:
    span = read("litellm", "litellm.jsonl").spans[0]
    understood = span.understood
    assert [message.content for message in understood.messages] == ["Where is it?"]
    assert understood.choices[0].message.tool_calls[0].name == "get_weather"
    assert (understood.request_model, understood.response_model) == ("support", "gpt-4o-2024-08-06")
    assert (understood.usage.input_tokens, understood.usage.cached_tokens) == (20, 8)
    assert understood.provider_id == "chatcmpl-l1"


def test_times_session_user_and_tags_are_kept() -> None:
    span = read("litellm", "litellm.jsonl").spans[0]
    assert span.started_at_ns == 1_790_000_000_250_000_000
    assert span.duration_ms == 1_750.0
    assert span.time_to_first_token_ms == 500.0
    assert span.session_id == "5c8f0a5e-3f9c-4b3f-9d9e-0a1b2c3d4e5f"
    assert span.understood.user_id == "c-9"
    assert span.tags == {
        "model_group": "support", "team_id": "team-1", "custom_llm_provider": "openai",
        "internal_user": "internal@example.com", "request_tags": "app:support,v2", "order": "FN-1",
    }  # fmt: skip
    kept = (span.understood.extra or {})["imported"]
    assert isinstance(kept, dict)
    assert (kept["spend"], kept["requester_ip_address"]) == (0.00042, "10.0.0.1")


def test_without_stored_prompts_the_columns_are_all_there_is() -> None:
    span = read("litellm", "litellm.jsonl").spans[1]
    assert span.understood.messages == ()
    assert (span.understood.usage.input_tokens, span.understood.usage.output_tokens) == (20, 10)
    assert span.understood.note == "the answer has no choices"
    assert not span.understood.streamed


def test_a_failure_keeps_its_status_and_reason() -> None:
    span = read("litellm", "litellm.jsonl").spans[2]
    assert (span.outcome, span.status_code) == (Outcome.UPSTREAM_ERROR, 429)
    assert (span.understood.error_code, span.understood.error_message) == ("429", "slow down")


def test_an_anthropic_call_stays_one() -> None:
    span = read("litellm", "litellm.jsonl").spans[3]
    assert (span.dialect, span.endpoint) == (Dialect.ANTHROPIC, Endpoint.MESSAGES)
    assert [message.role for message in span.understood.messages] == ["system", "user"]
    assert span.understood.choices[0].message.content == "Hi."


def test_csv_says_the_same_as_json() -> None:
    lines, csv = read("litellm", "litellm.jsonl"), read("litellm", "litellm.csv")
    assert csv.troubles == []
    assert [capture.id for capture in csv.captures] == [each.id for each in lines.captures[:3]]
    for one, other in zip(csv.spans, lines.spans, strict=False):
        assert one.understood.messages == other.understood.messages
        assert one.understood.choices == other.understood.choices
        assert one.understood.usage == other.understood.usage
        assert (one.tags, one.session_id) == (other.tags, other.session_id)


def test_a_row_without_time_is_reported() -> None:
    assert read("litellm", "litellm.jsonl").troubles == [
        "5: it is no spend log: request_id or startTime is missing"
    ]
