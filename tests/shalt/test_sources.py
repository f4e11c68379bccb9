"""Trees of values, laid over one another."""

import pytest

from shalt.sources import merge, nearest, option, places, variable, without_password


def test_merge_goes_table_by_table_and_changes_neither() -> None:
    below: dict[str, object] = {"a": {"b": 1, "c": 2}, "d": 3}
    above: dict[str, object] = {"a": {"c": 4}, "d": {"e": 5}}
    assert merge(below, above) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}
    assert below == {"a": {"b": 1, "c": 2}, "d": 3}


def test_places_name_the_leaves() -> None:
    assert list(places({"a": {"b": {"c": 1}}, "d": [1], "e": {}})) == ["a.b.c", "d", "e"]


def test_places_have_variables_and_options() -> None:
    assert variable("upstreams.openai.key") == "SHALT_UPSTREAMS__OPENAI__KEY"
    assert option("data_dir") == "--data-dir"


def test_nearest_names_what_may_have_been_meant() -> None:
    assert nearest("prot", ["port", "host"]) == "; did you mean port?"
    assert nearest("zzz", ["port", "host"]) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("sqlite:////var/shalt.sqlite", "sqlite:////var/shalt.sqlite"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("postgresql://me:p@ss@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql:///x?user=me&Password=p", "postgresql:///x?user=me&Password=***"),
    ],
)
def test_the_password_of_a_database_is_masked(url: str, shown: str) -> None:
    assert without_password(url) == shown
