"""Stored calls are marked when they are stored, and exactly when they are marked again."""

import msgspec

from storage.marking import mark_again
from storage.rows import Recorded
from storage.store import TraceStore
from tests.exporters.calls import conversation, record
from tests.storage.calls import ask, at, recorded

MARKS = "SELECT id, regenerated_from, edited_from FROM call WHERE regenerated_from <> '' OR "
MARKS += "edited_from <> '' ORDER BY id"


def in_session(number: int, text: str) -> Recorded:
    return recorded(number, text, session_id="it's one")


def test_a_call_is_marked_when_it_is_stored(store: TraceStore) -> None:
    store.insert([in_session(1, "Where?"), in_session(2, "Where?")], at(1))
    store.insert([in_session(3, "Where?")], at(2))
    rows = ask(store, MARKS)
    calls = [in_session(number, "").span.id for number in (1, 2, 3)]
    assert rows == [(calls[1], calls[0], ""), (calls[2], calls[1], "")]
    assert store.count("default", "regenerated_from <> ''") == 2


def test_what_came_before_a_restart_is_found_by_marking_again(store: TraceStore) -> None:
    turns = conversation(1, "Where?", 3)
    again = msgspec.structs.replace(conversation(5, "Where?", 3)[2], started_at_ns=10**9)
    record(store, turns)
    store._retakes.forget()
    record(store, [again], offset=2)
    assert ask(store, MARKS) == []
    assert mark_again(store, "default", dry_run=True).changed == 1
    assert ask(store, MARKS) == []
    marked = mark_again(store, "default")
    assert (marked.groups, marked.changed) == (1, 1)
    assert ask(store, MARKS) == [(again.id, turns[2].id, "")]
    assert mark_again(store, "default").changed == 0


def test_groups_in_which_nothing_can_repeat_are_not_read(store: TraceStore) -> None:
    record(store, conversation(1, "Where?", 3))
    assert mark_again(store, "default").groups == 0
