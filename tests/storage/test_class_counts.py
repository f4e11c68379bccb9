"""Sums of many texts at once are those of each text by itself, counted in plain Python."""

from hypothesis import given
from hypothesis import strategies as st

from storage.characters import CAPITALS, classes_of
from storage.class_counts import TEXTS_AT_ONCE, ClassCounts, count_classes


def by_hand(classes: bytes) -> ClassCounts:
    return ClassCounts(
        spaces=classes.count(b" "),
        words=len(classes.split(b" ")) - classes.split(b" ").count(b""),
        digits=classes.count(b"0"),
        punctuation=classes.count(b","),
        capitals=sum(symbol in CAPITALS for symbol in classes),
        full_stops=classes.count(b"|"),
        enders=classes.count(b"!"),
        ended=(classes + b" ").count(b"! "),
    )


@given(st.lists(st.text("aA Я,7.!。 \n-"), max_size=5))
def test_texts_are_counted_each_by_itself(texts: list[str]) -> None:
    classes = list(map(classes_of, texts))
    assert count_classes(classes) == list(map(by_hand, classes))


def test_more_texts_than_are_counted_at_once_keep_their_order() -> None:
    classes = [b"l " * number for number in range(TEXTS_AT_ONCE + 2)]
    assert [counts.words for counts in count_classes(classes)] == list(range(TEXTS_AT_ONCE + 2))


def test_a_long_word_is_counted_in_full() -> None:
    assert count_classes([b"0" * 70_000])[0].digits == 70_000
