"""What counts as a word, what of a call is read, what a search may say."""

import pytest

from storage.search_words import (
    HEAD_CHARS,
    SEARCH_CHARS_MAX,
    SEARCH_WORDS_MAX,
    TAIL_CHARS,
    WORD_CHARS_MAX,
    Search,
    SearchError,
    entry_of,
    parse_search,
    words_of,
)
from storage.trace import Choice, Message, Part, ToolCall
from tests.storage.calls import capture_of, span_of, understood_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Order 66, please!", ["order", "66", "please"]),
        ("snake_case and e-mail@example.com", "snake case and e mail example com".split()),
        ("Crème brûlée, ΑΘΗΝΆ, STRASSE Straße", "creme brulee αθηνα strasse strasse".split()),
        ("ＦＵＬＬ ｗｉｄｔｈ ™", ["full", "width", "tm"]),
        ("東京都 Tokyo", ["東", "京", "都", "tokyo"]),
        ("がか", ["が", "か"]),
        ("서울에서", ["서", "울", "에", "서"]),
        ("GPT用プロンプト", ["gpt", "用", "プ", "ロ", "ン", "プ", "ト"]),
        ("один два", ["один", "два"]),
        ("x" * 100, ["x" * WORD_CHARS_MAX]),
        ("é" * 100, ["e" * WORD_CHARS_MAX]),
        ("\ud800 \0 — … 😀", []),
        ("a\0b\ud800c", ["a", "b", "c"]),
    ],
)
def test_a_text_is_divided_into_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_words_are_the_same_beside_words_of_other_scripts() -> None:
    text = "The QUICK brown-fox 123 jumps_over"
    assert words_of(text + " 東") == [*words_of(text), "東"]


def test_of_a_call_the_last_question_and_the_answers_are_read() -> None:
    span = span_of(
        capture_of(1),
        understood_of(
            "",
            messages=(
                Message("system", "policy"),
                Message("user", "earlier"),
                Message("assistant", "history"),
                Message("user", (Part("text", "latest "), Part("image"), Part("text", "question"))),
                Message("tool", "result"),
            ),
            choices=(
                Choice(Message("assistant", "first")),
                Choice(
                    Message(
                        "assistant",
                        reasoning="thought",
                        refusal="sorry",
                        tool_calls=(ToolCall("find_order", '{"number": "A17"}'),),
                    )
                ),
            ),
        ),
    )
    entry = entry_of(span)
    assert entry.asked == ["latest", "question"]
    assert entry.answered == ["first", "sorry", "find", "order", "number", "a17"]


def test_without_a_user_the_last_message_is_what_was_asked() -> None:
    span = span_of(capture_of(1), understood_of("", messages=(Message("system", "do it"),)))
    assert entry_of(span).asked == ["do", "it"]


def test_a_call_that_was_not_understood_has_no_words() -> None:
    span = span_of(capture_of(1), understood_of("", messages=(), choices=()))
    assert entry_of(span)[2:] == ([], [])


def test_of_a_long_text_its_two_ends_are_read() -> None:
    text = "first " + "x " * HEAD_CHARS + "middle " + "y " * TAIL_CHARS + "last"
    words = entry_of(span_of(capture_of(1), understood_of(text))).asked
    assert (words[0], words[-1], "middle" in words) == ("first", "last", False)


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("refund", Search((("refund",),), ())),
        ("refund order refund", Search((("refund",), ("order",)), ())),
        ('"order number" -cancelled', Search((("order", "number"),), (("cancelled",),))),
        ('a -"b c"', Search((("a",),), (("b", "c"),))),
        ("e-mail", Search((("e", "mail"),), ())),
        ("東京", Search((("東", "京"),), ())),
        ("order -- - !", Search((("order",),), ())),
        ('NEAR("x" OR y)* AND project:z', None),
        ("words' & !'x' <-> 'y", None),
    ],
)
def test_a_search_is_read(text: str, search: Search | None) -> None:
    found = parse_search(text)
    assert search is None or found == search
    assert all(word.isalnum() for phrase in found.wanted for word in phrase)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no word"),
        ("-only -these", "names no word"),
        ("… !", "names no word"),
        ('an "open quote', "is not closed"),
        ("x" * (SEARCH_CHARS_MAX + 1), "at most"),
        ("a " * (SEARCH_WORDS_MAX + 1) + "b c", None),
        (" ".join(f"w{n}" for n in range(SEARCH_WORDS_MAX + 1)), "more than"),
    ],
)
def test_a_search_for_nothing_or_too_much_is_an_error(text: str, problem: str | None) -> None:
    if problem is None:
        assert len(parse_search(text).wanted) == 3
    else:
        with pytest.raises(SearchError, match=problem):
            parse_search(text)
