"""What somebody says of an answer: scores, labels, verdicts on labels. The vocabulary.

A `Score` judges an answer under a name: a bool, a number or a text. A `Label` is a better answer,
with who gave it. Both are only ever added. A label that is a proposal (from feedback, from a model)
waits for a `Verdict`; the newest verdict on a label is what its status is.

Each is about a call, which is named in one of three ways:

    call_id       our id: of that call, whether it is stored already or not
    provider_id   the upstream's id of the answer: of the call whose answer had it
    session_id    a session, of which it is a judgement; it counts for the session's last call

Where several calls answer to a provider id or a session, it is the newest that began before it was
said, or the first one where none had. What names a call that is not here yet waits for it, for
WAITING_DAYS. An id is minted when it is accepted; with an idempotency key it is made of that.

Limits: the lengths below. `check` says what is wrong; what comes from a spool was checked before.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, cast

import msgspec

from storage.trace import Json, Message, Part, Role, ToolCall

WAITING_DAYS: Final = 7
NAME_CHARS_MAX: Final = 64
TEXT_CHARS_MAX: Final = 10_000  # of a value, a comment, a note
AUTHOR_CHARS_MAX: Final = 200
REFERENCE_CHARS_MAX: Final = 1_000  # of a provider's id, a session, an idempotency key
MESSAGE_BYTES_MAX: Final = 2**20  # of a corrected answer, as JSON
NAMES_MAX: Final = 1_000  # different names of scores in a project
_WHOLE_MAX: Final = 2**53  # beyond, a float is another number

Value = bool | float | str


class LabelSource(StrEnum):
    """Who gave a corrected answer."""

    HUMAN = "human"  # somebody who works with the store
    MODEL = "model"
    FEEDBACK = "feedback"  # the application, or who uses it
    IMPORT = "import"


class ScoreSource(StrEnum):
    """Who judges."""

    HUMAN = "human"
    MODEL = "model"
    FEEDBACK = "feedback"
    CHECK = "check"  # a program
    IMPORT = "import"


class Status(StrEnum):
    """What is to be made of a label."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


# What a label is before anybody judges it.
FIRST_STATUS: Final[Mapping[LabelSource, Status]] = {
    LabelSource.HUMAN: Status.ACCEPTED,
    LabelSource.MODEL: Status.PROPOSED,
    LabelSource.FEEDBACK: Status.PROPOSED,
    LabelSource.IMPORT: Status.ACCEPTED,
}


class LabelError(Exception):
    """What was said of a call cannot be taken as it is; the message says why."""


class Score(msgspec.Struct, frozen=True, array_like=True):
    """A judgement. `call_id` is empty as long as it is not known.

    Spool frames hold these fields in this order: more may join at the end, none may go.
    """

    id: str
    project: str
    call_id: str
    provider_id: str  # this and the next: as it was named; else empty
    session_id: str
    created_at: datetime
    name: str
    value: Value
    comment: str
    source: ScoreSource
    author: str


class Label(msgspec.Struct, frozen=True, array_like=True):
    """A corrected answer: a message of the assistant. As `Score` for the fields they share."""

    id: str
    project: str
    call_id: str
    provider_id: str
    session_id: str
    created_at: datetime
    message: Message
    note: str
    source: LabelSource
    author: str
    status: Status


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """Whether a label is to be used: `accepted` or `rejected`."""

    id: str
    project: str
    call_id: str
    label_id: str
    created_at: datetime
    status: Status
    note: str
    author: str


Said = Score | Label | Verdict


def encode_message(message: Message) -> str:
    """Write a message as the store keeps it: JSON, its fields by name."""
    return msgspec.json.encode(message).decode()


def decode_message(encoded: str | bytes) -> Message:
    """Read what `encode_message` wrote. Raise msgspec.DecodeError for anything else."""
    return _message_of(_decode_message(encoded))


def decode_label(encoded: bytes) -> Label:
    """Read the payload of a LABEL frame. Raise msgspec.DecodeError where it is none."""
    found = _decode_label(encoded)
    return Label(
        found.id,
        found.project,
        found.call_id,
        found.provider_id,
        found.session_id,
        found.created_at,
        _message_of(found.message),
        found.note,
        found.source,
        found.author,
        found.status,
    )


def id_of_key(project: str, key: str, what: str) -> str:
    """Make the id of what is said with an idempotency key. `what`: score or label.

    A UUID of version 8 (RFC 9562): SHA-256 of project, key and what, without its time.
    """
    text = "\0".join(("shalt", what, project, key))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:12]}8{digest[13:16]}8{digest[17:32]}"


def check_score(score: Score) -> None:
    """Raise LabelError where a score is not one to keep."""
    _check_reference(score)
    name = score.name
    if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise LabelError(f"name: 1 to {NAME_CHARS_MAX} characters, such as thumbs or correct")
    value = score.value
    if isinstance(value, str):
        _check_length("value", value, TEXT_CHARS_MAX)
    elif not -_WHOLE_MAX <= value <= _WHOLE_MAX:  # nor is NaN
        raise LabelError(f"value: a number from -{_WHOLE_MAX} to {_WHOLE_MAX}")
    _check_length("comment", score.comment, TEXT_CHARS_MAX)
    _check_length("author", score.author, AUTHOR_CHARS_MAX)


def check_label(label: Label) -> None:
    """Raise LabelError where a label's message is no answer of an assistant."""
    _check_reference(label)
    message = label.message
    if message.role != "assistant":
        raise LabelError(f"a label is a message of the assistant, not of the {message.role}")
    if not message.text and not message.tool_calls:
        raise LabelError("a label has a text, tool calls or both; this one has neither")
    for called in message.tool_calls:
        if not called.name:
            raise LabelError("a tool call names its function")
        try:
            arguments = msgspec.json.decode(called.arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise LabelError(f"the arguments of {called.name} are no JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise LabelError(f"the arguments of {called.name} are no JSON object")
    try:
        length = len(msgspec.json.encode(message))
    except UnicodeEncodeError:
        raise LabelError("the message holds half a surrogate pair, which is no text") from None
    if length > MESSAGE_BYTES_MAX:
        raise LabelError(f"the message has {length} bytes as JSON, more than {MESSAGE_BYTES_MAX}")
    _check_length("note", label.note, TEXT_CHARS_MAX)
    _check_length("author", label.author, AUTHOR_CHARS_MAX)


def _check_reference(said: Score | Label) -> None:
    named = [each for each in (said.call_id, said.provider_id, said.session_id) if each]
    if len(named) != 1:
        raise LabelError("name the call in one way: by id, provider_id or session")
    _check_length("provider_id or session", named[0], REFERENCE_CHARS_MAX)


def _check_length(what: str, text: str, characters_max: int) -> None:
    if len(text) > characters_max:
        raise LabelError(f"{what}: {len(text)} characters, at most {characters_max} are kept")


# Decoders cannot be made of the vocabulary's own types: that of JSON within them names itself.
class _WirePart(msgspec.Struct):
    kind: Literal["text", "image", "audio", "file", "other"]
    text: str = ""
    raw: dict[str, Any] | None = None


class _WireToolCall(msgspec.Struct):
    name: str
    arguments: str
    id: str = ""
    kind: str = "function"
    raw: dict[str, Any] | None = None


class _WireMessage(msgspec.Struct):
    role: Role
    content: str | list[_WirePart] | None = None
    tool_calls: list[_WireToolCall] = []
    tool_call_id: str = ""
    name: str = ""
    reasoning: str = ""
    refusal: str = ""
    extra: dict[str, Any] | None = None


class _WireLabel(msgspec.Struct, array_like=True):
    id: str
    project: str
    call_id: str
    provider_id: str
    session_id: str
    created_at: datetime
    message: _WireMessage
    note: str
    source: LabelSource
    author: str
    status: Status


def _message_of(wire: _WireMessage) -> Message:
    content = wire.content
    return Message(
        role=wire.role,
        content=tuple(Part(each.kind, each.text, _raw(each.raw)) for each in content)
        if isinstance(content, list)
        else content,
        tool_calls=tuple(
            ToolCall(each.name, each.arguments, each.id, each.kind, _raw(each.raw))
            for each in wire.tool_calls
        ),
        tool_call_id=wire.tool_call_id,
        name=wire.name,
        reasoning=wire.reasoning,
        refusal=wire.refusal,
        extra=_raw(wire.extra),
    )


def _raw(value: dict[str, Any] | None) -> dict[str, Json] | None:
    return cast("dict[str, Json] | None", value)


_decode_message = msgspec.json.Decoder(_WireMessage).decode
_decode_label = msgspec.msgpack.Decoder(_WireLabel).decode
