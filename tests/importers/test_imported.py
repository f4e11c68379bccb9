"""Tests of importers.imported."""

import msgspec

from importers.imported import Identities, ImportedCall, call_id, trace_of
from storage.capture import Outcome
from storage.derive import derive
from tests.importers.reading import captured

CALL = ImportedCall(
    request={"model": "small-1", "messages": [{"role": "user", "content": "Weather?"}]},
    response={
        "id": "chatcmpl-1",
        "model": "small-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "Let me see.",
                    "reasoning_content": "Ask.",
                    "tool_calls": [
                        {
                            "id": "a",
                            "type": "function",
                            "function": {"name": "f", "arguments": "1"},
                        },
                        {
                            "id": "b",
                            "type": "function",
                            "function": {"name": "f", "arguments": "2"},
                        },
                    ],
                },
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    },
    duration_ns=2_000_000_000,
    first_token_ns=500_000_000,
    rest={"spend": 0.5},
)


def test_an_id_is_a_uuid7_of_the_original_time_and_the_key() -> None:
    first = call_id(1_790_000_000_000_000_000, b"key")
    assert first == call_id(1_790_000_000_000_000_000, b"key")
    assert first != call_id(1_790_000_000_000_000_000, b"other")
    assert int(first[:12], 16) == 1_790_000_000_000
    assert (first[12], first[16] in "89ab", len(first)) == ("7", True, 32)


def test_ids_sort_by_time_to_a_microsecond() -> None:
    ids = [call_id(1_790_000_000_000_000_000 + step * 1_000, b"%d" % step) for step in range(99)]
    assert ids == sorted(ids)


def test_a_time_out_of_range_still_gives_an_id() -> None:
    assert len(call_id(-5, b"")) == len(call_id(2**80, b"")) == 32


def test_equal_records_without_id_are_told_apart_by_their_number_in_the_file() -> None:
    def ids() -> list[str]:
        identities = Identities("default", "openai-chat")
        return [identities.id_of(CALL, {"a": 1, "b": 2}, 1_000) for _ in range(3)]

    assert ids() == ids()
    assert len(set(ids())) == 3


def test_the_order_of_keys_does_not_make_a_record_another() -> None:
    one = Identities("default", "x").id_of(CALL, {"a": 1, "b": 2}, 1)
    assert one == Identities("default", "x").id_of(CALL, {"b": 2, "a": 1}, 1)


def test_an_id_of_the_source_is_all_that_counts_in_its_project_and_format() -> None:
    call = msgspec.structs.replace(CALL, original_id="x")
    first = Identities("default", "litellm").id_of(call, {"a": 1}, 1)
    assert first == Identities("default", "litellm").id_of(call, {"a": 2}, 1)
    assert first != Identities("other", "litellm").id_of(call, {"a": 1}, 1)
    assert first != Identities("default", "langfuse").id_of(call, {"a": 1}, 1)


def test_a_streamed_answer_means_the_same_and_has_a_time_to_first_token() -> None:
    plain = derive(captured(CALL))
    streamed = derive(captured(msgspec.structs.replace(CALL, streamed=True)))
    assert not plain.understood.streamed
    assert plain.time_to_first_token_ms is None
    assert streamed.understood.streamed
    assert streamed.time_to_first_token_ms == 500.0
    assert streamed.understood.ended
    for name in ("choices", "usage", "provider_id", "response_model", "messages", "note"):
        assert getattr(streamed.understood, name) == getattr(plain.understood, name), name
    assert (plain.understood.extra or {})["imported"] == {"spend": 0.5}
    assert (streamed.understood.extra or {})["imported"] == {"spend": 0.5}


def test_session_trace_and_tags_are_those_of_an_application() -> None:
    call = msgspec.structs.replace(
        CALL,
        session_id="Gespräch 7",
        trace_id="4BF92F35-77B3-4DA6-A3CE-929D0E0E4736",
        parent_span_id="00f067aa0ba902b7",
        tags={"App": "shop", "kind": "own"},
    )
    span = derive(captured(call, tags={"kind": "given"}))
    assert span.session_id == "Gespräch 7"
    assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert span.tags == {"app": "shop", "kind": "given"}


def test_a_trace_id_of_another_kind_is_a_tag() -> None:
    call = msgspec.structs.replace(CALL, trace_id="run 7", parent_span_id="step 1")
    assert derive(captured(call)).tags == {"trace_id": "run 7", "parent_id": "step 1"}
    assert trace_of("0" * 32) == ""


def test_a_failed_call_has_the_outcome_of_one() -> None:
    for status_code in (429, None):
        call = msgspec.structs.replace(
            CALL, status_code=status_code, response={"error": {"message": "no", "code": "x"}}
        )
        span = derive(captured(call))
        assert span.outcome is Outcome.UPSTREAM_ERROR
        assert (span.status_code, span.understood.error_message) == (status_code, "no")


def test_of_a_long_body_the_beginning_and_the_hash_are_kept() -> None:
    capture = captured(CALL, body_bytes_max=20)
    assert len(capture.request_body.data) == 20
    assert capture.request_body.truncated
    assert capture.request_body.length > 20
    assert len(capture.request_body.sha256) == 64
