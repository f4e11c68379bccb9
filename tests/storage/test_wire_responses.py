"""Responses calls understood: items become messages, whether they were asked or answered."""

import json

import pytest

from storage.trace import Json, Message, Part, ToolCall, Understood, Usage
from storage.wire import Object
from storage.wire_responses import understand
from tests.storage.traffic import STREAMS, body_of, needs_recordings, recordings


def asked(**request: Json) -> Understood:
    return understand(json.dumps(request).encode(), b"", False)


def answered(output: list[Json], **more: Json) -> Understood:
    answer: Object = {"id": "resp_1", "status": "completed", "output": output, **more}
    return understand(b"", json.dumps(answer).encode(), False)


CALL: Object = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
RESULT: Object = {"type": "function_call_output", "call_id": "c1", "output": "7"}
THOUGHT: Object = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "x",
}


def said(text: str) -> Object:
    content: list[Json] = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content}


def test_instructions_are_the_system_message_and_a_text_is_the_users() -> None:
    understood = asked(model="m", instructions="Be kind.", input="Hi", temperature=1)
    assert understood.messages == (Message("system", "Be kind."), Message("user", "Hi"))
    assert (understood.request_model, understood.settings) == ("m", {"temperature": 1})


def test_the_link_to_what_came_before_is_kept() -> None:
    understood = asked(input="x", previous_response_id="resp_0", conversation={"id": "conv_1"})
    assert (understood.previous_id, understood.conversation_id) == ("resp_0", "conv_1")
    assert asked(input="x", conversation="conv_2").conversation_id == "conv_2"


def test_a_conversation_named_only_by_the_answer_is_kept() -> None:
    assert answered([said("x")], conversation={"id": "conv_3"}).conversation_id == "conv_3"


def test_what_the_model_made_between_two_inputs_is_one_message() -> None:
    second: Object = {**CALL, "call_id": "c2"}
    items: list[Json] = [
        {"role": "user", "content": "Add."},
        THOUGHT,
        said("Adding."),
        CALL,
        second,
        RESULT,
        {**RESULT, "call_id": "c2"},
        said("It is 7."),
    ]
    user, turn, first_result, second_result, last = asked(input=items).messages
    assert user == Message("user", "Add.")
    assert (turn.role, turn.content, turn.reasoning) == ("assistant", "Adding.", "Hm.")
    assert turn.tool_calls == (ToolCall("f", '{"a":1}', "c1"), ToolCall("f", '{"a":1}', "c2"))
    assert turn.extra == {"items": [THOUGHT, said("Adding."), CALL, second]}
    assert first_result == Message("tool", "7", tool_call_id="c1")
    assert second_result.tool_call_id == "c2"
    assert (last.content, last.extra) == ("It is 7.", None)


def test_an_answer_is_the_message_that_the_next_request_gives_back() -> None:
    output: list[Json] = [THOUGHT, said("Adding."), CALL]
    (choice,) = answered(output).choices
    assert asked(input=[*output, RESULT]).messages[0] == choice.message


def test_tools_that_run_upstream_stay_in_the_content() -> None:
    search: Object = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    (choice,) = answered([search, said("Found.")]).choices
    assert choice.message.content == (Part("other", raw=search), Part("text", "Found."))
    assert choice.message.text == "Found."


def test_calls_that_wait_for_the_application_are_tool_calls() -> None:
    custom: Object = {"type": "custom_tool_call", "call_id": "c3", "name": "sh", "input": "ls"}
    shell: Object = {"type": "local_shell_call", "call_id": "c4", "action": {"command": ["ls"]}}
    (choice,) = answered([custom, shell]).choices
    assert choice.message.tool_calls == (
        ToolCall("sh", "ls", "c3", "custom"),
        ToolCall("local_shell_call", '{"command":["ls"]}', "c4", "local_shell_call"),
    )


def test_citations_are_kept_with_their_text() -> None:
    understood = understand(b"", STREAMS["responses_mixed"], True)
    content = understood.choices[0].message.content
    assert isinstance(content, tuple)
    (part,) = content
    assert part.text == "High water at 04:10."
    assert "annotations" in (part.raw or {})


def test_input_parts_keep_their_order_and_kind() -> None:
    image: Object = {"type": "input_image", "image_url": "https://x.example/a.png"}
    content: list[Json] = [{"type": "input_text", "text": "See"}, image, {"type": "input_file"}]
    (message,) = asked(input=[{"role": "user", "content": content}]).messages
    assert message.content == (
        Part("text", "See"),
        Part("image", raw=image),
        Part("file", raw={"type": "input_file"}),
    )


def test_one_plain_text_part_is_the_text() -> None:
    content: list[Json] = [{"type": "input_text", "text": "Hi"}]
    assert asked(input=[{"role": "user", "content": content}]).messages[0].content == "Hi"


def test_other_items_are_kept() -> None:
    tools: Object = {"type": "additional_tools", "role": "developer", "tools": []}
    reference: Object = {"type": "item_reference", "id": "msg_1"}
    approval: Object = {"type": "mcp_approval_response", "approve": True}
    messages = asked(input=[tools, reference, approval]).messages
    assert [(m.role, m.content) for m in messages] == [
        ("developer", (Part("other", raw=tools),)),
        ("assistant", (Part("other", raw=reference),)),
        ("user", (Part("other", raw=approval),)),
    ]


def test_a_prompt_stored_upstream_is_noted() -> None:
    assert asked(prompt={"id": "pmpt_1"}).note == "the text of the prompt is stored upstream"


def test_tools_of_every_kind_have_a_name() -> None:
    schema: Object = {"type": "object"}
    function: Object = {"type": "function", "name": "f", "description": "d", "parameters": schema}
    search: Object = {"type": "web_search"}
    server: Object = {"type": "mcp", "server_label": "docs"}
    tools = asked(input="x", tools=[function, search, server]).tools
    assert [(t.name, t.kind, t.parameters, t.raw) for t in tools] == [
        ("f", "function", schema, function),
        ("web_search", "web_search", None, search),
        ("docs", "mcp", None, server),
    ]


def test_usage_and_finish_reason_are_the_answers() -> None:
    understood = understand(b"", STREAMS["responses_mixed"], True)
    assert understood.usage == Usage(40, 22, 16, 9)
    assert understood.choices[0].finish_reason == "completed"
    assert understood.provider_id == "resp_5c"
    assert understood.ended


def test_an_incomplete_answer_has_its_reason() -> None:
    understood = understand(b"", STREAMS["responses_incomplete_without_output"], True)
    (choice,) = understood.choices
    assert choice.finish_reason == "max_output_tokens"
    assert choice.message.refusal == "I will not."
    assert choice.message.reasoning == "So"
    assert choice.message.tool_calls == (ToolCall("run", "ls -l", "call_9", "custom"),)
    assert understood.ended


def test_a_cut_stream_gives_what_came_and_says_so() -> None:
    understood = understand(b"", STREAMS["responses_cut"], True)
    assert understood.choices[0].message.text == "High water at 04:10."
    assert understood.choices[0].message.tool_calls[0].arguments == '{"port":'
    assert understood.note == "the stream broke off before its end"
    assert not understood.ended


def test_a_failed_response_has_ended_with_its_error() -> None:
    understood = understand(b"", STREAMS["responses_failed"], True)
    assert (understood.error_code, understood.error_message) == (
        "insufficient_quota",
        "No quota left",
    )
    assert (understood.ended, understood.choices) == (True, ())


def test_an_answer_still_being_made_has_not_ended() -> None:
    understood = answered([], status="queued")
    assert understood.note == "the answer is still being made upstream"
    assert not understood.ended


def test_logprobs_are_the_texts() -> None:
    text: Object = {"type": "output_text", "text": "a", "logprobs": [{"token": "a"}]}
    message: Object = {"type": "message", "role": "assistant", "content": [text]}
    assert answered([message]).choices[0].logprobs == {"content": [{"token": "a"}]}


@pytest.mark.parametrize(
    "request_body",
    [b"[]", b'{"input": 5}', b'{"input": [1, [], null, {}]}', b'{"input": null, "tools": [1]}']
    + [b'{"input": [{"role": 5, "content": {"a": 1}}, {"type": [], "role": {}}]}']
    + [b'{"input": [{"type": "reasoning", "summary": 5, "content": [1]}]}']
    + [b'{"input": [{"type": "function_call", "arguments": {"a": 1}, "call_id": 5}]}']
    + [b'{"input": [{"type": "function_call_output", "call_id": 1, "output": 5}]}']
    + [b'{"input": "x", "conversation": [1], "metadata": "x", "instructions": 5}'],
)
def test_the_wrong_types_are_survived(request_body: bytes) -> None:
    understand(request_body, b"", False)


@pytest.mark.parametrize(
    "answer",
    [b"[]", b'{"output": 5}', b'{"output": [1, {"type": 5}]}', b'{"usage": 7, "status": {}}']
    + [b'{"output": [{"type": "message", "content": 5}], "error": "x"}']
    + [b'{"type": "response.completed", "response": {"output": [[]]}}']
    + [b'{"type": "response.output_text.delta", "output_index": 0, "delta": 5}'],
)
def test_wrong_types_in_an_answer_are_survived_streamed_or_not(answer: bytes) -> None:
    understand(b"", answer, False)
    understand(b"", b"data: " + answer + b"\n\n", True)


@needs_recordings
def test_recorded_conversations_lose_no_item() -> None:
    for record in recordings():
        body = body_of(record, "request")
        if record["endpoint"] == "responses" and body.startswith(b"{"):
            request = json.loads(body)
            items = request.get("input")
            if isinstance(items, list):
                made = json.dumps(
                    [
                        [m.text, m.tool_call_id, m.tool_calls, m.reasoning, m.extra, m.content]
                        for m in understand(body, b"", False).messages
                    ],
                    default=lambda value: [
                        getattr(value, field) for field in value.__struct_fields__
                    ],
                )
                for item in items:
                    for key in ("id", "call_id", "encrypted_content", "output", "arguments"):
                        if isinstance(item.get(key), str):
                            assert json.dumps(item[key]) in made, (record["id"], key)
