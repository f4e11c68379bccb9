"""Gemini understood: parts in order, thoughts apart, streams and arrays as whole answers."""

import json

import pytest

from storage.sse import events
from storage.trace import Choice, Json, Message, Part, Tool, ToolCall, Understood, Usage
from storage.wire import Object
from storage.wire_gemini import understand
from tests.storage.traffic import STREAMS

STREAM = STREAMS["gemini_thoughts_call"]
CHUNKS = [json.loads(event.data) for event in events(STREAM)]
ARRAY = ("[" + "\n,\r\n".join(json.dumps(chunk, indent=1) for chunk in CHUNKS) + "\n]").encode()
CALL: Object = {"functionCall": {"name": "tide_at", "args": {"port": "Brest"}}}
RESULT: Object = {"functionResponse": {"name": "tide_at", "response": {"at": "04:10"}, "id": "c1"}}


def asked(*contents: Json, **more: Json) -> Understood:
    return understand(json.dumps({"contents": list(contents), **more}).encode(), b"", False)


def answered(*parts: Json, **more: Json) -> Understood:
    candidate: Object = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP"}
    return understand(b"", json.dumps({"candidates": [candidate], **more}).encode(), False)


def user(*parts: Json) -> Json:
    return {"role": "user", "parts": list(parts)}


@pytest.mark.parametrize("key", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize(
    "said", [{"parts": [{"text": "Be kind."}]}, {"parts": {"text": "Be kind."}}, "Be kind."]
)
def test_the_system_instruction_is_the_first_message(key: str, said: Json) -> None:
    assert asked(user({"text": "Hi"}), **{key: said}).messages == (
        Message("system", "Be kind."),
        Message("user", "Hi"),
    )


def test_settings_are_what_else_the_request_says() -> None:
    understood = asked(generationConfig={"temperature": 0}, model="models/gull-3")
    assert understood.settings == {"generationConfig": {"temperature": 0}}
    assert understood.request_model == "gull-3"


def test_a_user_content_is_divided_at_function_responses() -> None:
    before, result, after = asked(user({"text": "a"}, RESULT, {"text": "b"})).messages
    assert (before, after) == (Message("user", "a"), Message("user", "b"))
    assert result == Message("tool", '{"at":"04:10"}', tool_call_id="c1", name="tide_at")


def test_a_model_content_is_what_an_answer_becomes() -> None:
    thought: Object = {"text": "Hm.", "thought": True}
    parts: list[Json] = [thought, {"text": "Let me look."}, CALL]
    (history,) = asked({"role": "model", "parts": parts}).messages
    assert history.content == "Let me look."
    assert history.reasoning == "Hm."
    assert history.tool_calls == (ToolCall("tide_at", '{"port":"Brest"}'),)
    assert history.extra == {"parts": parts}
    assert answered(*parts).choices == (Choice(history, "STOP"),)


def test_a_plain_answer_keeps_no_parts_apart() -> None:
    (choice,) = answered({"text": "High "}, {"text": "water."}, CALL).choices
    assert choice.message.content == "High water."
    assert choice.message.extra is None


def test_signatures_are_kept_with_their_parts() -> None:
    signed: Object = {**CALL, "thoughtSignature": "c2ln"}
    (choice,) = answered(signed).choices
    assert choice.message.extra == {"parts": [signed]}


def test_names_in_snake_case_are_read_too() -> None:
    result: Json = {"function_response": {"name": "f", "response": {"x": 1}}}
    call: Json = {"function_call": {"name": "f", "args": {}}}
    history, told = asked({"role": "model", "parts": [call]}, user(result)).messages
    assert history.tool_calls == (ToolCall("f", "{}"),)
    assert told == Message("tool", '{"x":1}', name="f")


@pytest.mark.parametrize(
    ("mime_type", "kind"),
    [("image/png", "image"), ("audio/mp3", "audio"), ("application/pdf", "file"), ("", "file")],
)
def test_data_is_a_part_of_its_kind(mime_type: str, kind: str) -> None:
    for key in ("inlineData", "inline_data", "fileData"):
        part: Object = {key: {"mimeType": mime_type, "data": "AAAA"}}
        (message,) = asked(user({"text": "See."}, part)).messages
        assert isinstance(message.content, tuple)
        assert (message.content[1].kind, message.content[1].raw) == (kind, part)


def test_what_the_upstream_ran_itself_stays_in_order() -> None:
    code: Object = {"executableCode": {"language": "PYTHON", "code": "1+1"}}
    (choice,) = answered({"text": "So: "}, code, {"text": "2"}).choices
    assert choice.message.content == (
        Part("text", "So: "),
        Part("other", raw=code),
        Part("text", "2"),
    )


def test_functions_and_the_upstreams_own_tools_are_tools() -> None:
    function: Object = {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}}
    understood = asked(tools=[{"functionDeclarations": [function]}, {"googleSearch": {}}])
    assert understood.tools == (
        Tool("f", "d", {"type": "object"}, raw=function),
        Tool("googleSearch", kind="googleSearch", raw={"googleSearch": {}}),
    )


def test_usage_counts_results_as_input_and_thoughts_as_output() -> None:
    counts: Json = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
        "trafficType": "ON_DEMAND_FLEX",
    }
    understood = answered({"text": "x"}, usageMetadata=counts)
    assert understood.usage == Usage(15, 10, 4, 3, None, 6, 2)
    assert understood.service_tier == "flex"


def test_a_stream_is_the_answer_it_adds_up_to() -> None:
    understood = understand(b'{"contents": []}', STREAM, True)
    (choice,) = understood.choices
    assert choice.message.reasoning == "Hm, the tide."
    assert choice.message.content == "High water is at é."
    assert choice.message.tool_calls == (ToolCall("tide_at", '{"port":"Brest"}'),)
    assert choice.finish_reason == "STOP"
    assert understood.usage == Usage(12, 18, reasoning_tokens=9, audio_input_tokens=4)
    assert (understood.response_model, understood.provider_id) == ("gull-3", "r1")
    assert (understood.ended, understood.streamed, understood.note) == (True, True, "")


def test_an_array_of_chunks_is_the_same_stream() -> None:
    assert understand(b"{}", ARRAY, False) == understand(b"{}", STREAM, True)


def test_a_stream_or_array_cut_anywhere_gives_the_beginning_of_its_text() -> None:
    for data, streamed in ((STREAM, True), (ARRAY, False)):
        for cut in range(1, len(data) - 4):
            understood = understand(b"", data[:cut], streamed)
            text = "".join(choice.message.text for choice in understood.choices)
            assert "High water is at é.".startswith(text)
            assert understood.streamed


def test_candidates_are_kept_apart() -> None:
    chunks = [
        {"candidates": [{"index": index, "content": {"parts": [{"text": text}]}}]}
        for index, text in ((0, "Hi"), (1, "Lo"), (0, "gh"), (1, "w"))
    ]
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    understood = understand(b"", data, True)
    assert [choice.message.text for choice in understood.choices] == ["High", "Low"]
    assert not understood.ended


def test_errors_are_named_by_their_status() -> None:
    error: Json = {"error": {"code": 404, "message": "No.", "status": "NOT_FOUND"}}
    for body in (error, [error]):
        understood = understand(b"{}", json.dumps(body).encode(), False)
        assert (understood.error_code, understood.error_message) == ("NOT_FOUND", "No.")


def test_a_blocked_prompt_is_noted() -> None:
    blocked = b'{"promptFeedback": {"blockReason": "SAFETY"}}'
    understood = understand(b'{"contents": []}', blocked, False)
    assert (understood.note, understood.ended) == ("the prompt was blocked", True)


def test_embedded_texts_are_messages_and_vectors_counted() -> None:
    request = {"requests": [{"content": {"parts": [{"text": "a"}]}, "model": "models/e"}] * 2}
    answer = {"embeddings": [{"values": [0.5, 0.5]}] * 2, "usageMetadata": {"promptTokenCount": 4}}
    understood = understand(json.dumps(request).encode(), json.dumps(answer).encode(), False)
    assert understood.messages == (Message("user", "a"),) * 2
    assert understood.extra is not None
    assert (understood.extra["vectors"], understood.extra["dimensions"]) == (2, 2)
    assert (understood.usage, understood.ended, understood.note) == (Usage(4), True, "")
    single = understand(
        b'{"content": {"parts": [{"text": "a"}]}}', b'{"embedding": {"values": [1]}}', False
    )
    assert (single.messages, single.ended) == ((Message("user", "a"),), True)
