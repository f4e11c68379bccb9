"""What took long to make is made once, as long as it is one of the last."""

import pytest

from review.remembered import Remembered


def test_a_thing_is_made_once_until_others_have_taken_its_place() -> None:
    remembered, made = Remembered[str, str](2), list[str]()

    def get(key: str) -> str:
        def make() -> str:
            made.append(key)
            return key.upper()

        return remembered.get(key, make)

    assert [get(key) for key in "abacab"] == ["A", "B", "A", "C", "A", "B"]
    assert made == ["a", "b", "c", "b"]  # b was asked for longest ago when c came


def test_what_could_not_be_made_is_tried_again() -> None:
    remembered = Remembered[str, int](2)
    with pytest.raises(ZeroDivisionError):
        remembered.get("a", lambda: 1 // 0)
    assert remembered.get("a", lambda: 1) == 1
