"""Tests of review.passages."""

import pytest

from review.passages import PAGE_CHARS_MAX, TEXT_CHARS_MAX, Room, first_line, visible
from tests.review.calls import HOSTILE, Page


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_said_is_text_and_never_an_element(text: str) -> None:
    page = Page(str(visible(text)))
    assert [tag for tag, _ in page.elements if tag != "span"] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1m", "\\x1b[1m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ufeffmark", "\\ufeffmark"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("שלום, עולם", "שלום, עולם"),
        ("👩\u200d💻 naïve", "👩\u200d💻 naïve"),
    ],
)
def test_what_would_not_be_seen_is_made_visible_and_all_else_stays(text: str, shown: str) -> None:
    assert Page(str(visible(text))).text == shown


def test_json_is_laid_out_with_its_numbers_and_repeated_keys_as_they_were_written() -> None:
    taken = Room().take('{"a":1e400,"a":0.10,"big":123456789012345678901234567890}')
    assert taken.text.split() == [
        "{", '"a":', "1e400,", '"a":', "0.10,", '"big":', "123456789012345678901234567890", "}"
    ]  # fmt: skip
    assert taken.is_json


def test_escapes_of_json_are_read_out_where_the_character_can_be_seen() -> None:
    taken = Room().take(r'["\u6771\u4eac", "\ud83d\ude00", "\u001b", "\\u0041", "\"\u00e9"]')
    words = [line.strip(" ,") for line in taken.text.splitlines()[1:-1]]
    assert words == ['"東京"', '"😀"', r'"\u001b"', r'"\\u0041"', r'"\"é"']


@pytest.mark.parametrize(
    "text",
    [
        r'["\ud800"]',
        "{not json}",
        "[1, 2",
        "plain",
        "12",
        "",
        "[" * 100_000,
        '{"a":1}{"b":2}',
        "[01x]",
    ],
)
def test_what_is_no_json_object_or_array_stays_as_it_is(text: str) -> None:
    taken = Room().take(text)
    assert (taken.text, taken.is_json) == (text[:TEXT_CHARS_MAX], False)


def test_a_long_text_is_cut_and_what_is_left_out_is_counted() -> None:
    taken = Room().take("x" * (TEXT_CHARS_MAX + 7))
    assert (len(taken.text), taken.left_out) == (TEXT_CHARS_MAX, 7)


def test_all_texts_of_a_page_have_one_limit_together() -> None:
    room = Room()
    taken = [room.take("x" * TEXT_CHARS_MAX) for _ in range(PAGE_CHARS_MAX // TEXT_CHARS_MAX + 2)]
    assert sum(len(each.text) for each in taken) == PAGE_CHARS_MAX
    assert taken[-1].left_out == TEXT_CHARS_MAX


def test_a_first_line_is_one_line_of_bounded_length() -> None:
    assert first_line("one\n\n  two ") == "one two"
    assert len(first_line("x" * 1_000_000)) == 160
