"""Chunks add up to the answer that would have come without streaming."""

import pytest

from storage.chunks import NAME_CHARS_MAX, assemble
from storage.trace import Json
from storage.wire import Object, as_array, as_object, read_stream
from tests.storage.traffic import STREAMS, body_of, needs_recordings, recordings


def assembled(data: bytes) -> Object:
    return assemble([chunk for _, chunk in read_stream(data, []).objects])


def messages(answer: Object) -> list[Object]:
    return [as_object(as_object(c)["message"]) for c in as_array(answer["choices"])]


def message(name: str) -> Object:
    return messages(assembled(STREAMS[name]))[0]


def calls(name: str) -> list[tuple[Json, Json, Json]]:
    found = [as_object(call) for call in as_array(message(name)["tool_calls"])]
    functions = [as_object(call["function"]) for call in found]
    return [(c["id"], f["name"], f["arguments"]) for c, f in zip(found, functions, strict=True)]


def test_text_is_joined_in_order() -> None:
    assert message("chat_text")["content"] == "The tide turns at 04:10 — bring 🥾 and tea."


def test_the_first_filled_id_and_model_hold() -> None:
    answer = assembled(STREAMS["chat_azure"])
    assert (answer["id"], answer["model"]) == ("chatcmpl-7hK2", "small-1-2026-03-01")
    assert "prompt_filter_results" in answer


def test_interleaved_choices_are_kept_apart() -> None:
    answer = assembled(STREAMS["chat_choices_interleaved"])
    assert [m["content"] for m in messages(answer)] == ["blue", "green", "red"]
    finishes = [as_object(choice)["finish_reason"] for choice in as_array(answer["choices"])]
    assert finishes == ["length", "stop", "stop"]


def test_interleaved_tool_calls_are_kept_apart_by_index() -> None:
    assert calls("chat_tools_interleaved") == [
        ("call_a1", "find_train", '{"from": "Bern", "to": "Genève"}'),
        ("call_b2", "find_hotel", '{"city": "Genève"}'),
    ]


def test_whole_tool_calls_without_index_are_calls_of_their_own() -> None:
    assert calls("chat_tools_without_index") == [
        ("t1", "add", '{"a":1}'),
        ("t2", "add", '{"a":2}'),
        ("t3", "stop", "{}"),
    ]


def test_a_new_id_with_a_name_starts_a_call_under_a_used_index() -> None:
    assert calls("chat_tools_same_index_new_id") == [
        ("x1", "look", '{"at":"sky"}'),
        ("x2", "look", '{"at":"sea"}'),
    ]


def test_an_id_that_is_repeated_continues_its_call() -> None:
    assert calls("chat_tools_repeated_id") == [("0", "note", '{"t": "ab"}')]


def fragments(*deltas: Object) -> list[tuple[Json, Json]]:
    chunks: list[Object] = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]} for delta in deltas
    ]
    found = [as_object(call) for call in as_array(messages(assemble(chunks))[0]["tool_calls"])]
    functions = [as_object(call["function"]) for call in found]
    return [(f["name"], f["arguments"]) for f in functions]


def test_a_new_id_without_a_name_continues_the_call() -> None:
    first: Object = {"index": 0, "id": "a", "function": {"name": "go", "arguments": '{"x"'}}
    second: Object = {"index": 0, "id": "b", "function": {"arguments": ":1}"}}
    assert fragments(first, second) == [("go", '{"x":1}')]


def test_a_name_after_whole_arguments_starts_a_call_even_without_ids() -> None:
    first: Object = {"index": 0, "function": {"name": "go", "arguments": '{"x":1}'}}
    second: Object = {"index": 0, "function": {"name": "go", "arguments": '{"x":2}'}}
    assert fragments(first, second) == [("go", '{"x":1}'), ("go", '{"x":2}')]


def test_a_name_repeated_with_every_fragment_is_one_name() -> None:
    first: Object = {"index": 0, "id": "a", "function": {"name": "go", "arguments": '{"x":'}}
    second: Object = {"index": 0, "function": {"name": "go", "arguments": "2}"}}
    assert fragments(first, second) == [("go", '{"x":2}')]


def test_a_name_in_fragments_is_joined_up_to_its_limit() -> None:
    pieces: list[Object] = [{"index": 0, "function": {"name": f"n{i}"}} for i in range(2_000)]
    ((name, _),) = fragments(*pieces)
    assert str(name).startswith("n0n1n2")
    assert len(str(name)) < NAME_CHARS_MAX + 10


def test_calls_that_come_out_of_order_are_in_the_order_of_their_indexes() -> None:
    second: Object = {"index": 1, "id": "b", "function": {"name": "two", "arguments": "{}"}}
    first: Object = {"index": 0, "id": "a", "function": {"name": "one", "arguments": "{}"}}
    assert fragments(second, first) == [("one", "{}"), ("two", "{}")]


def test_a_legacy_function_call_is_joined() -> None:
    assert message("chat_function_call")["function_call"] == {
        "name": "book",
        "arguments": '{"seat":12}',
    }


def test_a_refusal_is_joined_and_leaves_no_content() -> None:
    refused = message("chat_refusal")
    assert refused["refusal"] == "I can't help with that."
    assert refused["content"] is None


def test_reasoning_and_its_details_are_joined() -> None:
    thought = message("chat_reasoning")
    assert thought["reasoning"] == "First, add."
    detail: Object = {"type": "reasoning.text", "index": 0, "text": "First, add."}
    assert thought["reasoning_details"] == [{**detail, "format": "plain", "signature": "c2ln"}]


def test_thinking_parts_are_joined_before_the_text() -> None:
    thinking: Object = {"type": "thinking", "thinking": [{"type": "text", "text": "Two and two."}]}
    text: Object = {"type": "text", "text": "It is four."}
    assert message("chat_thinking_parts")["content"] == [{**thinking, "closed": True}, text]


def test_logprobs_are_concatenated() -> None:
    choice = as_object(as_array(assembled(STREAMS["chat_logprobs"])["choices"])[0])
    tokens = [as_object(t)["token"] for t in as_array(as_object(choice["logprobs"])["content"])]
    assert tokens == ["No", "!"]


def test_audio_that_was_padded_piece_by_piece_is_one_base64_text() -> None:
    audio = as_object(message("chat_audio")["audio"])
    assert (audio["data"], audio["transcript"]) == ("AAECAw==", "Hello")
    assert (audio["id"], audio["expires_at"]) == ("audio_1", 1763003600)


def test_the_last_cumulative_usage_holds() -> None:
    usage = as_object(assembled(STREAMS["chat_usage_cumulative"])["usage"])
    assert usage["completion_tokens"] == 3


def test_groqs_usage_is_kept_beside_its_id() -> None:
    assert set(as_object(assembled(STREAMS["chat_groq"])["x_groq"])) == {"id", "usage"}


def test_an_error_in_the_stream_is_kept_with_what_came_before() -> None:
    answer = assembled(STREAMS["chat_error"])
    assert as_object(answer["error"])["type"] == "server_error"
    assert messages(answer)[0]["content"] == "I am"


def test_tools_run_upstream_are_brought_up_to_date_by_index() -> None:
    started: Json = [{"index": 0, "type": "search", "arguments": "{}"}]
    ended: Json = [{"index": 0, "output": "found"}]
    chunks: list[Object] = [
        {"choices": [{"delta": {"executed_tools": value}}]} for value in (started, ended)
    ]
    assert messages(assemble(chunks))[0]["executed_tools"] == [
        {"index": 0, "type": "search", "arguments": "{}", "output": "found"}
    ]


def without_nulls(value: Json) -> Json:
    """A null in a delta says nothing, but the package stumbles over one after a value."""
    if isinstance(value, list):
        return [without_nulls(child) for child in value]
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


def accumulated_by_the_sdk(data: bytes) -> list[Object]:
    """What the openai package makes of a stream, choice by choice."""
    chat = pytest.importorskip("openai.lib.streaming.chat", reason="openai is not installed")
    types = pytest.importorskip("openai.types.chat")
    state = chat.ChatCompletionStreamState()
    for _, chunk in read_stream(data, []).objects:
        for choice in map(as_object, as_array(chunk.get("choices"))):
            choice["delta"] = without_nulls(choice.get("delta"))
        state.handle_chunk(types.ChatCompletionChunk.construct(**chunk))
    snapshot = state.current_completion_snapshot
    return [as_object(choice.message.model_dump(warnings=False)) for choice in snapshot.choices]


def compared(made: Object) -> Object:
    """The fields of a message that the package knows too, in one shape."""
    tools = [as_object(call) for call in as_array(made.get("tool_calls"))]
    functions = [as_object(call.get("function")) for call in tools]
    return {
        "content": made.get("content") or "",
        "refusal": made.get("refusal") or "",
        "calls": [[f.get("name"), f.get("arguments") or ""] for f in functions],
        "ids": [call.get("id") for call in tools],
    }


# The package takes one index for one call and needs an index, knows no parts as content, and asks
# every chunk for choices.
PACKAGE_FAILS = {"tools_without_index", "tools_same_index_new_id", "tools_repeated_id"} | {
    *("thinking_parts", "error", "cut", "single_line_ends", "reasoning")
}


COMPARED = [
    name
    for name in STREAMS
    if name.startswith("chat_") and name.removeprefix("chat_") not in PACKAGE_FAILS
]


@pytest.mark.parametrize("name", COMPARED)
def test_our_streams_are_assembled_as_by_the_openai_package(name: str) -> None:
    ours = [compared(made) for made in messages(assembled(STREAMS[name]))]
    assert ours == [compared(made) for made in accumulated_by_the_sdk(STREAMS[name])]


# Recorded streams the package cannot read, or reads otherwise, and why we differ.
PACKAGE_EXCEPTIONS = {
    "tool calls without index": {"00e3a253d64f5e27", "4996b96697ceaff9", "3bde70aaf88c8ad7"}
    | {"1e5e1077af80d043", "67f9486fbb031c15"},
    "parts as content": {"d0ee49b7312dfee5", "b07da7a62ef7df91", "18686dd83694a282"},
    "an id in every fragment, which the package joins": {"f070aa94ee14bf02"},
    "an error or a keepalive among the chunks": {"77f41fbc8f39a4a0", "b172a2129f56131c"}
    | {"f73b6bafbd768521"},
    "lists whose elements have no index": {"7bd7a4117a4b2399", "5f832625f0fb5f2f"},
    "a choice without a delta": {"2370b5e5b8eed659"},
}


@needs_recordings
def test_recorded_streams_are_assembled_as_by_the_openai_package() -> None:
    excepted = set[Json]().union(*PACKAGE_EXCEPTIONS.values())
    streams = {
        record["id"]: body_of(record, "response")
        for record in recordings()
        if record["endpoint"] == "chat.completions" and record["streaming"]
    }
    assert len(streams) == 377
    assert excepted < set(streams)
    for call_id in set(streams) - excepted:
        ours = [compared(made) for made in messages(assembled(streams[call_id]))]
        theirs = [compared(made) for made in accumulated_by_the_sdk(streams[call_id])]
        assert ours == theirs, call_id
