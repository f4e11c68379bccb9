"""Tokens under all their names, and an estimate only where nobody counted."""

import statistics

import msgspec
import pytest

from storage.capture import Endpoint, Outcome
from storage.derive import derive
from storage.trace import Choice, Message, Part, Span, Tool, ToolCall, Understood, Usage
from storage.usage import openai_usage, usage_of
from storage.wire import Object
from tests.storage.calls import capture_of, span_of, understood_of
from tests.storage.traffic import capture_of as recorded_capture_of
from tests.storage.traffic import needs_recordings, recordings


def uncounted(endpoint: Endpoint = Endpoint.CHAT_COMPLETIONS, **understood: object) -> Span:
    meaning = understood_of("When is high water?", usage=Usage(), **understood)
    return span_of(capture_of(1), meaning, endpoint=endpoint)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, Usage(7, 3)),
        ({"input_tokens": 7, "output_tokens": 3}, Usage(7, 3)),
        (
            {"prompt_tokens": 7, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 2},
            Usage(7, None, 5),
        ),
        ({"prompt_tokens": 7, "cached_tokens": 5}, Usage(7, None, 5)),
        ({"prompt_tokens": 7, "num_cached_tokens": 5}, Usage(7, None, 5)),
        (
            {"prompt_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2},
            Usage(9, None, 5, None, 2),
        ),
        ({}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": -1, "total_tokens": "x"}, Usage()),
    ],
)
def test_imitators_have_names_of_their_own(raw: Object, expected: Usage) -> None:
    assert openai_usage(raw) == expected


def test_details_are_counted_of_both_sides() -> None:
    raw: Object = {
        "prompt_tokens": 20,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 5, "cache_write_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 8},
    }
    assert openai_usage(raw) == Usage(20, 30, 4, 7, 6, 5, 8)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [  # xAI's reasoning, Gemini's thoughts, Mistral's audio
        (
            {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 303,
             "completion_tokens_details": {"reasoning_tokens": 290}},
            Usage(12, 291, reasoning_tokens=290),
        ),
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, Usage(35, 74)),
        (
            {"prompt_tokens": 9, "completion_tokens": 201, "total_tokens": 585,
             "prompt_tokens_details": {"audio_tokens": 375}},
            Usage(384, 201, audio_input_tokens=375),
        ),
    ],
)  # fmt: skip
def test_what_only_the_total_counts_is_given_to_its_side(raw: Object, expected: Usage) -> None:
    assert openai_usage(raw) == expected


def test_counts_of_the_upstream_are_left_as_they_are() -> None:
    span = span_of(capture_of(1), understood_of("Hi?"))
    assert usage_of(span) == (Usage(7, 3), False)


def test_a_whole_answer_without_counts_is_estimated_and_says_so() -> None:
    usage, estimated = usage_of(uncounted())
    assert estimated
    assert usage == Usage(11, 6)


def test_only_the_count_that_is_missing_is_estimated() -> None:
    span = span_of(capture_of(1), understood_of("When is high water?", usage=Usage(900)))
    assert usage_of(span) == (Usage(900, 6), True)


def test_tools_calls_and_other_scripts_count() -> None:
    plain = usage_of(uncounted())[0]
    tool = Tool("f", "Finds the tide.", raw={"type": "function", "function": {"name": "f"}})
    call = ToolCall("f", '{"port": "Brest"}')
    answer = Choice(Message("assistant", "高潮是四点。", tool_calls=(call,)), "tool_calls")
    rich = usage_of(uncounted(tools=(tool,), choices=(answer,)))[0]
    assert (rich.input_tokens or 0) > (plain.input_tokens or 0)
    assert rich.output_tokens == 19


def test_an_embedding_has_input_alone() -> None:
    span = uncounted(Endpoint.EMBEDDINGS, choices=(), extra={"vectors": 1})
    assert usage_of(span) == (Usage(4), True)


@pytest.mark.parametrize(
    "understood",
    [
        {"previous_id": "resp_1"},
        {"conversation_id": "conv_1"},
        {"settings": {"prompt": {"id": "p"}}},
        {"messages": (Message("user", (Part("image", raw={}),)),)},
        {"messages": ()},
    ],
)
def test_an_input_that_is_not_all_here_is_not_estimated(understood: dict[str, object]) -> None:
    meaning = msgspec.structs.replace(understood_of("Hi?", usage=Usage()), **understood)
    assert usage_of(span_of(capture_of(1), meaning)) == (Usage(None, 6), True)


@pytest.mark.parametrize(
    "span",
    [
        msgspec.structs.replace(uncounted(), outcome=Outcome.CLIENT_GONE),
        msgspec.structs.replace(uncounted(), outcome=Outcome.UPSTREAM_ERROR),
        msgspec.structs.replace(uncounted(), truncated=True),
        uncounted(ended=False),
        uncounted(choices=()),
        uncounted(Endpoint.IMAGES),
        span_of(capture_of(1), Understood()),
    ],
)
def test_what_is_no_whole_answer_is_not_estimated(span: Span) -> None:
    assert usage_of(span) == (Usage(), False)


@needs_recordings
def test_half_of_the_recorded_outputs_are_met_within_a_quarter() -> None:
    errors = []
    for record in recordings():
        span = derive(recorded_capture_of(record))
        usage = span.understood.usage
        hidden = usage.reasoning_tokens or any(c.message.reasoning for c in span.understood.choices)
        if (
            usage.output_tokens
            and not hidden
            and any(c.message.text for c in span.understood.choices)
        ):
            blank = msgspec.structs.replace(span.understood, usage=Usage())
            guess, estimated = usage_of(msgspec.structs.replace(span, understood=blank))
            if estimated and guess.output_tokens is not None:
                errors.append(abs(guess.output_tokens - usage.output_tokens) / usage.output_tokens)
    assert len(errors) > 900
    assert statistics.median(errors) < 0.25
