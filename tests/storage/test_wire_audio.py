"""Audio: what is said and what is heard are messages; sound itself is a length."""

import json

import pytest

from storage.trace import Choice, Json, Message, Part, Understood, Usage
from storage.wire_audio import understand
from tests.storage.traffic import STREAMS

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\0\0\r\n"
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\near-1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nfr\r\n--b--\r\n'
)
SPEECH = b'{"model": "voice-1", "input": "High water.", "voice": "tern"}'


def heard(answer: bytes) -> Understood:
    return understand(FORM, answer, False)


def test_a_recording_is_named_and_what_was_heard_is_the_answer() -> None:
    understood = heard(b'{"text": "High water.", "usage": {"type": "duration", "seconds": 3}}')
    file: dict[str, Json] = {
        "field": "file",
        "filename": "a.wav",
        "content_type": "audio/wav",
        "length": 6,
    }
    assert understood.messages == (Message("user", (Part("audio", raw=file),)),)
    assert understood.choices == (Choice(Message("assistant", "High water.")),)
    assert (understood.request_model, understood.settings) == ("ear-1", {"language": "fr"})
    assert understood.extra == {"usage": {"type": "duration", "seconds": 3}}
    assert (understood.usage, understood.ended, understood.note) == (Usage(), True, "")


@pytest.mark.parametrize("answer", ["High water.", "1\n00:00:00,000 --> 00:00:01,500\nHigh é\n"])
def test_a_plain_text_answer_is_taken_whole(answer: str) -> None:
    understood = heard(answer.encode())
    assert understood.choices == (Choice(Message("assistant", answer)),)
    assert understood.ended


@pytest.mark.parametrize("sound", [b"ID3\x04\0\0\0", b"\xff\xfb\x90\xc4", b"OggS\0\x02"])
def test_of_sound_the_length_is_kept(sound: bytes) -> None:
    understood = understand(SPEECH, sound, False)
    assert understood.messages == (Message("user", "High water."),)
    (choice,) = understood.choices
    assert choice.message.content == (Part("audio", raw={"length": len(sound)}),)
    assert (understood.ended, understood.settings) == (True, {"voice": "tern"})


def test_an_error_is_read_as_one() -> None:
    answer = json.dumps({"error": {"message": "No.", "code": "nope"}}).encode()
    understood = understand(SPEECH, answer, False)
    assert (understood.error_code, understood.choices) == ("nope", ())


def test_a_transcript_in_events_is_its_text() -> None:
    understood = understand(FORM, STREAMS["audio_transcript"], True)
    (choice,) = understood.choices
    assert choice.message.content == "High water é"
    assert understood.usage == Usage(14, 5, audio_input_tokens=12)
    assert understood.extra is not None
    assert understood.extra["segments"] == [
        {"id": "seg_1", "start": 0.0, "end": 1.5, "text": "High water é", "speaker": "A"}
    ]
    assert (understood.ended, understood.note) == (True, "")


def test_speech_in_events_is_a_length() -> None:
    understood = understand(SPEECH, STREAMS["audio_speech"], True)
    (choice,) = understood.choices
    assert choice.message.content == (Part("audio", raw={"length": 7}),)
    assert (understood.usage, understood.ended) == (Usage(14, 101), True)


def test_a_transcript_cut_anywhere_is_the_beginning_of_its_text() -> None:
    data = STREAMS["audio_transcript"]
    for cut in range(len(data) - 2):
        understood = understand(FORM, data[:cut], True)
        text = "".join(choice.message.text for choice in understood.choices)
        assert "High water é".startswith(text)
        assert not understood.ended or text == "High water é"
