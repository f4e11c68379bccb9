"""Messages as digests: what a model would see of them, not what clients change on the way back.

Two requests have one digest up to a turn if a model would have seen the same up to there. Not
counted are white space, ids, names, the order of keys in arguments, cache marks, whether one
assistant message was written as two, and the numbers, dates and times in a system message.

A digest has 16 bytes: of a group of a million turns, two differ and look alike once in 10^26.
Cost: about 2 µs a message, 0.2 µs where the call before began with the same one (`like`).
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from storage.grouping import masked
from storage.trace import Message, Part

DIGEST_BYTES = 16
_WHITE_SPACE = bytes(code for code in range(128) if chr(code).isspace())


class TurnDigest(NamedTuple):
    """A digest of all messages up to the end of a turn, and the index of the turn's last one.

    Assistant messages in a row are one turn, every other message is one of its own.
    """

    last: int
    digest: bytes


class Digested(NamedTuple):
    """The messages of a request and the digests of their turns."""

    messages: tuple[Message, ...]
    turns: tuple[TurnDigest, ...]


def digest_turns(
    messages: tuple[Message, ...],
    *,
    seed: bytes = b"",
    reasoning: bool = False,
    like: Digested | None = None,
) -> Digested:
    """Digest every turn of a request.

    `seed`: what else must be the same for two digests to be one. `reasoning`: whether the
    assistant's reasoning text counts. `like`: another request digested with the same `seed` and
    `reasoning`; where the two begin with the same messages, its digests are taken over.
    """
    turns = _shared(messages, like) if like is not None else []
    digest = turns[-1].digest if turns else seed
    start = turns[-1].last + 1 if turns else 0
    while start < len(messages):
        end = _turn_end(messages, start)
        digest = _chained(digest, messages[start:end], reasoning)
        turns.append(TurnDigest(end - 1, digest))
        start = end
    return Digested(messages, tuple(turns))


def digest_answered(
    request: Digested, answer: Message, *, seed: bytes = b"", reasoning: bool = False
) -> bytes:
    """Digest a whole request and its answer, as a later request that repeats both would be."""
    turns = request.turns
    start = len(request.messages)
    if turns and request.messages[-1].role == "assistant":  # the answer goes on from there
        turns = turns[:-1]
        start = turns[-1].last + 1 if turns else 0
    before = turns[-1].digest if turns else seed
    return _chained(before, (*request.messages[start:], answer), reasoning)


def answered(
    request: Digested, answer: Message, *, seed: bytes = b"", reasoning: bool = False
) -> Digested:
    """Digest a whole request and its answer, as the beginning of what may repeat both (`like`)."""
    end = digest_answered(request, answer, seed=seed, reasoning=reasoning)
    turns = request.turns
    if turns and request.messages[-1].role == "assistant":
        turns = turns[:-1]
    return Digested((*request.messages, answer), (*turns, TurnDigest(len(request.messages), end)))


def _shared(messages: tuple[Message, ...], like: Digested) -> list[TurnDigest]:
    """Return the turns that both requests begin with."""
    whole = len(like.messages)
    if like.turns and messages[:whole] == like.messages:
        if _turn_end(messages, like.turns[-1].last) == whole:
            return list(like.turns)  # one comparison for what most calls do
    turns: list[TurnDigest] = []
    start = 0
    for turn in like.turns:
        end = turn.last + 1
        if messages[start:end] != like.messages[start:end]:
            break
        if _turn_end(messages, start) != end:  # here the assistant went on
            break
        turns.append(turn)
        start = end
    return turns


def _turn_end(messages: Sequence[Message], start: int) -> int:
    end = start + 1
    if messages[start].role == "assistant":
        while end < len(messages) and messages[end].role == "assistant":
            end += 1
    return end


def _chained(before: bytes, turn: Sequence[Message], reasoning: bool) -> bytes:
    canonical = _canonical(turn, reasoning).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(before + canonical, digest_size=DIGEST_BYTES).digest()


def _canonical(turn: Sequence[Message], reasoning: bool) -> str:
    role = turn[0].role
    if role in ("system", "developer"):  # libraries write one or the other, depending on the model
        role, text = "system", masked(_said(turn))
    else:
        text = _said(turn)
    fields = [role, _without_space(text)]
    for message in turn:
        fields += [f"{call.name} {_canonical_json(call.arguments)}" for call in message.tool_calls]
        if isinstance(message.content, tuple):
            fields += [_canonical_part(part) for part in message.content if part.kind != "text"]
        if reasoning and message.reasoning:
            fields.append("\x1e" + _without_space(message.reasoning))
    return "\x1f".join(fields)


def _without_space(text: str) -> str:
    if text.isascii():  # half of the time that splitting takes
        return text.encode().translate(None, _WHITE_SPACE).decode()
    return "".join(text.split())


def _said(turn: Sequence[Message]) -> str:
    first = turn[0]
    if len(turn) == 1 and isinstance(first.content, str):
        return first.content + first.refusal
    return "".join(message.text + message.refusal for message in turn)


def _canonical_part(part: Part) -> str:
    raw = {key: value for key, value in (part.raw or {}).items() if key != "cache_control"}
    return hashlib.sha256(_encode_sorted([part.kind, part.text, raw])).hexdigest()


def _canonical_json(text: str) -> str:
    try:
        return _encode_sorted(msgspec.json.decode(text)).decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return text


_encode_sorted = msgspec.json.Encoder(order="sorted").encode
