"""Tests of importers.messages."""

from importers.messages import chat_messages, choices_of, request_of, system_messages, tool_of
from storage.trace import Json
from storage.wire import Object


def test_messages_of_a_chat_completion_stay_as_they_are() -> None:
    messages: list[Json] = [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "Ada"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
    ]
    assert chat_messages(messages) == messages


def test_a_text_is_what_a_user_said_or_the_model_answered() -> None:
    assert chat_messages("Hi") == [{"role": "user", "content": "Hi"}]
    assert choices_of('{"a": 1}')[0]["message"] == {"role": "assistant", "content": '{"a": 1}'}
    assert chat_messages("") == choices_of(None) == []


def test_langchain_messages_get_the_roles_of_the_dialect() -> None:
    call: Object = {"name": "f", "args": {"x": 1}, "id": "a", "type": "tool_call"}
    found = chat_messages(
        [{"type": "human", "content": "Hi"}, {"type": "ai", "content": "", "tool_calls": [call]}]
    )
    assert [message["role"] for message in found] == ["user", "assistant"]
    assert found[1]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    ]


def test_parts_become_content_calls_results_and_reasoning() -> None:
    found = chat_messages(
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    {"type": "text", "content": "Yes."},
                    {"type": "tool_call", "id": "a", "name": "f", "arguments": {"x": 1}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"type": "tool_call_response", "id": "a", "response": {"y": 2}},
                    {"type": "text", "content": "And?"},
                ],
            },
        ]
    )
    assert [message["role"] for message in found] == ["assistant", "tool", "user"]
    assert found[0]["content"] == "Yes."
    assert found[0]["reasoning_content"] == "Hm."
    assert found[1] == {"role": "tool", "tool_call_id": "a", "content": '{"y":2}'}
    assert found[2]["content"] == "And?"


def test_media_become_what_a_chat_completion_has_for_them() -> None:
    (message,) = chat_messages(
        [
            {
                "role": "user",
                "parts": [
                    {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                    {
                        "type": "blob",
                        "modality": "image",
                        "mime_type": "image/gif",
                        "content": "Zg",
                    },
                    {
                        "type": "blob",
                        "modality": "audio",
                        "mime_type": "audio/wav",
                        "content": "Zg",
                    },
                    {"type": "file", "modality": "document", "file_id": "f-1"},
                ],
            }
        ]
    )
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,Zg"}},
        {"type": "input_audio", "input_audio": {"data": "Zg", "format": "wav"}},
        {"type": "file", "modality": "document", "file_id": "f-1"},
    ]


def test_a_whole_request_keeps_its_settings() -> None:
    request = request_of('{"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}')
    assert request == {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}


def test_several_messages_are_several_choices() -> None:
    said: list[Json] = [{"role": "assistant", "content": word} for word in ("One", "Two")]
    found = choices_of(said)
    assert [(each["index"], each["finish_reason"]) for each in found] == [(0, "stop"), (1, "stop")]
    assert [each["message"] for each in found] == said


def test_the_choices_of_an_answer_are_taken_as_they_are() -> None:
    given: Object = {
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "length"}]
    }
    assert choices_of(given) == given["choices"]


def test_instructions_become_a_system_message() -> None:
    assert system_messages('[{"type": "text", "content": "Be brief."}]') == [
        {"role": "system", "content": "Be brief."}
    ]


def test_a_flat_tool_goes_under_function_and_another_stays() -> None:
    tool: Object = {"name": "f", "input_schema": {"type": "object"}}
    function = {"name": "f", "parameters": {"type": "object"}}
    assert tool_of(tool) == {"type": "function", "function": function}
    assert tool_of({"type": "web_search"}) == {"type": "web_search"}
