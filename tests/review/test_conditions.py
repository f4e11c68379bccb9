"""Tests of review.conditions."""

import pytest

from review.conditions import Conditions, equals, tag_name
from storage.filters import compile_filter


@pytest.mark.parametrize(
    ("where", "parts"),
    [
        ("", ()),
        ("side = 'test'", ("side = 'test'",)),
        ("side = 'test' AND streamed", ("side = 'test'", "streamed")),
        ("user_id = 'a and b' and streamed", ("user_id = 'a and b'", "streamed")),
        ("side = 'test' or streamed", ("side = 'test' or streamed",)),
        ("(streamed and redacted) and truncated", ("(streamed and redacted)", "truncated")),
        (
            "duration_ms between 1 and 2 and not status_code between 3 and 4 and streamed",
            ("duration_ms between 1 and 2", "not status_code between 3 and 4", "streamed"),
        ),
        (
            "case when streamed and redacted then true else false end and truncated",
            ("case when streamed and redacted then true else false end", "truncated"),
        ),
        ("no ' filter", ("no ' filter",)),
    ],
)
def test_a_filter_falls_into_the_conditions_it_joins(where: str, parts: tuple[str, ...]) -> None:
    assert Conditions(where).parts == parts


@pytest.mark.parametrize(
    ("where", "longer"),
    [
        ("", "side = 'val'"),
        ("streamed", "streamed and side = 'val'"),
        ("streamed and side = 'val'", "streamed and side = 'val'"),
        ("streamed or redacted", "(streamed or redacted) and side = 'val'"),
        ("(streamed or redacted)", "(streamed or redacted) and side = 'val'"),
    ],
)
def test_a_condition_that_is_added_holds_beside_the_others(where: str, longer: str) -> None:
    assert Conditions(where).added("side = 'val'") == longer
    compile_filter(longer)


def test_a_condition_can_take_the_place_of_another() -> None:
    wanted = Conditions("side = 'test' and streamed")
    assert wanted.added("side = 'val'", replacing="side = ") == "streamed and side = 'val'"


def test_a_condition_can_be_taken_out() -> None:
    assert Conditions("side = 'test' and streamed").without("side = 'test'") == "streamed"
    assert Conditions("streamed").without("streamed") == ""


def test_names_with_quotes_are_written_so_that_they_are_read_back() -> None:
    condition = equals(tag_name("it's"), "o'clock")
    assert condition == "tags['it''s'] = 'o''clock'"
    compile_filter(condition)
