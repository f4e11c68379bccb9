"""Tests of shalt.selecting."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shalt.recording import open_store
from shalt.selecting import BadSelection, select, with_whole_ids
from shalt.settings import load
from storage.erasure import Kind, Selection
from storage.fate import CallIdError
from tests.storage.calls import at, id_of, recorded

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


def test_the_beginning_of_an_id_means_the_one_call_that_has_it(tmp_path: Path) -> None:
    loaded = load(data_dir=tmp_path)
    with closing(open_store(loaded)) as store:
        store.upgrade()
        store.insert([recorded(1), recorded(2)], at(1))
        whole = with_whole_ids(Selection(Kind.ID, ids=(id_of(1).upper(), id_of(1))), store)
        assert whole.ids == (id_of(1),)
        with pytest.raises(CallIdError, match="more than one"):
            with_whole_ids(Selection(Kind.ID, ids=(id_of(1)[:8],)), store)
        with pytest.raises(CallIdError, match="no id of a call"):
            with_whole_ids(Selection(Kind.ID, ids=("all",)), store)
