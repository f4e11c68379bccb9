"""Audio: text spoken, speech written down or translated; answers in JSON, text, events or sound.

Source: https://platform.openai.com/docs/api-reference/audio. What is to be spoken is a user message
and the sound an assistant's, of which the length is kept. Of a recording sent in a form, what is
said of the file is the user's message, not its bytes; what was heard in it is the assistant's. A
plain text answer (`text`, `srt`, `vtt`) is taken whole.
"""

import base64
import binascii

import msgspec

from storage.multipart import FormFile, read_fields
from storage.trace import Choice, Json, Message, Part, Understood
from storage.usage import openai_usage
from storage.wire import (
    Notes,
    Object,
    as_object,
    as_text,
    content_of,
    join,
    read_object,
    read_outcome,
    read_stream,
    rest,
)

_REQUEST_KEYS = frozenset({"model", "input", "file", "user"})
_ANSWER_KEYS = frozenset({"text"})


def understand(request: bytes, response: bytes, streamed: bool) -> Understood:
    """Understand an audio call from its two bodies, decoded; either may be empty or broken.

    `streamed`: the response is an event stream. Never raises for what the bodies hold.
    """
    notes: Notes = []
    asked = _read_request(*read_fields(request, notes))
    if streamed:
        answer = _read_stream(response, notes)
    elif response[:64].lstrip().startswith(b"{"):
        answer = _read_json(read_object(response, "the answer", notes), notes)
    elif response:
        answer = Understood(choices=(_choice(_text_or_sound(response)),), ended=True)
    else:
        answer = Understood()
    return join(asked, answer, streamed, notes)


def _read_request(request: Object, files: list[FormFile]) -> Understood:
    parts: list[Part] = []
    if request.get("input") is not None:
        parts.append(Part("text", as_text(request["input"])))
    if request.get("file") is not None:  # some servers take a URL, or Base64
        parts.append(Part("audio", raw={"file": request["file"]}))
    parts += [Part("audio", raw=file.raw) for file in files]
    return Understood(
        request_model=as_text(request.get("model")),
        messages=(Message("user", content_of(parts)),) if parts else (),
        settings=rest(request, _REQUEST_KEYS) or {},
        user_id=as_text(request.get("user")),
    )


def _read_json(answer: Object, notes: Notes) -> Understood:
    text = answer.get("text")
    return msgspec.structs.replace(
        read_outcome(answer, _ANSWER_KEYS, "text", notes),
        choices=() if text is None else (_choice(as_text(text)),),
        usage=openai_usage(as_object(answer.get("usage"))),
    )


def _read_stream(response: bytes, notes: Notes) -> Understood:
    """Read `transcript.text.*` or `speech.audio.*`: a done event outweighs the deltas before it."""
    texts: list[str] = []
    segments: list[Json] = []
    sound_bytes = 0
    answer: Object = {}
    ended = False
    for kind, event in read_stream(response, notes):
        if "error" in event:
            answer["error"] = event["error"]
        elif kind == "transcript.text.delta":
            texts.append(as_text(event.get("delta")))
        elif kind == "speech.audio.delta":
            sound_bytes += _decoded_length(as_text(event.get("audio")))
        elif kind in ("transcript.text.done", "speech.audio.done"):
            ended = True
            answer.update(rest(event, {"type"}) or {})
        elif kind == "transcript.text.segment":
            segments.append(rest(event, {"type"}) or {})
    if segments:
        answer["segments"] = segments
    text = as_text(answer.get("text")) or "".join(texts)
    if not ended and "error" not in answer:
        notes.append("the stream broke off before its end")
    outcome = read_outcome({**answer, "text": text}, _ANSWER_KEYS, "text", notes)
    content = (_sound(sound_bytes),) if sound_bytes else text
    return msgspec.structs.replace(
        outcome,
        choices=(_choice(content),) if content else (),
        usage=openai_usage(as_object(answer.get("usage"))),
        ended=ended,
    )


def _choice(content: str | tuple[Part, ...]) -> Choice:
    return Choice(Message("assistant", content))


def _text_or_sound(response: bytes) -> str | tuple[Part, ...]:
    # The encoded sounds there are have a NUL or no UTF-8 in their first bytes; texts have neither.
    try:
        text = response.decode()
    except UnicodeDecodeError:
        return (_sound(len(response)),)
    return (_sound(len(response)),) if "\0" in text else text


def _sound(length: int) -> Part:
    return Part("audio", raw={"length": length})


def _decoded_length(encoded: str) -> int:
    try:
        return len(base64.b64decode(encoded))
    except (binascii.Error, ValueError):
        return 0
