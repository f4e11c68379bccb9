"""Words, pairs, and their hashes, which never change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.words import (
    CACHED_WORDS,
    as_bytes,
    named_terms,
    pair_hash,
    terms_in,
    word_hash,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 2024-05-03, O'Neil!", ["it", "s", "2024", "05", "03", "o", "neil"]),
        ("snake_case ÄPFEL Straße", ["snake", "case", "äpfel", "strasse"]),
        ("您好 2024年", ["您", "好", "2024", "年"]),
        ("ひらがなGPT", ["ひ", "ら", "が", "な", "gpt"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा"]),
        ("สวัสดี", ["สวัสดี"]),
        ("", []),
    ],
)
def test_words_by_hand(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_hashes_stay_what_they_are() -> None:
    """They are stored and compared: on another machine and in a later version they are these."""
    assert word_hash("2024") == 0x93C9AA62
    assert pair_hash(word_hash("date"), word_hash("2024")) == 0x9FE7929B
    assert terms_in("date 2024") == as_bytes([0x93C9AA62, 0x9FE7929B, word_hash("date")])


@given(st.text() | st.text("ab 1é好き", max_size=80))
def test_every_term_has_a_name(text: str) -> None:
    assert terms_in(text) == as_bytes(named_terms(text))


def test_names_are_as_people_write_them() -> None:
    named = set(named_terms("Book a 東京").values())
    assert named == {"a", "a 東", "book", "book a", "東", "東京", "京"}


def test_hashes_are_sorted_little_endian_and_once_each() -> None:
    assert as_bytes([300, 1, 300]) == b"\x01\x00\x00\x00\x2c\x01\x00\x00"
    stored = np.frombuffer(terms_in("b a b a c"), dtype="<u4")
    assert list(stored) == sorted(set(stored.tolist()))
    assert len(stored) == 3 + 3
    assert as_bytes([]) == b""


def test_the_same_words_have_the_same_hashes_when_the_cache_is_full() -> None:
    before = terms_in("these words stay où ils sont")
    for start in range(0, CACHED_WORDS * 2, 1_000):
        terms_in("é " + " ".join(map(str, range(start, start + 1_000))))
    assert terms_in("these words stay où ils sont") == before
