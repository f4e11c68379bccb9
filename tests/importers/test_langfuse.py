"""Tests of importers.langfuse."""

from storage.capture import Outcome
from tests.importers.reading import read


def test_an_enriched_generation_is_a_call_with_all_it_says() -> None:
    span = read("langfuse", "langfuse_observations.jsonl").spans[0]
    understood = span.understood
    assert [message.role for message in understood.messages] == ["system", "user"]
    assert [tool.name for tool in understood.tools] == ["get_weather"]
    assert understood.choices[0].message.tool_calls[0].arguments == '{"city": "Graz"}'
    assert understood.request_model == "gpt-4o"
    assert understood.settings == {"temperature": 0.7}
    assert (span.session_id, understood.user_id) == ("s-1", "u-1")
    assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (span.duration_ms, span.time_to_first_token_ms) == (2_000.0, 500.0)
    assert span.tags == {
        "name": "answer", "environment": "production", "prompt_name": "support",
        "prompt_version": "4", "trace_name": "ticket", "release": "1.2", "tags": "beta,eu",
        "team": "blue",
    }  # fmt: skip


def test_kinds_of_tokens_counted_apart_are_added_up() -> None:
    usage = read("langfuse", "langfuse_observations.jsonl").spans[0].understood.usage
    assert (usage.input_tokens, usage.cached_tokens) == (100, 80)
    assert (usage.output_tokens, usage.reasoning_tokens) == (12, 7)


def test_plain_texts_and_json_answers_stay_texts() -> None:
    span = read("langfuse", "langfuse_observations.jsonl").spans[1]
    assert span.understood.messages[0].content == "Is it raining?"
    assert span.understood.choices[0].message.content == '{"raining": true}'
    assert span.tags["trace_id"] == "plain-trace"


def test_an_error_is_a_failed_call() -> None:
    span = read("langfuse", "langfuse_observations.jsonl").spans[2]
    assert (span.outcome, span.status_code) == (Outcome.UPSTREAM_ERROR, None)
    assert span.understood.error_message == "rate limited"


def test_only_generations_are_calls() -> None:
    found = read("langfuse", "langfuse_observations.jsonl")
    assert (len(found.spans), found.other_count, found.troubles) == (3, 1, [])


def test_a_trace_tells_its_observations_who_and_when() -> None:
    (span,) = read("langfuse", "langfuse_traces.json").spans
    assert (span.session_id, span.understood.user_id) == ("s-2", "u-2")
    assert [message.role for message in span.understood.messages] == ["user"]
    assert span.understood.choices[0].message.content == "Hello."
    assert (span.understood.usage.input_tokens, span.understood.usage.output_tokens) == (3, 2)
    assert span.tags["trace_name"] == "ticket"


def test_observations_in_a_later_file_find_their_trace() -> None:
    spans = read("langfuse", "langfuse_traces.json", "langfuse_later.jsonl").spans
    assert (spans[1].session_id, spans[1].understood.user_id) == ("s-3", "u-3")
    assert spans[1].tags == {"trace_name": "later", "trace_id": "tr-2"}
