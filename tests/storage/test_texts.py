"""What is counted in a text, by hand, and that it is total and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.texts import HEAD_CHARS, TAIL_CHARS, TextMeasures, measure_all, read_part, read_text


def measured(text: str) -> TextMeasures:
    return measure_all([read_text(text)])[0]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", 3),
        ("Wait... what?!", 2),
        ("no end", 1),
        ("3.14 is a number.", 1),
        ("你好。再见！", 2),
        ("", 0),
        ("  ", 0),
    ],
)
def test_sentences_by_hand(text: str, sentences: int) -> None:
    assert measured(text).sentences == sentences


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("# Title\n\ntext", ["heading"]),
        ("- a\n- b", ["list"]),
        ("1. a\n2) b", ["list"]),
        ("| a | b |\n|---|---|", ["table"]),
        ("```python\n1\n``` see https://a.b", ["code", "link"]),
        ("#hashtag -5 *bold* a|b", []),
    ],
)
def test_marks_by_hand(text: str, marks: list[str]) -> None:
    assert measured(text).marks == marks


def test_shares_are_of_what_is_read() -> None:
    found = measured("Aé 12,")
    assert (found.uppercase_permille, found.non_ascii_permille) == (166, 166)
    assert (found.digits_permille, found.punctuation_permille) == (333, 166)


def test_one_word_without_end_has_a_length_that_fits_its_column() -> None:
    assert measured("x" * 100_000).word_length < 2**15


def test_a_long_text_is_read_in_part() -> None:
    text = "a" * HEAD_CHARS + "b" * 9_999 + "c" * TAIL_CHARS
    assert read_part(text) == "a" * HEAD_CHARS + "\n" + "c" * TAIL_CHARS
    assert measured(text).chars == len(text)


@given(st.text() | st.text("aB. !?\n\t|。é", max_size=300))
def test_every_measure_is_in_its_range(text: str) -> None:
    found = measured(text)
    for name in TextMeasures.__struct_fields__:
        value = getattr(found, name)
        if name.endswith("_permille"):
            assert 0 <= value <= 1_000
    assert found.words == len(text.split())
    assert found.sentences <= max(len(text), 1)
