"""Every character has a class, the same on both ways of finding it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.characters import SPACE, classes_of, scripts_of


@pytest.mark.parametrize(
    ("text", "classes", "scripts"),
    [
        ("Ab 1.2, no?", b"Ll 0!0, ll!", ["latin"]),
        ("Привет!", b"Cccccc!", ["cyrillic"]),
        ("Ωμέγα", b"Ggggg", ["greek"]),
        ("שלום", b"hhhh", ["hebrew"]),
        ("مرحبا؟", b"aaaaa!", ["arabic"]),
        ("हिन्दी", b"d-d-d-", ["devanagari"]),
        ("สวัสดี", b"tt-tt-", ["thai"]),
        ("你好。", b"nn|", ["han"]),
        ("ひらカナ", b"kkkk", ["kana"]),
        ("안녕", b"oo", ["hangul"]),
        ("ქართ", b"xxxx", ["other"]),
        ("٣ 😀", b"0 -", []),
        ("", b"", []),
    ],
)
def test_classes_and_scripts_by_hand(text: str, classes: bytes, scripts: list[str]) -> None:
    assert classes_of(text) == classes
    assert scripts_of(classes) == scripts


@given(st.text() | st.text("aB1 .\t,\x1f€é好", min_size=1))
def test_there_is_one_class_for_each_character(text: str) -> None:
    classes = classes_of(text)
    assert len(classes) == len(text)
    assert [char == SPACE[0] for char in classes] == [char.isspace() for char in text]


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_has_the_same_classes_beside_other_text(text: str) -> None:
    assert classes_of(text + "é")[:-1] == classes_of(text)


def test_a_foreign_name_is_not_the_script_of_a_text() -> None:
    text = "The word " * 40 + "да"
    assert scripts_of(classes_of(text)) == ["latin"]
    assert scripts_of(classes_of("The word да")) == ["cyrillic", "latin"]
