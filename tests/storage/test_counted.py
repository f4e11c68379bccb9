"""Counts in words."""

from storage.counted import counted, plural


def test_a_count_stands_with_the_word_that_goes_with_it() -> None:
    assert [counted(count, "call") for count in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]
    assert counted(1_204, "row") == "1,204 rows"
    assert [counted(count, "body") for count in (1, 2)] == ["1 body", "2 bodies"]
    assert counted(2, "key") == "2 keys"


def test_a_word_of_its_own_may_be_given_for_many() -> None:
    assert [plural(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]
