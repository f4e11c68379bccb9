"""Chat completions understood: requests without loss, answers streamed and not, all that is odd."""

import json

import pytest

from storage.trace import Json, Message, Part, Tool, ToolCall, Usage
from storage.wire import Object, as_array, as_object, read_object
from storage.wire_openai import understand
from tests.storage.traffic import (
    STREAMS,
    body_of,
    needs_recordings,
    openai_message,
    openai_tool,
    recordings,
)


def asked(**request: Json) -> tuple[Message, ...]:
    return understand(json.dumps(request).encode(), b"", False).messages


def one(message: Object) -> Message:
    return asked(messages=[message])[0]


def test_a_request_is_understood_without_its_answer() -> None:
    request: Object = {
        "model": "small-1",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.2,
        "stream": True,
        "user": "u7",
        "metadata": {"team": "tides", "try": 2, "none": None},
    }
    understood = understand(json.dumps(request).encode(), b"", False)
    assert understood.request_model == "small-1"
    assert understood.messages == (Message("system", "Be kind."), Message("user", "Hi"))
    assert understood.settings == {"temperature": 0.2, "stream": True}
    assert understood.metadata == {"team": "tides", "try": "2"}
    assert understood.user_id == "u7"
    assert (understood.choices, understood.ended, understood.note) == ((), False, "")


def test_a_broken_answer_does_not_lose_the_request() -> None:
    understood = understand(b'{"messages": [{"role": "user", "content": "Hi"}]}', b"<html>", False)
    assert understood.messages == (Message("user", "Hi"),)
    assert understood.note == "the answer is not JSON"
    assert not understood.ended


def test_a_broken_request_does_not_lose_the_answer() -> None:
    understood = understand(b"{", STREAMS["chat_text"], True)
    assert understood.choices[0].message.text.startswith("The tide turns")
    assert understood.note == "the request is not JSON"


def test_the_safety_identifier_outweighs_the_user_and_loses_nothing() -> None:
    understood = understand(b'{"messages":[],"safety_identifier":"s","user":"u"}', b"", False)
    assert understood.user_id == "s"
    assert understood.settings == {"user": "u"}


def test_content_parts_keep_their_order_and_what_they_held() -> None:
    image: Object = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    marked: Object = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    content: list[Json] = [{"type": "text", "text": "a"}, image, marked, {"type": "new"}]
    assert one({"role": "user", "content": content}).content == (
        Part("text", "a"),
        Part("image", raw=image),
        Part("text", "b", raw=marked),
        Part("other", raw={"type": "new"}),
    )


def test_tool_calls_and_their_results_keep_their_ids() -> None:
    call: Object = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = asked(
        messages=[
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ]
    )
    assert messages[0].tool_calls == (ToolCall("f", "{}", "c1"),)
    assert messages[1] == Message("tool", "done", tool_call_id="c1")


def test_a_tool_call_that_held_more_keeps_it_raw() -> None:
    call: Object = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    call["extra_content"] = {"google": {"thought_signature": "x"}}
    assert one({"role": "assistant", "tool_calls": [call]}).tool_calls[0].raw == call


def test_a_custom_tool_call_has_its_input_as_arguments() -> None:
    call: Object = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    message = one({"role": "assistant", "tool_calls": [call]})
    assert message.tool_calls == (ToolCall("sh", "ls", "c", "custom"),)


def test_a_legacy_function_call_and_its_result_are_tool_messages() -> None:
    call, result = asked(
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
            {"role": "function", "name": "f", "content": "1"},
        ]
    )
    assert call.tool_calls == (ToolCall("f", "", kind="function_call"),)
    assert (result.role, result.name, result.extra) == ("tool", "f", {"role": "function"})


def test_reasoning_is_not_content() -> None:
    message = one({"role": "assistant", "content": "4", "reasoning_content": "2+2"})
    assert (message.text, message.reasoning, message.extra) == ("4", "2+2", None)


def test_a_second_other_reasoning_text_is_kept() -> None:
    message = one({"role": "assistant", "content": "4", "reasoning_content": "a", "reasoning": "b"})
    assert (message.reasoning, message.extra) == ("a", {"reasoning": "b"})


def test_an_unknown_role_is_read_as_user_and_noted() -> None:
    understood = understand(b'{"messages": [{"role": "critic", "content": "x"}]}', b"", False)
    assert understood.messages == (Message("user", "x", extra={"role": "critic"}),)
    assert understood.note == "a message has a role of no known kind, read as user"


@pytest.mark.parametrize(
    "request_body",
    [b"[]", b'"x"', b'{"messages": {}}', b'{"messages": [1, [], null]}', b'{"messages": null}']
    + [b'{"messages": [{"role": 5, "content": 7, "tool_calls": {}, "name": []}], "tools": 3}']
    + [b'{"messages": [{"role": "user", "content": [1, "a", null, {"text": 5}]}], "tools": [1]}']
    + [b'{"messages": [{"tool_calls": [1, {"function": 5}, {"function": {"name": 5}}]}]}']
    + [b'{"messages": [], "metadata": [1], "user": {"a": 1}, "model": 7, "functions": [1]}'],
)
def test_the_wrong_types_are_survived(request_body: bytes) -> None:
    understand(request_body, b"", False)


@pytest.mark.parametrize(
    "answer",
    [b"[]", b"7", b'{"choices": 5}', b'{"choices": [1, {}, {"message": 5}]}', b'{"usage": [1]}']
    + [b'{"choices": [{"message": {"content": {"a": 1}}, "index": "x", "logprobs": 5}]}']
    + [b'{"error": 5}', b'{"error": {"message": {"a": 1}}}', b'{"usage": {"prompt_tokens": -1}}'],
)
def test_wrong_types_in_an_answer_are_survived_streamed_or_not(answer: bytes) -> None:
    understand(b"", answer, False)
    understand(b"", b"data: " + answer + b"\n\ndata: [DONE]\n\n", True)


def test_stored_text_can_always_be_encoded() -> None:
    body = b'{"messages": [{"role": "user", "content": "a\\ud800b\\u0000"}]}'
    understood = understand(body, b"", False)
    assert understood.messages[0].text.encode() == "a\ufffdb\0".encode()
    assert understood.note == "the request holds lone surrogates, read as U+FFFD"


def test_tools_of_both_kinds_are_understood() -> None:
    schema: Object = {"type": "object"}
    function: Object = {"name": "f", "description": "d", "parameters": schema}
    request: Object = {
        "messages": [],
        "tools": [{"type": "function", "function": function}, {"type": "web_search"}],
        "functions": [function],
    }
    tools = understand(json.dumps(request).encode(), b"", False).tools
    assert [(tool.name, tool.kind) for tool in tools] == [
        ("f", "function"),
        ("web_search", "web_search"),
        ("f", "function_call"),
    ]
    assert tools[0] == Tool("f", "d", schema, raw={"type": "function", "function": function})


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("chat_text", Usage(21, 9, 8, 2)),
        ("chat_groq", Usage(6, 2)),
        ("chat_usage_cumulative", Usage(7, 3)),
        ("chat_reasoning", Usage(4, 6, None, 5)),
        ("chat_reasoning_content", Usage(9, 7, 3)),
        ("chat_logprobs", Usage()),
    ],
)
def test_usage_is_what_the_upstream_counted(name: str, usage: Usage) -> None:
    assert understand(b"", STREAMS[name], True).usage == usage


@pytest.mark.parametrize("name", [name for name in STREAMS if name.startswith("chat_")])
def test_a_stream_has_ended_unless_it_was_cut_or_failed(name: str) -> None:
    understood = understand(b"", STREAMS[name], True)
    assert understood.ended == (name not in ("chat_cut", "chat_error"))


def test_a_cut_stream_gives_what_came_and_says_so() -> None:
    understood = understand(b"", STREAMS["chat_cut"], True)
    assert understood.choices[0].message.text == "half an ans"
    assert (
        understood.note == "1 of 2 events are not JSON objects; the stream broke off before its end"
    )


def test_an_error_in_a_stream_is_understood_as_one() -> None:
    understood = understand(b"", STREAMS["chat_error"], True)
    assert understood.error_code == "server_error"
    assert understood.error_message == "The server is overloaded"
    assert understood.note == ""


def test_an_error_body_is_understood() -> None:
    body = b'{"error": {"message": "No.", "type": "invalid_request_error", "code": "bad", "x": 1}}'
    understood = understand(b"", body, False)
    assert (understood.error_code, understood.error_message) == ("bad", "No.")
    assert understood.extra == {"error": json.loads(body)["error"]}
    assert (understood.ended, understood.note) == (True, "")


def test_what_else_an_answer_said_is_kept() -> None:
    answer: Object = {
        "id": "chatcmpl-1",
        "model": "m",
        "citations": ["a"],
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "native_finish_reason": "end",
                "message": {"role": "assistant", "content": "x", "annotations": [], "audio": None},
            }
        ],
    }
    understood = understand(b"", json.dumps(answer).encode(), False)
    assert understood.extra == {"citations": ["a"]}
    assert understood.choices[0].extra == {"native_finish_reason": "end"}
    assert understood.choices[0].message.extra == {"annotations": []}


@needs_recordings
def test_recorded_requests_can_be_rendered_again_without_loss() -> None:
    fields = ("role", "content", "tool_calls", "function_call", "tool_call_id", "name")
    count = 0
    for record in recordings():
        body = body_of(record, "request")
        if record["endpoint"] != "chat.completions" or not body:
            continue
        request = read_object(body, "the request", [])
        understood = understand(body, b"", False)
        for sent, message in zip(
            map(as_object, as_array(request["messages"])), understood.messages, strict=True
        ):
            rendered = openai_message(message)
            for field in fields:
                assert comparable(rendered.get(field)) == comparable(sent.get(field)), record["id"]
            count += 1
    assert count == 2136


def comparable(value: Json) -> Json:
    """Leave out what says nothing: nulls, empty values, a call's index (its place in the list)."""
    if isinstance(value, list):
        return [comparable(child) for child in value] or None
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items() if k != "index" and v is not None}
    return value or None


@needs_recordings
def test_recorded_tools_can_be_rendered_again_without_loss() -> None:
    for record in recordings():
        body = body_of(record, "request")
        if record["endpoint"] == "chat.completions" and body:
            sent = as_array(read_object(body, "the request", []).get("tools"))
            tools = [tool for tool in understand(body, b"", False).tools if tool.raw in sent]
            assert [tool.raw for tool in tools] == sent
            for tool in tools:
                function = as_object(as_object(tool.raw).get("function"))
                if function:
                    assert openai_tool(tool) == {
                        "name": function["name"],
                        "description": function.get("description") or "",
                        "parameters": function.get("parameters"),
                    }
