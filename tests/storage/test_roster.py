"""Tests of storage.roster."""

import random
from pathlib import Path

from storage.capture import DropReason
from storage.roster import PLACES, Roster, read_roster
from tests.storage.calls import id_of


def test_open_calls_are_there_until_they_leave(tmp_path: Path) -> None:
    roster = Roster()
    roster.move_to(tmp_path)
    for number in (1, 2, 3):
        roster.enter(id_of(number))
    roster.leave(id_of(2))
    roster.leave(id_of(9))
    assert read_roster(tmp_path).open == {id_of(1), id_of(3)}
    roster.close()


def test_a_dropped_call_is_open_no_longer_and_keeps_its_reason(tmp_path: Path) -> None:
    roster = Roster()
    roster.enter(id_of(1))
    roster.drop(id_of(1), DropReason.SPOOL_ERROR)
    roster.move_to(tmp_path)
    assert read_roster(tmp_path) == (set(), {id_of(1): DropReason.SPOOL_ERROR})
    roster.close()


def test_the_last_drops_are_remembered_and_only_those(tmp_path: Path) -> None:
    roster = Roster()
    roster.move_to(tmp_path)
    for number in range(1, PLACES + 11):
        roster.drop(id_of(number), DropReason.SPOOL_FULL)
    assert set(read_roster(tmp_path).dropped) == {id_of(n) for n in range(11, PLACES + 11)}
    roster.close()


def test_more_open_calls_than_places_are_no_harm(tmp_path: Path) -> None:
    roster = Roster()
    roster.move_to(tmp_path)
    ids = [id_of(number) for number in range(1, PLACES + 100)]
    random.Random(1).shuffle(ids)
    for call_id in ids:
        roster.enter(call_id)
    assert len(read_roster(tmp_path).open) == PLACES
    for call_id in ids:
        roster.leave(call_id)
    assert read_roster(tmp_path).open == set()
    roster.close()


def test_no_file_or_a_strange_one_holds_no_ids(tmp_path: Path) -> None:
    assert read_roster(tmp_path) == (set(), {})
    (tmp_path / "calls").write_bytes(b"something else")
    assert read_roster(tmp_path) == (set(), {})
