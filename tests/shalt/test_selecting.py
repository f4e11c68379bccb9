"""Tests of shalt.selecting."""

from typing import Any

import pytest

from shalt.selecting import BadSelection, select
from storage.erasure import Kind, Selection

NOTHING: dict[str, Any] = dict.fromkeys(("user", "session", "tag", "since", "until", "where"))
NOTHING["ids"] = ()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"ids": ["b", "a", "b"]}, Selection(Kind.ID, ids=("b", "a"))),
        ({"user": "alice"}, Selection(Kind.USER, value="alice")),
        ({"tag": "Team=a=b"}, Selection(Kind.TAG, key="team", value="a=b")),
        ({"until": "1970-01-01T00:00:01"}, Selection(Kind.TIME, until=1_000_000)),
        ({"since": "1970-01-01 02:00+02:00"}, Selection(Kind.TIME, since=0)),
        ({"where": "outcome = 'refused'"}, Selection(Kind.WHERE, value="outcome = 'refused'")),
    ],
)
def test_calls_are_said_in_one_way(said: dict[str, Any], meant: Selection) -> None:
    assert select(**NOTHING | said) == meant


@pytest.mark.parametrize(
    "said",
    [{}, {"user": "a", "session": "b"}, {"user": ""}, {"tag": "team"}, {"since": "yesterday"}],
)
def test_nothing_two_things_and_riddles_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(BadSelection):
        select(**NOTHING | said)
