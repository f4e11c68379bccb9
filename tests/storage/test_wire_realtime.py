"""Tests of storage.wire_realtime: sessions as the API reference writes their events."""

import random
from collections.abc import Sequence

import msgspec

from storage.frames import CLOSE, TEXT, frame_of
from storage.trace import Json, Message, ToolCall, Understood
from storage.wire_realtime import ITEMS_MAX, understand

Event = dict[str, Json]


def frames(events: Sequence[Event], *, masked: bool, code: int = 1000) -> bytes:
    written = [frame_of(TEXT, msgspec.json.encode(event), masked=masked) for event in events]
    return b"".join(written) + frame_of(CLOSE, code.to_bytes(2), masked=masked)


def understood(asked: Sequence[Event], told: Sequence[Event]) -> Understood:
    return understand(frames(asked, masked=True), frames(told, masked=False), False)


def item(name: str, role: str, *content: Event) -> Event:
    kind = {"id": name, "object": "realtime.item", "type": "message", "status": "completed"}
    return {**kind, "role": role, "content": list(content)}


def response(name: str, output: list[Json], **more: Json) -> Event:
    usage: Event = {
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_token_details": {"cached_tokens": 5, "audio_tokens": 8},
        "output_token_details": {"audio_tokens": 7},
    }
    return {"id": name, "status": "completed", "output": output, "usage": usage, **more}


WEATHER: Event = {"type": "function", "name": "weather", "description": "?", "parameters": {}}
SESSION: Event = {
    "id": "sess_1",
    "model": "gpt-realtime-2025-08-28",
    "instructions": "Be kind.",
    "tools": [WEATHER],
    "voice": "marin",
    "client_secret": {"value": "ek_1"},
}
HEARD = item("i1", "user", {"type": "input_audio", "transcript": None})
SPOKEN = item("i2", "assistant", {"type": "output_audio", "transcript": "Hello there."})
TYPED = item("i3", "user", {"type": "input_text", "text": "Rain in Oslo?"})
CALLED: Event = {
    "id": "i4",
    "type": "function_call",
    "name": "weather",
    "call_id": "c1",
    "arguments": '{"city": "Oslo"}',
}
RETURNED: Event = {"id": "i5", "type": "function_call_output", "call_id": "c1", "output": "yes"}
ANSWERED = item("i6", "assistant", {"type": "output_text", "text": "It rains."})
ASKED: list[Event] = [
    {"type": "session.update", "session": {"model": "gpt-realtime", "instructions": "Be kind."}},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "conversation.item.create", "item": TYPED},
    {"type": "response.create"},
    {"type": "conversation.item.create", "item": RETURNED},
    {"type": "response.create"},
]
TOLD: list[Event] = [
    {"type": "session.created", "session": {**SESSION, "instructions": "Default."}},
    {"type": "session.updated", "session": SESSION},
    {"type": "conversation.item.added", "previous_item_id": None, "item": HEARD},
    {"type": "response.created", "response": {"id": "r1"}},
    {"type": "response.output_item.added", "item": {**SPOKEN, "content": []}},
    {"type": "response.output_audio.delta", "item_id": "i2", "delta": "AAAA"},
    {"type": "response.done", "response": response("r1", [SPOKEN])},
    {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "i1",
        "content_index": 0,
        "transcript": "Hello?",
    },
    {"type": "conversation.item.added", "previous_item_id": "i2", "item": TYPED},
    {"type": "response.created", "response": {"id": "r2"}},
    {"type": "response.done", "response": response("r2", [CALLED])},
    {"type": "conversation.item.added", "previous_item_id": "i4", "item": RETURNED},
    {"type": "response.created", "response": {"id": "r3"}},
    {"type": "response.output_text.delta", "item_id": "i6", "delta": "It "},
    {"type": "response.done", "response": response("r3", [ANSWERED])},
]


def test_a_session_becomes_a_conversation() -> None:
    span = understood(ASKED, TOLD)
    assert span.messages == (
        Message("system", "Be kind."),
        Message("user", "Hello?"),
        Message("assistant", "Hello there."),
        Message("user", "Rain in Oslo?"),
        Message("assistant", tool_calls=(ToolCall("weather", '{"city": "Oslo"}', "c1"),)),
        Message("tool", "yes", tool_call_id="c1"),
    )
    assert [choice.message for choice in span.choices] == [Message("assistant", "It rains.")]
    assert (span.request_model, span.response_model) == ("gpt-realtime", "gpt-realtime-2025-08-28")
    assert [tool.name for tool in span.tools] == ["weather"]
    assert (span.settings, span.provider_id) == ({"voice": "marin"}, "r3")
    assert (span.choices[0].finish_reason, span.ended, span.note) == ("completed", True, "")


def test_tokens_are_those_of_all_responses() -> None:
    usage = understood(ASKED, TOLD).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (60, 30, 15)
    assert (usage.audio_input_tokens, usage.audio_output_tokens) == (24, 21)
    assert usage.reasoning_tokens is None


def test_frames_and_close_codes_are_counted() -> None:
    extra = understood(ASKED, TOLD).extra
    assert extra == {
        "responses": 3,
        "frames": {
            "client": {"count": 7, "close_code": 1000},
            "upstream": {"count": 16, "close_code": 1000},
        },
    }


def test_the_words_of_the_beta_are_read_too() -> None:
    told: list[Event] = [
        {"type": "session.created", "session": SESSION},
        {"type": "conversation.item.created", "item": TYPED},
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "conversation.item.created", "item": {**ANSWERED, "content": []}},
        {"type": "response.text.delta", "item_id": "i6", "content_index": 0, "delta": "It "},
        {"type": "response.text.delta", "item_id": "i6", "content_index": 0, "delta": "rains."},
    ]
    span = understood([], told)
    assert [choice.message.text for choice in span.choices] == ["It rains."]
    assert span.messages[1:] == (Message("user", "Rain in Oslo?"),)
    assert not span.ended
    assert "broke off" in span.note


def test_without_the_servers_part_the_clients_word_counts() -> None:
    span = understood(ASKED, [])
    assert span.messages == (
        Message("system", "Be kind."),
        Message("user", "Rain in Oslo?"),
        Message("tool", "yes", tool_call_id="c1"),
    )
    assert not span.ended


def test_deleted_items_are_gone_and_late_ones_in_their_place() -> None:
    told: list[Event] = [
        *TOLD[:3],
        {"type": "conversation.item.added", "previous_item_id": "i1", "item": TYPED},
        {"type": "conversation.item.added", "previous_item_id": "i1", "item": SPOKEN},
        {"type": "conversation.item.deleted", "item_id": "i1"},
    ]
    span = understood([], told)
    assert [message.text for message in span.messages] == [
        "Be kind.",
        "Hello there.",
        "Rain in Oslo?",
    ]


def test_a_conversation_of_any_length_is_read_up_to_the_limit() -> None:
    added: list[Event] = [
        {
            "type": "conversation.item.added",
            "previous_item_id": "1",
            "item": {**TYPED, "id": str(n)},
        }
        for n in range(ITEMS_MAX + 1)
    ]
    span = understood([], added)
    assert len(span.messages) == ITEMS_MAX
    assert f"only {ITEMS_MAX} items" in span.note


def test_an_error_is_the_answer_where_there_is_none() -> None:
    error: Event = {"type": "invalid_request_error", "code": "no_model", "message": "No."}
    span = understood(ASKED[:1], [{"type": "error", "error": error}])
    assert (span.error_code, span.error_message) == ("no_model", "No.")


def test_a_failed_response_says_why() -> None:
    details: Event = {"type": "failed", "error": {"code": "quota", "message": "Spent."}}
    failed = response("r1", [], status="failed", status_details=details)
    told: list[Event] = [
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.done", "response": failed},
    ]
    span = understood([], told)
    assert (span.error_code, span.error_message) == ("quota", "Spent.")


def test_the_responses_api_over_a_socket_is_read_as_its_stream() -> None:
    output: list[Json] = [ANSWERED]
    done: Event = {"id": "resp_2", "model": "m-1", "status": "completed", "output": output}
    ask: Event = {"type": "response.create", "model": "m", "input": "Rain?"}
    told: list[Event] = [
        {"type": "response.created", "response": {"id": "resp_1"}},
        {"type": "response.completed", "response": {**done, "id": "resp_1"}},
        {"type": "response.created", "response": {"id": "resp_2"}},
        {"type": "response.completed", "response": done},
    ]
    span = understood([{**ask, "input": "Sun?"}, ask], told)
    assert span.messages == (Message("user", "Rain?"),)
    assert (span.request_model, span.provider_id, span.ended) == ("m", "resp_2", True)
    assert span.choices[0].message.text == "It rains."
    assert "2 responses" in span.note


def test_other_messages_are_counted_and_said_to_be_unknown() -> None:
    span = understood([{"config": {}}], [{"result": {}}])
    assert "no known kind" in span.note
    assert span.extra is not None
    assert "frames" in span.extra


def test_a_socket_on_which_nothing_was_said_is_understood() -> None:
    span = understand(b"", b"", True)
    assert (span.note, span.messages, span.streamed) == ("", (), True)


def test_what_is_not_frames_is_said() -> None:
    span = understand(b"GET / HTTP/1.1", frames(TOLD, masked=False)[:-1], True)
    assert "14 bytes of the client are not read as frames: a frame of no known kind" in span.note
    assert span.choices


def test_events_of_any_shape_never_raise() -> None:
    kinds = [event["type"] for event in (*ASKED, *TOLD)] + ["conversation.item.deleted", "error"]
    values: list[Json] = [
        None,
        7,
        "x",
        [],
        [1],
        {},
        {"id": []},
        {"content": [None, {"transcript": 1}]},
    ]
    keys = ["item", "item_id", "session", "response", "delta", "content_index", "error"]
    chance = random.Random(5)
    for _ in range(300):
        events: list[Event] = [
            {"type": chance.choice(kinds), **{key: chance.choice(values) for key in keys}}
            for _ in range(10)
        ]
        understood(events, events)
