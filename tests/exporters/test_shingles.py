"""Words and characters to sets of hashes."""

import numpy as np
import pytest

from exporters.shingles import (
    SHINGLE_CHARS,
    TEXT_CHARS_MAX,
    Texts,
    char_shingles,
    folded,
    without_space,
    word_shingles,
    words_of,
)

LONG = "pneumonoultramicroscopicsilicovolcanoconiosis"


def words(text: str) -> list[str]:
    return words_of(folded(text)).text.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ... !", []),
        ("Yes", ["yes"]),
        ("Don't pay $3.50, please!", ["don", "t", "pay", "3", "50", "please"]),
        ("«Où est-il?» “Là…”", ["où", "est", "il", "là"]),
        ("STRASSE Straße ﬁn \uff21\uff22", ["strasse", "strasse", "fin", "ab"]),
        ("我要订票。OK", ["我", "要", "订", "票", "ok"]),
        ("カフェ、東京", ["カ", "フ", "ェ", "東", "京"]),
        ("สวัสดี", list("สวัสดี")),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("a\ud800b", ["a\ud800b"]),
    ],
)
def test_words_are_found_in_every_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_word_has_one_hash_wherever_it_stands() -> None:
    for word in ("a", "eight888", "ninechars", "sixteencharacter", "seventeenletters1", LONG):
        alone = words_of(word).hashes[0]
        assert words_of(f"é {word}, {word}").hashes[1:].tolist() == [alone, alone]


def test_words_that_differ_anywhere_have_different_hashes() -> None:
    changed = {LONG[:place] + "x" + LONG[place + 1 :] for place in (0, 7, 8, 15, 40, 44)}
    texts = [LONG, *changed, LONG[:-1], "ab", "a", "b", "ba"]
    hashes = [int(words_of(text).hashes[0]) for text in texts]
    assert len(set(hashes)) == len(texts)


def test_the_words_of_several_texts_are_those_of_each() -> None:
    alone = ["one two three four five six", "", "été… «où»", "我要订票。OK", "a b c d e", LONG]
    texts = Texts(alone)
    for number, text in enumerate(alone):
        words, among = words_of(text), texts.words(number)
        assert (among.text, among.hashes.tolist()) == (words.text, words.hashes.tolist())
        assert texts.shingles_of(number).tolist() == word_shingles(words.hashes).tolist()
    assert texts.count_within(0, "one two") == 2
    assert texts.count_within(2, "été…") == 1
    assert texts.count_within(3, "我要订") == 3


def test_hashes_are_the_same_on_every_machine() -> None:
    hashes = words_of("one two three four five").hashes
    assert [hex(number) for number in word_shingles(hashes).tolist()] == ["0xce3123e97914ac79"]
    assert [hex(number) for number in char_shingles("fünfe").tolist()] == ["0x20a0c3e302f2b333"]


def test_every_five_words_in_a_row_are_a_shingle() -> None:
    hashes = words_of("a b c d e f a b c d e").hashes
    shingles = word_shingles(hashes)
    assert len(shingles) == 7
    assert shingles[0] == shingles[6]
    assert len(set(shingles.tolist())) == 6
    assert word_shingles(hashes[:4]).size == 0


def test_the_order_of_words_counts() -> None:
    first, second = (word_shingles(words_of(text).hashes)[0] for text in ("a b c d e", "b a c d e"))
    assert first != second


def test_characters_are_characters_in_every_script() -> None:
    assert char_shingles("1234").size == 0
    assert char_shingles("x" * SHINGLE_CHARS).size == 1
    assert char_shingles("日本語日本語").size == 2
    ascii_only, mixed = char_shingles("hello"), char_shingles("hello é")
    assert mixed[0] == ascii_only[0]


def test_an_exact_comparison_does_not_see_case_and_white_space() -> None:
    assert without_space(folded("Is  IT\n2\u00a0+ 2?")) == b"isit2+2?"
    assert without_space("2+2") != without_space("2-2")


def test_only_so_much_of_a_text_counts() -> None:
    text = "a " * TEXT_CHARS_MAX
    assert words_of(text).hashes.size == TEXT_CHARS_MAX // 2


def test_some_of_the_words_can_be_chosen() -> None:
    found = words_of("one two three")
    assert found.only(np.array([True, False, True])).text == "one three"
