"""Tests of storage.invisible."""

import pytest

from storage.invisible import made_visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J \r \x9b31m", "\\x1b[2J \\r \\x9b31m"),
        ("in\u00advisible\u200b\u2063\ufeff", "in\\xadvisible\\u200b\\u2063\\ufeff"),
        ("exe.\u202etxt\u2069", "exe.\\u202etxt\\u2069"),
        ("blank \u180e\u3164\uffa0", "blank \\u180e\\u3164\\uffa0"),
        ("tags \U000e0041", "tags \\U000e0041"),
        ("😀\U000e0151\U000e01ef", "😀\\U000e0151\\U000e01ef"),
        ("😀\ufe01\ufe02\ufe03", "😀\ufe01\\ufe02\\ufe03"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_what_is_not_seen_is_shown_by_its_escape(text: str, shown: str) -> None:
    assert made_visible(text) == shown


@pytest.mark.parametrize(
    "text", ["Grüße\n\tund 漢字", "❤️ ☀️", "👩\u200d💻", "می\u200cخواهم", "שלום\u200f!", "한국어"]
)
def test_what_languages_and_pictures_need_stays(text: str) -> None:
    assert made_visible(text) == text
