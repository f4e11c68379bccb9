"""What the wire formats share: JSON in any state, streams of it, a request and its answer.

Nothing here raises for what the bytes hold. What cannot be read is said in a list of notes, in
words of ours and never in the body's. Values that come out can always be written as UTF-8 JSON:
lone surrogates and invalid UTF-8 become U+FFFD, NaN and infinite numbers null, both noted. Of a
key that is there twice the last one counts, as for every JSON reader; the bytes keep both.

Limits: JSON nested deeper than NESTING_MAX is not read (writers of JSON give up at 254); of a
stream the first EVENTS_MAX events are read; a count of tokens above TOKENS_MAX is none.
"""

import json
import math
from collections.abc import Iterator, Sequence, Set

import msgspec

from storage.sse import iterate_events
from storage.trace import Json, Message, Part, Understood

NESTING_MAX = 200
EVENTS_MAX = 1_000_000
TOKENS_MAX = 2**31 - 1  # what an SQL integer holds
NOTE_CHARS_MAX = 1_000
DEEP_BYTES = 2 * NESTING_MAX  # fewer cannot nest too deep: every level opens and closes

Object = dict[str, Json]
Notes = list[str]

# msgspec is as fast as orjson here and, unlike it, keeps integers beyond 64 bits exactly.
_decode_strictly = msgspec.json.Decoder().decode
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_json(data: bytes, what: str, notes: Notes) -> Json:
    """Read JSON as far as it can be read; null, with a note that names `what`, where it cannot."""
    try:
        value: Json = _decode_strictly(data)
    except _REFUSALS:
        return _read_leniently(data, what, notes)
    if _nests_too_deep(data, value):
        notes.append(f"{what} is nested deeper than {NESTING_MAX} levels")
        return None
    return value


def read_object(data: bytes, what: str, notes: Notes) -> Object:
    """Read a JSON object; an empty one, with a note, where the bytes are something else.

    No bytes at all are an empty object without a note: whoever has them knows why.
    """
    if not data:
        return {}
    seen = len(notes)
    value = read_json(data, what, notes)
    if isinstance(value, dict):
        return value
    # Google's OpenAI endpoint wraps its errors in an array of one.
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if len(notes) == seen:
        notes.append(f"{what} is JSON but not an object")
    return {}


class Stream:
    """The JSON objects of an event stream, each with its type, and whether `[DONE]` was sent.

    The type is the object's own `type`, else the event's name, else empty. To be gone through once,
    object by object: 64 MiB of small events are half a gigabyte of objects. `done` is known, and
    the notes on events that are no objects are made, when all have been.
    """

    def __init__(self, data: bytes, notes: Notes) -> None:
        self.done = False
        self._data = data
        self._notes = notes

    @property
    def objects(self) -> list[tuple[str, Object]]:
        """All of them at once."""
        return list(self)

    def __iter__(self) -> Iterator[tuple[str, Object]]:
        unread = count = 0
        for event in iterate_events(self._data):
            count += 1
            if count > EVENTS_MAX:
                self._notes.append(f"only the first {EVENTS_MAX} events were read")
                break
            for value in self._read(event.data):
                if value is None:
                    unread += 1
                else:
                    kind = value.get("type")
                    yield kind if isinstance(kind, str) else event.name, value
        if unread:
            self._notes.append(f"{unread} of {count} events are not JSON objects")

    def _read(self, data: bytes) -> Sequence[Object | None]:
        if data == b"[DONE]":  # a refusal takes longer than an object
            self.done = True
            return ()
        try:
            value: Json = _decode_strictly(data)
        except _REFUSALS:
            value = None
        if isinstance(value, dict):  # nearly all of them
            return (None if _nests_too_deep(data, value) else value,)
        documents = _documents(data)
        # The SDKs too only look how it begins: text may follow.
        values = [_read_event(d, self._notes) for d in documents if not d.startswith(b"[DONE]")]
        self.done |= len(values) < len(documents)
        return values


def read_stream(data: bytes, notes: Notes) -> Stream:
    """Read every event of a stream as a JSON object; note those that are none."""
    return Stream(data, notes)


def _documents(data: bytes) -> list[bytes]:
    """Split what a server ended with one line end instead of two, so that it came as one event."""
    if b"\n" in data:
        lines = data.split(b"\n")
        if all(line.startswith((b"{", b"[DONE]")) for line in lines):
            return lines
    return [data]


def _read_event(data: bytes, notes: Notes) -> Object | None:
    try:
        value: Json = _decode_strictly(data)
    except _REFUSALS:
        if not data[:64].lstrip().startswith(b"{"):
            return None
        seen: Notes = []
        value = _read_leniently(data, "an event", seen)
        if isinstance(value, dict):
            notes += seen
    return value if isinstance(value, dict) and not _nests_too_deep(data, value) else None


def _nests_too_deep(data: bytes, value: Json) -> bool:
    if is_shallow(data):  # quick, and settles nearly all
        return False
    level = [value]
    for _ in range(NESTING_MAX):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def is_shallow(data: bytes, levels: int = NESTING_MAX) -> bool:
    """Tell that JSON cannot nest deeper: each level takes two brackets."""
    return len(data) < 2 * levels or _count(data, b"{") + _count(data, b"[") <= levels


def _count(data: bytes, symbol: bytes) -> int:
    """Count a byte that is rare: a fifth of the time of bytes.count, which looks at every byte."""
    return len(data) - len(data.replace(symbol, b""))


def _read_leniently(data: bytes, what: str, notes: Notes) -> Json:
    """Read what strict readers refuse: odd encodings, lone surrogates, NaN, control characters."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        notes.append(f"{what} holds bytes that are not UTF-8, read as U+FFFD")
    out_of_range = False

    def read_number(digits: str) -> Json:
        nonlocal out_of_range
        try:
            number = int(digits) if digits.lstrip("-").isdigit() else float(digits)
            if math.isfinite(number):
                return number
        except (ValueError, OverflowError):
            pass  # more digits than int() takes, or more than a float can hold
        out_of_range = True
        return None

    decoder = json.JSONDecoder(
        parse_int=read_number, parse_float=read_number, parse_constant=read_number, strict=False
    )
    try:
        value: Json = decoder.decode(text.strip())
    except ValueError:
        notes.append(f"{what} is not JSON")
        return None
    except RecursionError:
        notes.append(f"{what} is nested deeper than {NESTING_MAX} levels")
        return None
    if _nests_too_deep(data, value):
        notes.append(f"{what} is nested deeper than {NESTING_MAX} levels")
        return None
    if out_of_range:
        notes.append(f"{what} holds numbers out of range, read as null")
    if "\\ud" in text or "\\uD" in text:
        mended = _without_surrogates(value)
        if mended != value:
            notes.append(f"{what} holds lone surrogates, read as U+FFFD")
        return mended
    return value


def _without_surrogates(value: Json) -> Json:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(child) for child in value]
    if isinstance(value, dict):
        return {str(_without_surrogates(k)): _without_surrogates(v) for k, v in value.items()}
    return value


def write_json(value: Json) -> str:
    """Write a value as compact JSON text."""
    return msgspec.json.encode(value).decode()


def as_text(value: Json) -> str:
    """Take a string as it is, null as empty, anything else as the JSON it is."""
    if isinstance(value, str):
        return value
    return "" if value is None else write_json(value)


def as_object(value: Json) -> Object:
    """Take an object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_array(value: Json) -> list[Json]:
    """Take an array, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_count(value: Json) -> int | None:
    """Take a whole number from 0 to TOKENS_MAX, or None for anything else."""
    if type(value) is int:
        return value if 0 <= value <= TOKENS_MAX else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= TOKENS_MAX else None


def rest(value: Object, known: Set[str]) -> Object | None:
    """Return what an object holds under other keys than these, None if nothing; nulls are not."""
    if value.keys() <= known:
        return None
    return {k: v for k, v in value.items() if v is not None and k not in known} or None


def metadata_texts(value: Json) -> dict[str, str]:
    """Take the application's metadata: an object's values as text, without nulls."""
    return {k: as_text(v) for k, v in as_object(value).items() if v is not None}


def content_of(parts: list[Part]) -> str | tuple[Part, ...] | None:
    """Make a message's content of its parts: one plain text is a string, none at all is None.

    For the dialects that write a text either way and mean the same.
    """
    if not parts:
        return None
    if len(parts) == 1 and parts[0].kind == "text" and parts[0].raw is None:
        return parts[0].text
    return tuple(parts)


def input_messages(value: Json) -> tuple[Message, ...]:
    """Read an `input` or `prompt`, one or several: each is a user message.

    Tokens in the place of text, and objects, become a part that holds them as they were sent.
    """
    if isinstance(value, list) and not _are_tokens(value):
        return tuple(_input_message(each) for each in value)
    return () if value is None else (_input_message(value),)


def _are_tokens(value: list[Json]) -> bool:
    return bool(value) and isinstance(value[0], int)


def _input_message(value: Json) -> Message:
    if isinstance(value, str):
        return Message("user", value)
    if isinstance(value, dict):
        given = value.get("content")
        pieces = given if isinstance(given, list) else [value]
        return Message("user", content_of([input_part(piece) for piece in pieces]))
    if isinstance(value, list):
        return Message("user", (Part("other", raw={"tokens": value}),))
    return Message("user", as_text(value))


def input_part(value: Json) -> Part:
    """Read one piece of an input: a text, an image, or what it is."""
    if not isinstance(value, dict):
        return Part("text", as_text(value))
    text = value.get("text")
    if isinstance(text, str) and value.keys() <= {"type", "text"}:
        return Part("text", text)
    is_image = as_text(value.get("type")).startswith("image")
    return Part("image" if is_image else "other", raw=value)


def read_outcome(answer: Object, known: Set[str], missing: str, notes: Notes) -> Understood:
    """Read what every answer of OpenAI's may hold: model, id, an error, and all not `known`.

    `missing` names what the answer must hold where it holds no error; if so, that is noted.
    """
    error_code, error_message = error_of(answer.get("error"))
    if answer and answer.get(missing) is None and answer.get("error") is None:
        # Frameworks in front of models say what is wrong in words of their own.
        error_message = as_text(answer.get("message", answer.get("detail")))
        if not error_message:
            notes.append(f"the answer has no {missing}")
    extra = rest(answer, known | {"id", "model", "error"})
    if rest(as_object(answer.get("error")), {"message", "type", "code"}):
        extra = {**(extra or {}), "error": answer["error"]}
    return Understood(
        response_model=as_text(answer.get("model")),
        provider_id=as_text(answer.get("id")),
        error_code=error_code,
        error_message=error_message,
        ended=bool(answer),
        extra=extra,
    )


def join(request: Understood, answer: Understood, streamed: bool, notes: Notes) -> Understood:
    """Put together what was understood of a request and of its answer, each without the other."""
    note = "; ".join(dict.fromkeys(notes))
    return Understood(
        request_model=request.request_model,
        response_model=answer.response_model,
        streamed=streamed,
        messages=request.messages,
        tools=request.tools,
        choices=answer.choices,
        usage=answer.usage,
        settings=request.settings,
        metadata=request.metadata,
        user_id=request.user_id,
        provider_id=answer.provider_id,
        previous_id=request.previous_id or answer.previous_id,
        conversation_id=request.conversation_id or answer.conversation_id,
        instruction_count=request.instruction_count,
        system_fingerprint=answer.system_fingerprint,
        service_tier=answer.service_tier,
        error_code=answer.error_code,
        error_message=answer.error_message,
        ended=answer.ended,
        note=note[:NOTE_CHARS_MAX],
        extra=answer.extra,
    )


def error_of(value: Json) -> tuple[str, str]:
    """Read code and message of an error: an object as OpenAI's or Anthropic's, or just a text."""
    if not isinstance(value, dict):
        return "", as_text(value)
    code = value.get("code")
    return as_text(code if code is not None else value.get("type")), as_text(value.get("message"))
