"""Text to sets of hashes that can be compared: five words in a row, or five characters.

Compared is what was said, not how it was set: NFKC, case folded, white space and punctuation only
separate words. A character of a script that is written without spaces (Chinese, Japanese kana,
Thai, Lao, Khmer, Burmese) is a word of its own. A word is hashed by its first 16 and last 8 bytes
in UTF-8 and its length; all hashes are the same on every machine and in every process.

Limits: of a text, the first `TEXT_CHARS_MAX` characters count. 4 KB of English take 25 µs, fewer
among other texts (`Texts`), of French or Chinese about five times as long. What is not here: word
stems, synonyms, other languages' word boundaries.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHINGLE_WORDS = 5
SHINGLE_CHARS = 5
TEXT_CHARS_MAX = 200_000  # about 40 pages; what is alike so far is alike

Hashes = NDArray[np.uint64]
Positions = NDArray[np.intp]
Flags = NDArray[np.bool_]

# Bytes of words: letters, digits, and every byte of a character beyond ASCII.
_IN_WORD = bytes(byte >= 128 or chr(byte).isalnum() for byte in range(256))
_WHITE_SPACE = b" \t\n\r\x0b\x0c"
# Beyond ASCII, by the blocks of Unicode 16: Latin-1's, general and supplemental punctuation, CJK's
# (full width forms are gone by NFKC); and scripts whose characters are words of their own.
_PUNCTUATION = re.compile(
    "[\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u2e00-\u2e7f"
    "\u3000-\u3004\u3008-\u3020\u3030\ufe10-\ufe1f]+"
)
_ALONE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)

# Odd constants of splitmix64 (Steele, Lea, Flood 2014) and its second step of mixing.
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_MIX_AGAIN = np.uint64(0x94D049BB133111EB)
_LENGTHS = np.arange(25)
# What of eight bytes belongs to a word, by the word's length: of its first eight, its second
# eight, and its last eight, which are only looked at in a word of more than 16.
_FIRST = np.array([(1 << 8 * min(int(n), 8)) - 1 for n in _LENGTHS], dtype=np.uint64)
_SECOND = np.array([(1 << 8 * min(max(int(n) - 8, 0), 8)) - 1 for n in _LENGTHS], dtype=np.uint64)


class Words(NamedTuple):
    """The words of a text: where each stands in `data`, in bytes, and its hash."""

    data: bytes
    starts: Positions
    ends: Positions
    hashes: Hashes

    @property
    def text(self) -> str:
        """The words with single spaces between them."""
        places = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        words = b" ".join(self.data[start:end] for start, end in places)
        return words.decode("utf-8", "surrogatepass")

    def only(self, chosen: Flags) -> "Words":
        """Return some of the words, in order."""
        return Words(self.data, self.starts[chosen], self.ends[chosen], self.hashes[chosen])


class Texts:
    """The words of several folded texts, looked for together: half of the cost is that of a call.

    `shingles`: of every five words in a row, those across the end of a text included.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        written = [_separated(text) for text in texts]
        # A separator before each, and behind all enough that eight bytes can be read from any
        # word's end.
        self._places = list(accumulate((len(each) + 1 for each in written), initial=1))
        words = _words_in(b"".join((b" ", b" ".join(written), b" ", bytes(16))))
        self._words = words
        self._bounds: list[int] = words.starts.searchsorted(self._places).tolist()
        self.shingles = word_shingles(words.hashes)

    def words(self, number: int) -> Words:
        """Return the words of one of the texts."""
        data, starts, ends, hashes = self._words
        part = slice(self._bounds[number], self._bounds[number + 1])
        return Words(data, starts[part], ends[part], hashes[part])

    def shingles_of(self, number: int) -> Hashes:
        """Return the hashes of every five words in a row of one of the texts."""
        start, end = self._bounds[number], self._bounds[number + 1]
        return self.shingles[start : max(end - SHINGLE_WORDS + 1, start)]

    def runs_of(self, number: int, runs: Flags, length: int) -> Flags:
        """Return what is known of every so many shingles in a row, as far as one text goes."""
        start, end = self._bounds[number], self._bounds[number + 1]
        return runs[start : max(end - SHINGLE_WORDS + 1 - length + 1, start)]

    def count_within(self, number: int, beginning: str) -> int:
        """Count the words of one of the texts within what it begins with, up to a white space."""
        starts = self._words.starts[self._bounds[number] : self._bounds[number + 1]]
        return int(starts.searchsorted(self._places[number] + len(_separated(beginning))))


def folded(text: str) -> str:
    """Return a text in the one form of what can be written in several: NFKC, case folded."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


def without_space(folded_text: str) -> bytes:
    """Return a folded text in UTF-8 without its white space: what an exact comparison looks at."""
    return folded_text.encode("utf-8", "surrogatepass").translate(None, _WHITE_SPACE)


def words_of(folded_text: str) -> Words:
    """Find and hash the words of a folded text."""
    return Texts((folded_text,)).words(0)


def word_shingles(words: Hashes) -> Hashes:
    """Hash every five words in a row, in order: `len(words) - 4` of them, none of fewer words."""
    count = max(len(words) - SHINGLE_WORDS + 1, 0)
    total = words[:count].copy()
    for place in range(1, SHINGLE_WORDS):
        total *= _ODD
        total += words[place : place + count]
    return total


def char_shingles(text: str) -> Hashes:
    """Hash every five characters in a row, in order; none of fewer characters."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return word_shingles(_mixed(codes.astype(np.uint64)))


def _separated(folded_text: str) -> bytes:
    """Write a text in UTF-8, with spaces for what separates words beyond ASCII."""
    text = folded_text[:TEXT_CHARS_MAX]
    if text.isascii():
        return text.encode()
    text = _PUNCTUATION.sub(" ", text)
    if _ALONE.search(text):
        text = text.translate(_SPACED)
    return text.encode("utf-8", "surrogatepass")


class _Spaced(dict[int, str]):
    """What stands for a character where those of `_ALONE` are words; fills itself."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = f" {char} " if _ALONE.match(char) else char
        return self[code]


_SPACED = _Spaced()


def _words_in(data: bytes) -> Words:
    """Find the words between separators: one must come first, and one and 16 bytes last."""
    in_word = np.frombuffer(data.translate(_IN_WORD), dtype=np.uint8)
    edges = (in_word[1:] != in_word[:-1]).nonzero()[0]
    edges += 1
    starts, ends = edges[::2], edges[1::2]
    return Words(data, starts, ends, _hashed(data, starts, ends))


def _hashed(data: bytes, starts: Positions, ends: Positions) -> Hashes:
    # Eight bytes from every position on. Copied, for reading them unaligned is slower.
    sliding = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    eights = np.array(sliding, dtype=np.uint64)
    lengths = ends - starts
    hashes = eights.take(starts) & _FIRST.take(lengths, mode="clip")
    hashes *= _ODD
    hashes ^= lengths.view(np.uint64)
    longer = (lengths > 8).nonzero()[0]
    if longer.size:
        second = eights.take(starts[longer] + 8)
        second &= _SECOND.take(lengths[longer], mode="clip")
        second *= _MIX
        hashes[longer] ^= second
        long = longer[lengths[longer] > 16]
        hashes[long] ^= eights.take(ends[long] - 8) * _MIX_AGAIN
    return _mixed(hashes)


def _mixed(hashes: Hashes) -> Hashes:
    """Spread what differs in any bit over all of them; changes the array in place."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(27)
    hashes *= _MIX_AGAIN
    hashes ^= hashes >> np.uint64(31)
    return hashes
