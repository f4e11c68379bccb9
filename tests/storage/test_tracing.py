"""Tests of storage.tracing: an answer for every id, wherever its call is."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from storage import database, erasure
from storage.capture import DropReason, LeftOut, SystemClock
from storage.database import StoreUnavailable
from storage.erasure import Kind, Selection
from storage.fate import CallIdError, Fate, State
from storage.poison import PoisonDirectory, undigested
from storage.schema import erasure as erasure_table
from storage.spool import FrameKind, Position, SpoolLimits, SpoolWriter
from storage.store import TraceStore
from storage.tracing import explain, whole_id
from tests.storage.calls import START_NS, at, capture_of, id_of, new_store, recorded, url_of


@dataclass
class Place:
    """A data directory for one test."""

    folder: Path
    store: TraceStore

    def writer(self, **limits: int) -> SpoolWriter:
        return SpoolWriter(self.folder, limits=SpoolLimits(**limits), clock=SystemClock())

    def ask(self, given: str) -> Fate:
        return explain(given, store=self.store, spool=self.folder, poison=self.folder / "poison")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    store = new_store(url_of(tmp_path))
    yield Place(tmp_path, store)
    store.close()


def test_a_stored_call_is_named_with_its_project(place: Place) -> None:
    place.store.insert([recorded(1)], at(1))
    fate = place.ask(id_of(1))
    assert (fate.state, fate.project) == (State.STORED, "default")
    assert f"shalt show {id_of(1)}" in fate.explanation


def test_a_call_that_waits_in_the_spool_is_found_there(place: Place) -> None:
    writer = place.writer(segment_bytes=10)
    for number in (1, 2, 3):
        writer.append(FrameKind.CALL, capture_of(number))
        writer.flush()
    fate = place.ask(id_of(3))
    assert fate.state is State.BACKLOG
    assert f"{writer.id}, segment 3, byte 12" in fate.explanation
    writer.close()


def test_only_what_is_not_stored_is_looked_through(place: Place) -> None:
    writer = place.writer()
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    end = (writer.directory / "00000001.segment").stat().st_size
    place.store.insert([], msgspec.structs.replace(at(end), writer=writer.id))
    assert place.ask(id_of(1)).state is State.UNKNOWN
    writer.close()


def test_a_call_that_has_not_ended_is_in_flight(place: Place) -> None:
    writer = place.writer()
    writer.roster.enter(id_of(1))
    writer.append(FrameKind.BEGIN, capture_of(2))
    writer.flush()
    assert place.ask(id_of(1)).state is State.IN_FLIGHT
    assert place.ask(id_of(2)).state is State.IN_FLIGHT
    checkpoint = msgspec.structs.replace(at(10**6), writer=writer.id, opened="{}")
    opened = msgspec.json.encode({id_of(3): Position(1, 12)}).decode()
    place.store.insert([], msgspec.structs.replace(checkpoint, opened=opened))
    assert place.ask(id_of(3)).state is State.IN_FLIGHT
    writer.close()
    assert place.ask(id_of(3)).state is State.BACKLOG


def test_a_killed_workers_calls_are_told_apart(place: Place) -> None:
    script = (
        "import os, pathlib, sys; from storage.capture import SystemClock;"
        "from storage.spool import FrameKind, SpoolLimits, SpoolWriter;"
        "from tests.storage.calls import capture_of, id_of;"
        "w = SpoolWriter(pathlib.Path(sys.argv[1]), limits=SpoolLimits(), clock=SystemClock());"
        "w.roster.enter(id_of(1)); w.roster.enter(id_of(2));"
        "w.append(FrameKind.BEGIN, capture_of(2)); w.flush(); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", script, str(place.folder)], cwd=root, env={**os.environ}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    lost = place.ask(id_of(1))
    assert (lost.state, lost.reason) == (State.DROPPED, DropReason.WORKER_DIED)
    assert place.ask(id_of(2)).state is State.BACKLOG


def test_a_dropped_call_says_why_while_its_worker_lives_and_after(place: Place) -> None:
    writer = place.writer(spool_bytes=0)
    writer.measure()
    writer.append(FrameKind.CALL, capture_of(1))
    fate = place.ask(id_of(1))
    assert (fate.state, fate.reason) == (State.DROPPED, DropReason.SPOOL_FULL)
    writer.close()
    place.store.note_dropped({id_of(2): DropReason.SPOOL_ERROR})
    assert place.ask(id_of(2)).reason is DropReason.SPOOL_ERROR


@pytest.mark.parametrize("reason", LeftOut)
def test_a_call_that_was_not_to_be_recorded_says_so_while_its_worker_lives_and_after(
    place: Place, reason: LeftOut
) -> None:
    with closing(place.writer()) as writer:
        writer.counters.add("accepted")
        writer.counters.add(reason)
        writer.roster.drop(id_of(1), reason)
        alive = place.ask(id_of(1))
    place.store.note_dropped({id_of(1): reason})
    shutil.rmtree(place.folder / writer.id)  # as the recorder does when it has settled it
    after = place.ask(id_of(1))
    assert alive == after
    assert (alive.state, alive.reason) == (State.LEFT_OUT, reason)


def test_a_poisoned_call_says_what_was_wrong_with_it(place: Place) -> None:
    poison = PoisonDirectory(place.folder / "poison")
    poison.put(undigested(capture_of(1), ValueError("too strange")), "f" * 32, SystemClock())
    place.store.note_dropped({id_of(1): DropReason.POISON})
    fate = place.ask(id_of(1))
    assert (fate.state, fate.reason) == (State.DROPPED, DropReason.POISON)
    assert "too strange" in fate.explanation
    place.store.insert([recorded(1)], at(1))
    assert place.ask(id_of(1)).state is State.STORED


def test_an_erased_call_is_said_to_be(place: Place) -> None:
    place.store.insert([recorded(1)], at(1))
    with database.writing(place.store.engine) as connection:
        selection = Selection(Kind.ID, ids=(id_of(1),))
        erasure.add(connection, "e" * 32, "default", selection, reason="", now_us=START_NS)
    assert place.ask(id_of(1)).state is State.ERASED


def test_the_beginning_of_an_erased_id_is_known_after_those_of_stored_ones(place: Place) -> None:
    place.store.insert([recorded(1), recorded(2)], at(1))
    with database.writing(place.store.engine) as connection:
        selection = Selection(Kind.ID, ids=(id_of(1),))
        erasure.add(connection, "e" * 32, "default", selection, reason="", now_us=START_NS)
    assert whole_id(id_of(1)[:12], place.store) == id_of(1)
    shared = os.path.commonprefix([id_of(1), id_of(2)])
    assert whole_id(shared, place.store) == id_of(2)


def test_an_id_of_the_time_that_retention_has_deleted_is_no_mystery(place: Place) -> None:
    selection = Selection(Kind.RETENTION, until=START_NS // 1000 + 5_000_000)
    with database.writing(place.store.engine) as connection:
        connection.execute(
            erasure_table.insert().values(
                id="e" * 32, project="default", kind="retention", bodies_only=False, reason="",
                selector=msgspec.json.encode(selection).decode(), requested_at=1, call_count=5,
                deleted_at=2,
            )
        )  # fmt: skip
    assert place.ask(id_of(1)).state is State.DELETED
    assert place.ask(id_of(9)).state is State.UNKNOWN


def test_an_unknown_id_may_be_a_drop_whose_id_is_not_known(place: Place) -> None:
    assert place.ask(id_of(1)).explanation == "no call of this id was accepted here"
    writer = place.writer()
    writer.counters.add("accepted", 3)
    writer.counters.add(DropReason.SPOOL_ERROR, 3)
    fate = place.ask(id_of(1))
    assert fate.state is State.UNKNOWN
    assert "one of 3 calls without a record" in fate.explanation
    writer.close()


def test_a_beginning_will_do_when_it_is_of_one_call(place: Place) -> None:
    place.store.insert([recorded(1), recorded(2)], at(1))
    writer = place.writer()
    writer.append(FrameKind.CALL, capture_of(800))
    writer.flush()
    assert place.ask(id_of(1)[:12]).call_id == id_of(1)
    assert place.ask(id_of(800)[:10]).call_id == id_of(800)
    assert whole_id(id_of(2)[:12], place.store) == id_of(2)
    assert whole_id(id_of(1), place.store) == id_of(1)
    with pytest.raises(CallIdError, match="more than one"):
        place.ask(id_of(1)[:8])
    writer.close()


def test_without_a_store_the_spool_still_answers(place: Place) -> None:
    writer = place.writer()
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    (place.folder / "shalt.sqlite").rename(place.folder / "elsewhere")
    assert place.ask(id_of(1)).state is State.BACKLOG
    with pytest.raises(StoreUnavailable):
        place.ask(id_of(2))
    writer.close()
