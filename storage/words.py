"""A text's words, and the pairs of words that follow one another, as 32-bit hashes.

A word is a run of letters and digits of any script, its vowel signs included, folded in case; of
Chinese and Japanese, which write no spaces, every character is one. A pair has a hash made of those
of its two words. The hashes are CRC-32, mixed for pairs: the same on every machine and for ever.
Two words share one by chance once in four billion; a vocabulary of a million words and pairs has
about a hundred that do, and who names a term looks at the text (storage.terms.terms_of).

A text is read as far as storage.texts says. About 20 microseconds a KB; of texts that are
not ASCII the hashes of the CACHED_WORDS words seen last are remembered, some 6 MB.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

from storage.texts import read_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHED_WORDS: Final = 50_000
CACHED_CHARS_MAX: Final = 32  # of a word that is remembered

_CJK: Final = r"\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9d"
_SIGNS: Final = (  # vowels and accents that belong to the letter before
    r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    r"\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e"
)
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
# Letters and digits as they are, all else a space: split by those, the same words.
_ASCII_WORDS: Final = bytes(code if chr(code).isalnum() else 32 for code in range(128)).ljust(256)
_WORD: Final = re.compile(rf"[{_CJK}]|(?:[^\W_{_CJK}]|[{_SIGNS}])+")

_MASK: Final = 0xFFFFFFFF
_TIMES: Final = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)  # golden ratio; the finalizer of MurmurHash3


def words_of(text: str) -> Sequence[str]:
    """List the words of a text in order, as far as it is read."""
    folded = read_part(text).casefold()
    return (_ASCII_WORD if folded.isascii() else _WORD).findall(folded)


def terms_in(text: str) -> bytes:
    """Hash the words and pairs of a text: 32-bit numbers, low byte first, sorted, each once."""
    import numpy as np  # noqa: PLC0415 — 0.1 seconds for who samples no texts

    folded = read_part(text).casefold()
    hashes: Iterable[int]
    if folded.isascii():  # as words_of, in half of the time: no word becomes a text
        ascii_words = folded.encode().translate(_ASCII_WORDS).split()
        hashes, count = map(crc32, ascii_words), len(ascii_words)
    else:
        words = _WORD.findall(folded)
        hashes, count = map(_hashes.__getitem__, words), len(words)
    if not count:
        return b""
    terms = np.empty(2 * count - 1, dtype=np.uint32)
    terms[:count] = singles = np.fromiter(hashes, dtype=np.uint32, count=count)
    terms[count:] = _mixed(singles[:-1], singles[1:])
    return as_bytes(terms)


def named_terms(text: str) -> dict[int, str]:
    """Map the hashes of a text to its words and pairs, as a person reads them."""
    words = words_of(text)
    named: dict[int, str] = {}
    for first, second in zip(words, words[1:], strict=False):
        between = "" if _is_cjk(first) and _is_cjk(second) else " "
        named[pair_hash(word_hash(first), word_hash(second))] = f"{first}{between}{second}"
    return named | {word_hash(word): word for word in words}


def word_hash(word: str) -> int:
    """Hash a word, or any other text that is one term."""
    return crc32(word.encode("utf-8", "surrogatepass"))


def pair_hash(first: int, second: int) -> int:
    """Hash a pair of words, of which the hashes are given."""
    mixed = (first * _TIMES[0] & _MASK) ^ second
    mixed = (mixed ^ mixed >> 16) * _TIMES[1] & _MASK
    mixed = (mixed ^ mixed >> 13) * _TIMES[2] & _MASK
    return mixed ^ mixed >> 16


def as_bytes(hashes: "Iterable[int] | NDArray[np.uint32]") -> bytes:
    """Write hashes as they are stored: low byte first, sorted, each once."""
    import numpy as np  # noqa: PLC0415

    given = hashes if isinstance(hashes, np.ndarray) else np.fromiter(hashes, dtype=np.uint32)
    ordered = np.sort(given)
    fresh = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return ordered[fresh].astype("<u4", copy=False).tobytes()


def _mixed(first: "NDArray[np.uint32]", second: "NDArray[np.uint32]") -> "NDArray[np.uint32]":
    """Do `pair_hash` for many."""
    import numpy as np  # noqa: PLC0415

    times = [np.uint32(factor) for factor in _TIMES]
    mixed = first * times[0]
    mixed ^= second
    mixed ^= mixed >> 16
    mixed *= times[1]
    mixed ^= mixed >> 13
    mixed *= times[2]
    mixed ^= mixed >> 16
    return mixed


def _is_cjk(word: str) -> bool:
    return len(word) == 1 and not word.isascii() and _WORD.match(word) is not None


class _Hashes(dict[str, int]):
    """The hashes of words, remembered within a bound."""

    def __missing__(self, word: str) -> int:
        found = word_hash(word)
        if len(word) <= CACHED_CHARS_MAX:
            if len(self) >= CACHED_WORDS:
                self.clear()  # refilled within a few calls: cheaper than knowing which are old
            self[word] = found
        return found


_hashes: Final = _Hashes()
