"""A row as 624 bytes: what tells whether two rows ask the same, or are the same.

    row         hash of the whole conversation, answers and tools included
    order       hash of the call's id: which of equal rows stay, where not all may
    input       hash of the input, with system message and images, white space and case aside
    last        hash of what the user said last, where that is at least `WORDS_MIN` words
    asked       hash of what users and tools said, one message after the other, and the system
                message: of an input that is long enough to mean something by itself
    earlier     the same of what had been said at up to `EARLIER_TURNS` turns before the last
    words       how many words of the input belong to no template (exporters.templates)
    numbers     of a short input, which numbers stand among them: 24 bits of a hash, 8 of a count
    word_sketch MinHash of every five words in a row, of an input of at least `WORDS_MIN` words
    char_sketch MinHash of every five characters, of one of fewer than `CHAR_WORDS_END` words

Short inputs are compared by characters, and only with those of the same system message and
template: of five words in a row an input of ten has too few, and `Yes, please` means nothing by
itself. Inputs of 20 to 24 words have both sketches, for they may be near-duplicates of shorter
ones. An input with images is compared with those of the same images.

A sketch is the lowest 8 bits of each of 256 R-MinHash values (rensa; Dahlgaard, Knudsen and
Thorup, Fast Similarity Sketching, arXiv:1704.04370; b bits: Li and König, arXiv:0910.3349). Of two
sets of similarity J a share of J + (1 - J) / 256 of them agree, with a standard error of 0.025 at
J = 0.8. A sketch of zeros is none.
"""

import hashlib
import re
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from exporters.inputs import input_of, joined, seen
from exporters.shingles import (
    Hashes,
    Texts,
    Words,
    char_shingles,
    folded,
    without_space,
    word_shingles,
)
from exporters.templates import RUN_SHINGLES, Mask, Templates, words_of_runs
from storage.trace import Message, Tool

WORDS_MIN = 20
# 20 / 0.8: a longer input is no near-duplicate of one that has only characters.
CHAR_WORDS_END = 25
SKETCH_SIZE = 256
# Of a conversation the first half of so many turns, and the last ones.
EARLIER_TURNS = 8
# A shorter beginning is one that strangers share (`Hello!`), unless a second turn follows it.
ASKED_CHARS_MIN = 40

FINGERPRINT = np.dtype(
    [
        ("row", "<u8"),
        ("order", "<u8"),
        ("input", "<u8"),
        ("last", "<u8"),
        ("asked", "<u8"),
        ("earlier", "<u8", EARLIER_TURNS),
        ("words", "<u4"),
        ("numbers", "<u4"),
        ("word_sketch", "u1", SKETCH_SIZE),
        ("char_sketch", "u1", SKETCH_SIZE),
    ]
)

_NO_SKETCH = bytes(SKETCH_SIZE)
_NUMBERS = struct.Struct(f"<{5 + EARLIER_TURNS}Q2I")
# Words, and which of them have a digit: one pattern for both takes the square of a word's length.
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
_SEED = 42
_FIELD = "\x1f"
_MESSAGE_TEXT = "\x1e"
_MESSAGE = _MESSAGE_TEXT.encode()


class Conversation(NamedTuple):
    """A row to be, from wherever it was read: a conversation with its answers."""

    messages: Sequence[Message]
    tools: Sequence[Tool]
    call_id: str


def fingerprints(rows: Sequence[Conversation], templates: Templates) -> list[bytes]:
    """Return the fingerprints of rows, FINGERPRINT.itemsize bytes each. Pure.

    One row alone costs twice what it costs among sixteen; give no more at a time than fit in memory
    ten times over.
    """
    asked = [_Asked(row.messages) for row in rows]
    texts = Texts([each.text for each in asked])
    runs = templates.runs(texts.shingles)
    sketches = _Sketches()
    numbers = [
        _compared(number, row, each, texts, runs, sketches)
        for number, (row, each) in enumerate(zip(rows, asked, strict=True))
    ]
    return [
        each + by_word + by_char
        for each, (by_word, by_char) in zip(numbers, sketches.made(), strict=True)
    ]


def fingerprint_of(
    messages: Sequence[Message], tools: Sequence[Tool], call_id: str, templates: Templates
) -> bytes:
    """Return the fingerprint of one row."""
    return fingerprints((Conversation(messages, tools, call_id),), templates)[0]


def read_fingerprints(path: Path, rows_max: int) -> Iterator[NDArray[np.void]]:
    """Read a file of fingerprints, which are one after the other, as arrays of FINGERPRINT.

    All but the last hold `rows_max` rows. Not mapped: pages of a mapped file count as memory.
    """
    with path.open("rb") as file:
        while len(rows := np.fromfile(file, dtype=FINGERPRINT, count=rows_max)):
            yield rows


def similarity(agreeing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the similarity of sets from the shares of their sketches that agree."""
    return np.maximum(0, (agreeing * 256 - 1) / 255)


def other_numbers(some: NDArray[np.uint32], others: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Say where short inputs have as many numbers as others, and not the same ones."""
    differ = some ^ others
    others_there: NDArray[np.bool_] = (differ != 0) & (differ & 0xFF == 0)
    return others_there


class _Asked:
    """What was asked in a conversation, folded: each message once, for all that is made of it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        found = input_of(messages)
        self.system, self.attached = found.system, found.attached
        said = [folded(text) for text in found.said]
        self.last = said[found.last] if found.last >= 0 else ""
        self.is_last_alone = len(said) == (found.last >= 0)
        self.text = joined(said, found.last)
        self.said = [without_space(text) for text in said]
        self.last_said = self.said[found.last] if found.last >= 0 else b""
        self.last_first = [self.last_said, *self.said]
        if found.last >= 0:
            del self.last_first[found.last + 1]


def _compared(
    number: int,
    row: Conversation,
    asked: _Asked,
    texts: Texts,
    runs: Mask,
    sketches: "_Sketches",
) -> bytes:
    """Return the numbers of a fingerprint, and have its sketches made."""
    words, shingles = texts.words(number), texts.shingles_of(number)
    count = len(words.hashes)
    last_count = count if asked.is_last_alone else texts.count_within(number, asked.last)
    context = [asked.system, asked.attached]
    template = words_of_runs(texts.runs_of(number, runs, RUN_SHINGLES))
    if template is not None:
        last_count -= int(template[:last_count].sum())
        context.append(words.hashes[template].tobytes())
        words = words.only(~template)
        shingles = word_shingles(words.hashes)
        count = len(words.hashes)
    *earlier, whole = _turns(row.messages, asked)
    half = EARLIER_TURNS // 2
    if len(earlier) > EARLIER_TURNS:
        earlier = earlier[:half] + earlier[-half:]
    sketches.add(words, shingles, asked.attached, context)
    return _NUMBERS.pack(
        _hash64(_whole(row.messages, row.tools)),
        _hash64(row.call_id.encode("utf-8", "surrogatepass")),
        _hash64(asked.system, asked.attached, *asked.last_first),
        _hash64(asked.attached, asked.last_said) if last_count >= WORDS_MIN else 0,
        whole,
        *earlier,
        *[0] * (EARLIER_TURNS - len(earlier)),
        count,
        _numbers_of(words) if count < CHAR_WORDS_END else 0,
    )


def _turns(messages: Sequence[Message], asked: _Asked) -> list[int]:
    """Hash what had been said at each turn of the user, the last one, which is all, included.

    0 where that is too little to be told from what others say.
    """
    hashed = hashlib.blake2b(asked.system, digest_size=8)
    turns: list[int] = []
    chars = 0
    said = iter(asked.said)
    for message in messages:
        if message.role in ("user", "tool"):
            text = next(said)
            chars += len(text)
            hashed.update(text + _MESSAGE)
            if isinstance(message.content, tuple):
                for part in message.content:
                    if part.kind != "text":
                        hashed.update(seen(part).encode("utf-8", "surrogatepass"))
            if message.role == "user":
                told = int.from_bytes(hashed.digest(), "little")
                turns.append(told if turns or chars >= ASKED_CHARS_MIN else 0)
    return turns or [0]


def _whole(messages: Sequence[Message], tools: Sequence[Tool]) -> bytes:
    """Write a row without ids and names, which are new in every call."""
    said: list[str] = []
    for message in messages:
        said += (_MESSAGE_TEXT, message.role, message.reasoning, message.refusal)
        for call in message.tool_calls:
            said += (call.name, call.arguments)
        if isinstance(message.content, tuple):
            said += [part.text if part.kind == "text" else seen(part) for part in message.content]
        else:
            said.append(message.content or "")
    data = _FIELD.join(said).encode("utf-8", "surrogatepass")
    return data + msgspec.json.encode(tools) if tools else data


def _numbers_of(words: Words) -> int:
    found = [word for word in _WORD.findall(words.text) if _DIGIT.search(word)]
    if not found:
        return 0
    hashed = _hash64(" ".join(found).encode("utf-8", "surrogatepass"))
    return hashed & 0xFFFFFF00 | min(len(found), 0xFF)


class _Sketches:
    """Sketches of several rows, made at once."""

    def __init__(self) -> None:
        self._shingles: list[Hashes] = []
        self._places: list[tuple[int, int]] = []  # of each row, its sketches; -1 for none

    def add(
        self, words: Words, shingles: Hashes, attached: bytes, context: Sequence[bytes]
    ) -> None:
        """Have the sketches of a row made: of its words, of its characters, or both."""
        by_word = by_char = -1
        if len(words.hashes) >= WORDS_MIN:
            by_word = self._add(_salted(shingles, attached))
        if len(words.hashes) < CHAR_WORDS_END:
            by_char = self._add(_salted(char_shingles(words.text), *context))
        self._places.append((by_word, by_char))

    def made(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield both sketches of each row, in order."""
        sketches = [*self._made(), _NO_SKETCH]
        for by_word, by_char in self._places:
            yield sketches[by_word], sketches[by_char]

    def _add(self, shingles: Hashes) -> int:
        if not shingles.size:
            return -1
        self._shingles.append(shingles)
        return len(self._shingles) - 1

    def _made(self) -> Iterator[bytes]:
        if not self._shingles:
            return
        ends = np.cumsum([0, *map(len, self._shingles)], dtype=np.uint64)
        flat = np.concatenate(self._shingles)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, SKETCH_SIZE, _SEED)
        for values in matrix.to_rows():
            yield array("I", values).tobytes()[::4]  # the lowest byte, on a little-endian


def _salted(shingles: Hashes, *context: bytes) -> Hashes:
    """Make what is said in different contexts different."""
    if not any(map(any, context)):
        return shingles
    return shingles ^ np.uint64(_hash64(*context))


def _hash64(*pieces: bytes) -> int:
    hashed = hashlib.blake2b(digest_size=8)
    for piece in pieces:
        hashed.update(piece)
    return int.from_bytes(hashed.digest(), "little")
