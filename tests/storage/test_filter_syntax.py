"""What is not a condition is refused with the place, before or by the parser."""

import pytest

from storage.filter_syntax import NESTING_MAX, TEXT_CHARS_MAX, FilterError, extent, parse


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "it is empty"),
        ("  \n ", 1, "it is empty"),
        ("a and", 3, "something is missing after this"),
        ("(a = 1", 6, "expecting ) after this"),
        ("a = 1)", 6, "this does not belong in a condition"),
        ("a = 1 b", 7, "this does not belong in a condition"),
        ("select 1", 1, "this does not belong in a condition"),
        ("drop table call", 1, "this does not belong in a condition"),
        ("a = 1; b = 2", 6, "a filter is one condition"),
        ("a = 1 -- b", 5, "after this comes a comment"),
        ("a = /* b */ 1", 3, "after this comes a comment"),
        ("a = 'abc", 5, "is not closed"),
        ("a -> 1 = 1", 3, "there is nothing to look into here"),
        ("lower(a, b) = 'x'", 11, "too many arguments"),
        ("a = 'x\0'", 7, "no database can store this character"),
        ("a = '\ud800'", 6, "no database can store this character"),
        ("(" * (NESTING_MAX + 1) + "a", NESTING_MAX + 1, "parentheses within each other"),
        ("not " * 1_000 + "a", 1, "nested too deeply"),
        ("x" * (TEXT_CHARS_MAX + 1), TEXT_CHARS_MAX + 1, "at most 10000 are read"),
    ],
)
def test_what_cannot_be_parsed_is_pointed_at(text: str, column: int, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert problem in caught.value.problem
    assert caught.value.start == column - 1
    assert f"column {column}:" in str(caught.value)


def test_the_carets_stand_below_the_place() -> None:
    problem, shown, carets = str(FilterError("no", "a = 1 and bc = 2", 10, 12)).splitlines()
    assert problem == "filter, column 11: no"
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "bc"


def test_of_a_long_filter_the_surroundings_are_shown() -> None:
    text = "a = 1 and " * 100
    _, shown, carets = str(FilterError("no", text, 500, 501)).splitlines()
    assert len(shown) < 200
    assert shown[carets.index("^")] == text[500]


def test_line_breaks_do_not_move_the_carets() -> None:
    error = FilterError("no", "a = 1\nand\tb", 10, 11)
    _, shown, carets = str(error).splitlines()
    assert shown[carets.index("^")] == "b"


def test_a_node_reaches_from_its_first_part_to_its_last() -> None:
    text = "  id = 'x' "
    assert extent(parse(text), text) == (2, 10)
