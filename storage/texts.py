"""What is counted in one text: characters, words, sentences, lines, and shares of characters.

A text is read in its first HEAD_CHARS and its last TAIL_CHARS characters, so it costs the same
whatever its size, and counts stop growing there; `chars` does not. Words are what white space
separates: one for a sentence of Chinese. A sentence ends in . ! ? … before white space or the
end, or in a full stop of Chinese and Japanese; a text without any is one sentence. Of the words,
those that begin within the first UNIQUE_CHARS characters are told apart: the share of a whole text
would say how long it is. About 6 microseconds a KB of ASCII, 10 of other text.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from storage.characters import (
    CAPITALS,
    DIGIT,
    ENDER,
    FULL_STOP,
    PUNCTUATION,
    SPACE,
    scripts_of,
)

HEAD_CHARS: Final = 4_000  # the task stands at the beginning of a long prompt …
TAIL_CHARS: Final = 2_000  # … or at its end, after the document
UNIQUE_CHARS: Final = 300

_NOT_SPACES: Final = bytes(32 if each == 32 else 120 for each in range(256))
_ENDED: Final = ENDER + SPACE
# No mark begins with white space, so none of it is given back; and few lines begin like a mark.
_LINE_MARK: Final = re.compile(
    r"\n[ \t]*+(?=[-*+•#|0-9])([-*+•](?= )|#(?=#{0,5} )|\||[0-9]{1,3}[.)](?= ))"
)
_MARK_NAMES: Final = {"#": "heading", "|": "table"}


class TextMeasures(msgspec.Struct, frozen=True):
    """What is counted in one text. Permilles are whole numbers from 0 to 1,000."""

    chars: int
    words: int
    sentences: int
    lines: int
    word_length: int  # hundredths of a character
    digits_permille: int
    punctuation_permille: int
    uppercase_permille: int
    non_ascii_permille: int
    unique_words_permille: int
    scripts: Sequence[str]
    marks: Sequence[str]


def read_part(text: str) -> str:
    """Take the part of a text that is read; the cut is a line's end, so no word spans it."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def measure(text: str, read: str, classes: bytes) -> TextMeasures:
    """Count what is in a text, of which `read` is read and `classes` are the characters."""
    if not read:
        return _EMPTY
    size = len(read)
    count = classes.count
    spaces = classes.translate(_NOT_SPACES)
    words = spaces.count(b" x") + (spaces[:1] == b"x")
    is_ascii = read.isascii()
    ascii_count = size if is_ascii else len(read.encode("ascii", "ignore"))
    full_stops = 0 if is_ascii else count(FULL_STOP)
    enders = count(ENDER)
    capitals = count(b"L") if is_ascii else sum(map(count, CAPITALS))
    sentences = full_stops + (count(_ENDED) + classes.endswith(ENDER) if enders else 0)
    first = read[:UNIQUE_CHARS].lower().split()
    return TextMeasures(
        chars=len(text),
        words=words,
        sentences=max(sentences, 1) if words else 0,
        lines=read.count("\n") + 1,
        word_length=min((size - count(SPACE)) * 100 // words, WORD_LENGTH_MAX) if words else 0,
        digits_permille=count(DIGIT) * 1000 // size,
        punctuation_permille=(count(PUNCTUATION) + enders + full_stops) * 1000 // size,
        uppercase_permille=capitals * 1000 // size,
        non_ascii_permille=(size - ascii_count) * 1000 // size,
        unique_words_permille=len(set(first)) * 1000 // len(first) if first else 0,
        scripts=_latin(classes) if is_ascii else scripts_of(classes),
        marks=_marks(read),
    )


WORD_LENGTH_MAX: Final = 32_000  # what a column of 16 bits holds; a text without spaces has more
_EMPTY: Final = TextMeasures(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), ())


def _latin(classes: bytes) -> Sequence[str]:
    """Do `scripts_of` for ASCII, in a fifth of the time."""
    return ("latin",) if b"l" in classes or b"L" in classes else ()


def _marks(read: str) -> Sequence[str]:
    found = set()
    if "```" in read:
        found.add("code")
    if "://" in read and ("http://" in read or "https://" in read):
        found.add("link")
    for mark in set(_LINE_MARK.findall("\n" + read)):
        found.add(_MARK_NAMES.get(mark, "list"))
    return sorted(found)
