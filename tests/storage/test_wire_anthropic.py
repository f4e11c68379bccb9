"""Anthropic messages understood: blocks in order, usage added up once, streams as whole answers."""

import json

import pytest

from storage.trace import Json, Message, Part, Tool, ToolCall, Understood, Usage
from storage.wire import Notes, Object, as_array, as_object, read_stream
from storage.wire_anthropic import assemble, understand
from tests.storage.traffic import STREAMS, body_of, needs_recordings, recordings


def asked(*messages: Json, **more: Json) -> Understood:
    request: Object = {"model": "tern-2", "messages": list(messages), **more}
    return understand(json.dumps(request).encode(), b"", False)


def answered(*blocks: Json, **more: Json) -> Understood:
    answer: Object = {"type": "message", "id": "msg_1", "content": list(blocks), **more}
    return understand(b"", json.dumps(answer).encode(), False)


def streamed(name: str) -> Understood:
    return understand(b"", STREAMS[name], True)


TEXT: Object = {"type": "text", "text": "Hi"}
CALL: Object = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, "é"]}}
RESULT: Object = {"type": "tool_result", "tool_use_id": "t1", "content": "7", "is_error": True}
THOUGHT: Object = {"type": "thinking", "thinking": "Hm.", "signature": "x"}


def test_the_system_text_is_the_first_message() -> None:
    assert asked(system="Be kind.").messages == (Message("system", "Be kind."),)
    assert asked(system=[TEXT]).messages == (Message("system", "Hi"),)


def test_system_blocks_keep_their_cache_marks() -> None:
    marked: Object = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert asked(system=[TEXT, marked]).messages == (
        Message("system", (Part("text", "Hi"), Part("text", "a", raw=marked))),
    )


def test_a_user_message_is_divided_at_its_tool_results() -> None:
    image: Object = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    content: list[Json] = [TEXT, RESULT, {**RESULT, "tool_use_id": "t2"}, image, TEXT]
    before, first, second, after = asked({"role": "user", "content": content}).messages
    assert before == Message("user", "Hi")
    assert first == Message("tool", "7", tool_call_id="t1", extra={"is_error": True})
    assert second.tool_call_id == "t2"
    assert after == Message("user", (Part("image", raw=image), Part("text", "Hi")))


def test_an_empty_user_message_stays_one() -> None:
    assert asked({"role": "user", "content": []}).messages == (Message("user", None),)


def test_a_tool_use_is_a_call_with_its_input_as_json() -> None:
    (message,) = asked({"role": "assistant", "content": [TEXT, CALL]}).messages
    assert message.content == "Hi"
    assert message.tool_calls == (ToolCall("f", '{"a":[1,"é"]}', "t1"),)
    assert message.extra is None


def test_integers_of_any_size_stay_exact() -> None:
    call: Object = {**CALL, "input": {"n": 2**70}}
    (message,) = asked({"role": "assistant", "content": [call]}).messages
    assert json.loads(message.tool_calls[0].arguments) == {"n": 2**70}


def test_thinking_is_reasoning_and_its_blocks_are_kept() -> None:
    (choice,) = answered(THOUGHT, TEXT, CALL, stop_reason="tool_use").choices
    assert (choice.message.reasoning, choice.message.content) == ("Hm.", "Hi")
    assert choice.message.extra == {"blocks": [THOUGHT, TEXT, CALL]}
    assert choice.finish_reason == "tool_use"


def test_an_answer_is_the_message_that_the_next_request_gives_back() -> None:
    blocks: list[Json] = [THOUGHT, TEXT, CALL]
    (choice,) = answered(*blocks).choices
    assert asked({"role": "assistant", "content": blocks}).messages == (choice.message,)


def test_tools_that_run_upstream_stay_in_the_content() -> None:
    message = streamed("anthropic_server_tool").choices[0].message
    assert isinstance(message.content, tuple)
    use, result, text = message.content
    assert (use.raw or {})["input"] == {"query": "vega"}
    assert (result.raw or {})["type"] == "web_search_tool_result"
    assert (text.text, len(as_array((text.raw or {})["citations"]))) == ("Vega is near.", 1)
    assert message.extra is not None  # the redacted thinking is in the blocks


def test_tools_of_every_kind_have_a_name() -> None:
    schema: Object = {"type": "object"}
    own: Object = {"name": "f", "description": "d", "input_schema": schema}
    search: Object = {"type": "web_search_20250305", "name": "web_search"}
    assert asked(tools=[own, search]).tools == (
        Tool("f", "d", schema, raw=own),
        Tool("web_search", kind="web_search_20250305", raw=search),
    )


def test_the_user_id_is_taken_out_of_the_metadata() -> None:
    understood = asked(metadata={"user_id": "u1", "team": "x"})
    assert (understood.user_id, understood.metadata) == ("u1", {"team": "x"})


def test_a_stream_is_assembled_to_the_whole_answer() -> None:
    understood = streamed("anthropic_thinking_tools")
    (choice,) = understood.choices
    assert choice.message.content == "Let me look 🔭."
    assert choice.message.reasoning == "Two calls."
    assert choice.message.tool_calls == (
        ToolCall("find_star", '{"name":"Vega"}', "toolu_1"),
        ToolCall("now", "{}", "toolu_2"),
    )
    blocks = as_array((choice.message.extra or {})["blocks"])
    assert as_object(blocks[0])["signature"] == "RXE="
    assert choice.finish_reason == "tool_use"
    assert (understood.ended, understood.note) == (True, "")


def test_input_tokens_count_the_cached_ones_and_later_counts_replace_earlier() -> None:
    assert streamed("anthropic_thinking_tools").usage == Usage(142, 57, 30, None, 100)
    assert streamed("anthropic_server_tool").usage == Usage(900, 40, 0)


def test_usage_as_sent_is_kept() -> None:
    understood = answered(TEXT, usage={"input_tokens": 1, "service_tier": "standard"})
    assert understood.extra == {"usage": {"input_tokens": 1, "service_tier": "standard"}}


def test_a_paused_turn_has_ended_with_its_reason() -> None:
    understood = streamed("anthropic_server_tool")
    assert (understood.choices[0].finish_reason, understood.ended) == ("pause_turn", True)


def test_an_error_in_a_stream_keeps_what_came_before() -> None:
    understood = streamed("anthropic_error")
    assert understood.choices[0].message.text == "On"
    assert (understood.error_code, understood.error_message) == ("overloaded_error", "Overloaded")
    assert (understood.ended, understood.note) == (False, "")


def test_a_cut_input_stays_the_text_it_is() -> None:
    understood = streamed("anthropic_cut")
    assert understood.choices[0].message.tool_calls[0].arguments == '{"text": "unfini'
    assert understood.note == "the stream broke off before its end"


def test_an_error_body_is_understood() -> None:
    body = b'{"type":"error","error":{"type":"not_found_error","message":"x"},"request_id":"r"}'
    understood = understand(b"", body, False)
    assert (understood.error_code, understood.error_message) == ("not_found_error", "x")
    assert (understood.choices, understood.extra) == ((), {"request_id": "r"})


def test_several_messages_in_one_stream_are_choices() -> None:
    data = STREAMS["anthropic_server_tool"] + STREAMS["anthropic_thinking_tools"]
    understood = understand(b"", data, True)
    assert [choice.finish_reason for choice in understood.choices] == ["pause_turn", "tool_use"]
    assert understood.note == "the stream holds 2 messages, each is a choice"


def test_a_ping_before_the_message_is_no_message() -> None:
    data = b'data: {"type": "ping"}\n\n' + STREAMS["anthropic_thinking_tools"]
    assert understand(b"", data, True) == streamed("anthropic_thinking_tools")


def test_a_delta_without_its_start_is_kept() -> None:
    delta: Object = {"type": "text_delta", "text": "x"}
    answers, ended = assemble(
        [("content_block_delta", {"index": 0, "delta": delta}), ("message_stop", {})], []
    )
    assert answers == [{"content": [{"type": "text", "text": "x"}]}]
    assert ended


def test_a_delta_of_a_new_kind_is_kept_and_noted() -> None:
    notes: Notes = []
    delta: Object = {"type": "new_delta", "glow": 3}
    answers, _ = assemble([("content_block_delta", {"index": 0, "delta": delta})], notes)
    assert answers == [{"content": [{"glow": 3}]}]
    assert notes == ["the stream holds deltas of no known kind"]


@pytest.mark.parametrize(
    "request_body",
    [b"[]", b'{"messages": 5}', b'{"messages": [1, [], {}, null]}', b'{"system": 5, "tools": [1]}']
    + [b'{"messages": [{"role": "assistant", "content": [1, null, "a", {"type": []}]}]}']
    + [b'{"messages": [{"role": {}, "content": {"a": 1}}], "metadata": [1]}']
    + [b'{"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 5}]}]}']
    + [b'{"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": 5}]}]}'],
)
def test_the_wrong_types_are_survived(request_body: bytes) -> None:
    understand(request_body, b"", False)


@pytest.mark.parametrize(
    "answer",
    [b"[]", b'{"content": 5}', b'{"content": [1, {"type": {}}], "usage": 5}', b'{"error": 5}']
    + [b'{"type": "message_start", "message": {"content": 7, "usage": [1]}}']
    + [b'{"type": "content_block_delta", "index": "x", "delta": 7}']
    + [b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": {"a": 1}}}']
    + [b'{"type": "message_delta", "delta": 7, "usage": {"output_tokens": "x"}}'],
)
def test_wrong_types_in_an_answer_are_survived_streamed_or_not(answer: bytes) -> None:
    understand(b"", answer, False)
    understand(b"", b"data: " + answer + b"\n\n", True)


def accumulated_by_the_sdk(data: bytes) -> Object:
    """What the anthropic package makes of a stream."""
    messages = pytest.importorskip("anthropic.lib.streaming._messages", reason="not installed")
    types = pytest.importorskip("anthropic.types")
    models = pytest.importorskip("anthropic._models")
    snapshot = None
    inputs: dict[int, bytes] = {}
    for _, event in read_stream(data, []).objects:
        made = models.construct_type(type_=types.RawMessageStreamEvent, value=event)
        snapshot = messages.accumulate_event(
            event=made, current_snapshot=snapshot, json_bufs=inputs
        )
    assert snapshot is not None
    return as_object(snapshot.to_dict(warnings=False))


def essence(answer: Object) -> list[Json]:
    """What both know of an answer, in one shape."""
    usage = as_object(answer["usage"])
    counts = [usage.get("input_tokens"), usage.get("output_tokens")]
    keys = ("type", "text", "thinking", "signature", "id", "name", "input", "data", "citations")
    blocks: list[Json] = [
        {key: block.get(key) for key in keys if block.get(key) not in (None, [], "")}
        for block in map(as_object, as_array(answer["content"]))
    ]
    return [answer.get("id"), answer.get("model"), answer.get("stop_reason"), *counts, *blocks]


@pytest.mark.parametrize("name", ["anthropic_thinking_tools", "anthropic_server_tool"])
def test_our_streams_are_assembled_as_by_the_anthropic_package(name: str) -> None:
    (ours,), _ = assemble(read_stream(STREAMS[name], []).objects, [])
    assert essence(ours) == essence(accumulated_by_the_sdk(STREAMS[name]))


PACKAGE_EXCEPTIONS = {
    "8e5b06765aec63a9": "fifteen messages put into one file by whoever recorded them",
    "66759f835250dd4a": "its events are JSON in JSON strings: recorded so, not sent so",
    "2d1b797bc873538d": "a tool of a beta, whose input the package leaves empty",
}


@needs_recordings
def test_recorded_streams_are_assembled_as_by_the_anthropic_package() -> None:
    streams = {
        str(record["id"]): body_of(record, "response")
        for record in recordings()
        if record["endpoint"] == "anthropic.messages" and record["streaming"]
    }
    assert len(streams) == 82
    for call_id in set(streams) - set(PACKAGE_EXCEPTIONS):
        (ours,), ended = assemble(read_stream(streams[call_id], []).objects, [])
        assert ended, call_id
        assert essence(ours) == essence(accumulated_by_the_sdk(streams[call_id])), call_id
