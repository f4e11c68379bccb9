"""Tests of storage.wire_gemini_live: sockets as the API reference writes their messages."""

import random

import msgspec
import pytest

from storage.capture import Body, Dialect, Endpoint, endpoint_of
from storage.derive import derive
from storage.frames import BINARY, TEXT, frame_of
from storage.trace import Json, Understood
from storage.wire_gemini_live import TURNS_MAX, is_live
from storage.wire_gemini_live import understand as understand_live
from storage.wire_realtime import understand
from tests.storage.calls import capture_of

Event = dict[str, Json]


def content(text: str) -> Event:
    return {"role": "user", "parts": [{"text": text}]}


SOUND: Event = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}
TOOL: Event = {"functionDeclarations": [{"name": "weather", "parameters": {}}]}
SETUP: Event = {
    "setup": {
        "model": "models/gemini-live-2.5-flash",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "tools": [TOOL],
    }
}
CALL: Event = {"id": "f1", "name": "weather", "args": {"city": "Oslo"}}
RESULT: Event = {"id": "f1", "name": "weather", "response": {"rain": True}}
ASKED: list[Event] = [
    SETUP,
    {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "I am Bo."}]}]}},
    {"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": "AAAA"}}},
    {"clientContent": {"turns": [content("Rain in Oslo?")], "turnComplete": True}},
    {"toolResponse": {"functionResponses": [RESULT]}},
    {"realtimeInput": {"text": "Thanks."}},
]


def spoken(text: str, **more: Json) -> Event:
    turn: Event = {"modelTurn": {"parts": [SOUND]}, "outputTranscription": {"text": text}}
    return {"serverContent": {**turn, **more}}


def usage(prompt: int, response: int) -> Event:
    details: list[Json] = [{"modality": "AUDIO", "tokenCount": response}]
    counts: Event = {"promptTokenCount": prompt, "responseTokenCount": response}
    return {"usageMetadata": {**counts, "responseTokensDetails": details}}


TOLD: list[Event] = [
    {"setupComplete": {"sessionId": "s1"}},
    {"serverContent": {"inputTranscription": {"text": "Good "}}},
    {"serverContent": {"inputTranscription": {"text": "day."}}},
    spoken("Hello "),
    spoken("there."),
    {"serverContent": {"generationComplete": True}},
    {"serverContent": {"turnComplete": True}, **usage(10, 5)},
    {"toolCall": {"functionCalls": [CALL]}, **usage(20, 6)},
    spoken("It ra", interrupted=True),
    {"serverContent": {"turnComplete": True}},
    usage(30, 7),
    {"serverContent": {"modelTurn": {"parts": [{"text": "You are "}]}}},
    {"serverContent": {"modelTurn": {"parts": [{"text": "welcome."}]}}},
    {"serverContent": {"turnComplete": True}, **usage(40, 8)},
]


def frames(events: list[Event], *, masked: bool) -> bytes:
    opcode = TEXT if masked else BINARY  # as Google sends them
    return b"".join(frame_of(opcode, msgspec.json.encode(e), masked=masked) for e in events)


def understood(asked: list[Event], told: list[Event]) -> Understood:
    return understand(frames(asked, masked=True), frames(told, masked=False), False)


def said(found: Understood) -> list[tuple[str, object]]:
    return [(message.role, message.content) for message in found.messages]


def test_a_conversation_is_told_in_its_order() -> None:
    found = understood(ASKED, TOLD)
    assert said(found) == [
        ("system", "Be kind."),
        ("user", "I am Bo."),
        ("user", "Good day."),
        ("assistant", "Hello there."),
        ("user", "Rain in Oslo?"),
        ("assistant", None),
        ("tool", '{"rain":true}'),
        ("assistant", "It ra"),
        ("user", "Thanks."),
    ]
    assert found.messages[5].tool_calls[0].name == "weather"
    assert found.messages[6].tool_call_id == "f1"
    (choice,) = found.choices
    assert (choice.message.content, choice.finish_reason) == ("You are welcome.", "turnComplete")
    assert (found.request_model, found.provider_id) == ("gemini-live-2.5-flash", "s1")
    assert [tool.name for tool in found.tools] == ["weather"]
    assert (found.ended, found.streamed, found.note) == (True, True, "")


def test_tokens_are_those_of_all_turns() -> None:
    found = understood(ASKED, TOLD)
    assert (found.usage.input_tokens, found.usage.output_tokens) == (100, 26)
    assert found.usage.audio_output_tokens == 26
    growing = [usage(5, 1), spoken("a", turnComplete=True) | usage(5, 9)]
    assert understood([SETUP], growing).usage.output_tokens == 10
    growing = [spoken("a") | usage(5, 1), spoken("b", turnComplete=True) | usage(5, 9)]
    assert understood([SETUP], growing).usage.output_tokens == 9


def test_the_last_turn_is_the_answer_also_where_it_is_a_call_or_breaks_off() -> None:
    called = understood(ASKED, TOLD[:8])
    assert called.choices[0].message.tool_calls[0].arguments == '{"city":"Oslo"}'
    assert called.choices[0].finish_reason == "toolCall"
    assert called.ended
    assert "2 messages behind" in called.note
    broken = understood(ASKED, TOLD[:-1])
    assert broken.choices[0].message.content == "You are welcome."
    assert not broken.ended
    assert "broke off" in broken.note


def test_without_an_answer_the_clients_words_are_the_messages() -> None:
    found = understood(ASKED, TOLD[:1])
    texts = [text for _, text in said(found)]
    assert texts == ["Be kind.", "I am Bo.", "Rain in Oslo?", "Thanks.", '{"rain":true}']
    assert (found.choices, found.ended) == ((), False)


def test_names_in_snake_case_are_read() -> None:
    asked: list[Event] = [
        {"setup": {"model": "models/m", "system_instruction": {"parts": [{"text": "Be kind."}]}}},
        {"client_content": {"turns": [content("Hi")], "turn_complete": True}},
        {"tool_response": {"function_responses": [RESULT]}},
    ]
    told = [TOLD[7], spoken("Rain.", turnComplete=True)]
    texts = [text for _, text in said(understood(asked, told))]
    assert texts == ["Be kind.", "Hi", None, '{"rain":true}']


def test_sound_without_words_is_a_part_without_its_bytes() -> None:
    told: list[Event] = [{"serverContent": {"modelTurn": {"parts": [SOUND]}, "turnComplete": True}}]
    found = understood([SETUP], told)
    assert "AAAA" not in str(found)
    parts = found.choices[0].message.content
    assert isinstance(parts, tuple)
    assert parts[0].kind == "audio"


def test_only_its_own_messages_are_taken_for_live() -> None:
    assert is_live([SETUP], [])
    assert is_live([], [{"setupComplete": {}}])
    assert not is_live([{"type": "session.update"}], [{"type": "session.created"}])
    assert not is_live([], [])


def test_the_socket_is_a_realtime_endpoint() -> None:
    service = "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    for name in (service, f"{service}Constrained", "BidiGenerateContent"):
        assert endpoint_of("GET", f"/ws/{name}?key=k") is Endpoint.REALTIME
    assert endpoint_of("POST", f"/ws/{service}") is Endpoint.OTHER


def test_more_turns_than_the_limit_are_noted() -> None:
    told = [spoken("a", turnComplete=True)] * (TURNS_MAX + 2)
    notes: list[str] = []
    found = understand_live([SETUP], told, notes)
    assert found.extra is not None
    assert found.extra["responses"] == TURNS_MAX
    assert "only" in found.note


@pytest.mark.parametrize("seed", range(20))
def test_odd_messages_are_understood_in_some_way(seed: int) -> None:
    chance = random.Random(seed)
    odd: list[Json] = [None, 1, "x", [], [1], {}, {"parts": 1}, {"text": 1}, [{"id": [1]}], True]

    def bend(value: Json) -> Json:
        if chance.random() < 0.1:
            return chance.choice(odd)
        if isinstance(value, dict):
            return {key: bend(each) for key, each in value.items()}
        return [bend(each) for each in value] if isinstance(value, list) else value

    for _ in range(50):
        asked, told = bend(list(ASKED)), bend(list(TOLD))
        if isinstance(asked, list) and isinstance(told, list):
            understood(
                [each for each in asked if isinstance(each, dict)],
                [each for each in told if isinstance(each, dict)],
            )


def test_a_call_of_live_is_geminis() -> None:
    call = msgspec.structs.replace(
        capture_of(1),
        method="GET",
        target="/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        status_code=101,
        request_headers=[],
        response_headers=[],
        request_body=Body(frames(ASKED, masked=True)),
        response_body=Body(frames(TOLD, masked=False)),
    )
    span = derive(call)
    assert (span.dialect, span.endpoint) == (Dialect.GEMINI, Endpoint.REALTIME)
    assert span.understood.choices[0].message.content == "You are welcome."
