"""Stored calls are marked when they are stored, and exactly when they are marked again."""

import base64
import random

import msgspec

from storage.capture import Capture
from storage.marking import mark_again
from storage.packing import CUT_BYTES_MIN
from storage.store import TraceStore
from tests.exporters.calls import chat, conversation, record, said
from tests.storage.calls import ask

MARKS = "SELECT id, regenerated_from, edited_from FROM call WHERE regenerated_from <> '' OR "
MARKS += "edited_from <> '' ORDER BY id"


def in_session(number: int, asked: str = "Where?") -> Capture:
    return chat(
        number,
        (said("user", asked),),
        said("assistant", "Here."),
        session="it's one",
        started_at_ns=number * 10**9,
    )


def test_a_call_is_marked_when_it_is_stored(store: TraceStore) -> None:
    first, second, third = map(in_session, (1, 2, 3))
    record(store, [first, second])
    record(store, [third], offset=2)
    assert ask(store, MARKS) == [(second.id, first.id, ""), (third.id, second.id, "")]
    assert store.count("default", "regenerated_from <> ''") == 2


def test_a_call_is_marked_of_which_an_image_is_kept_apart(store: TraceStore) -> None:
    image = base64.b64encode(random.Random(1).randbytes(2 * CUT_BYTES_MIN)).decode()
    first, second = (in_session(number, image) for number in (1, 2))
    record(store, [first])
    record(store, [second], offset=1)
    assert ask(store, "SELECT count(*) FROM part") == [(1,)]
    assert ask(store, MARKS) == [(second.id, first.id, "")]


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
