"""Which calls an erasure selects, in SQL and outside of the store alike."""

import msgspec
import pytest
from sqlalchemy import select

from storage import database, erasure
from storage.erasure import Erasure, Kind, Matcher, Selection, condition_of, fingerprint
from storage.rows import Recorded
from storage.schema import call
from storage.store import TraceStore
from tests.storage.calls import START_NS, at, id_of, recorded

SALT = "5" * 32
NOW_US = START_NS // 1000 + 5_000_000  # call 5 begins then


def made(selection: Selection, project: str = "default") -> Erasure:
    return Erasure("e" * 32, project, selection, "", NOW_US, 0, None, None)


def call_of(number: int, **fields: object) -> Recorded:
    one = recorded(number)
    return msgspec.structs.replace(one, span=msgspec.structs.replace(one.span, **fields))


CALLS = [
    call_of(1, user_id="alice", session_id="s", tags={"team": "a"}),
    call_of(2, user_id="bob", session_id="s", tags={"team": "b"}),
    call_of(3, user_id="alice\0", tags={"Team": "a"}),
    call_of(4),
    call_of(6, user_id="alice", session_id="s", tags={"team": "a"}),
]


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        (Selection(Kind.ID, ids=(id_of(1), id_of(6), id_of(99))), [1, 6]),
        (Selection(Kind.USER, value="alice"), [1]),
        (Selection(Kind.USER, value="alice\ufffd"), [3]),
        (Selection(Kind.SESSION, value="s"), [1, 2]),
        (Selection(Kind.TAG, key="team", value="a"), [1]),
        (Selection(Kind.TIME, since=START_NS // 1000 + 2_000_000), [2, 3, 4]),
        (Selection(Kind.TIME, until=START_NS // 1000 + 3_000_000), [1, 2]),
    ],
)
def test_the_same_calls_are_meant_in_the_store_and_on_their_way_there(
    store: TraceStore, selection: Selection, numbers: list[int]
) -> None:
    store.insert(CALLS, at(1))
    wanted = made(selection)
    with database.reading(store.engine) as connection:
        ids = connection.scalars(select(call.c.id).where(condition_of(wanted)).order_by(call.c.id))
        assert list(ids) == [id_of(number) for number in numbers]
    matches = Matcher(wanted, SALT)
    assert [each.span.id for each in CALLS if matches(each.span)] == [id_of(n) for n in numbers]


def test_a_name_is_still_known_when_only_its_fingerprint_is_left() -> None:
    named = Selection(Kind.TAG, key="team", value="a")
    hashed = fingerprint(SALT, "default", named, "a")
    wanted = made(msgspec.structs.replace(named, value=hashed, hashed=True))
    assert [each.span.id for each in CALLS if Matcher(wanted, SALT)(each.span)] == [id_of(1)]
    assert not any(Matcher(wanted, "6" * 32)(each.span) for each in CALLS)


def test_other_projects_are_not_meant() -> None:
    elsewhere = Matcher(made(Selection(Kind.USER, value="alice"), project="other"), SALT)
    assert not any(elsewhere(each.span) for each in CALLS)


def test_of_what_is_deleted_nothing_is_hidden_any_more(store: TraceStore) -> None:
    hashed = made(Selection(Kind.USER, value="0" * 64, hashed=True))
    store.insert(CALLS, at(1))
    with database.reading(store.engine) as connection:
        assert erasure.visible(connection) == []
        assert connection.scalars(select(call.c.id).where(condition_of(hashed))).all() == []
