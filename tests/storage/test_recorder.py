"""Tests of storage.recorder: a real spool, a real store."""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from storage.capture import Body, Capture, DropReason, Outcome, SystemClock
from storage.grouping import GROUP_BY
from storage.ledger import Ledger, read_ledger
from storage.metrics import RecorderMetrics
from storage.recorder import Recorder
from storage.spool import (
    FRAME_HEADER,
    FrameKind,
    Part,
    ResponseHead,
    SpoolLimits,
    SpoolWriter,
    segment_numbers,
    segment_path,
)
from storage.store import TraceStore
from tests.storage.calls import capture_of, id_of


@dataclass
class Place:
    """A data directory for one test."""

    folder: Path
    store: TraceStore

    def writer(self, segment_bytes: int = 2**20) -> SpoolWriter:
        limits = SpoolLimits(segment_bytes=segment_bytes)
        return SpoolWriter(self.folder / "spool", limits=limits, clock=SystemClock())

    def recorder(self) -> Recorder:
        return Recorder(
            self.folder / "spool",
            self.folder / "poison",
            self.store,
            RecorderMetrics(CollectorRegistry(), ["small-1"]),
            group_by=GROUP_BY,
            clock=SystemClock(),
        )

    def drain(self) -> None:
        self.recorder().run(lambda: True)

    def stored(self, number: int) -> Capture:
        found = self.store.get(id_of(number))
        assert found is not None
        return found.capture

    def count(self) -> int:
        return self.store.count("default")

    def ledger(self) -> Ledger:
        return read_ledger(self.folder / "spool", self.store)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "poison").mkdir()
    store = TraceStore(f"sqlite:///{tmp_path / 'shalt.sqlite'}", clock=SystemClock())
    store.upgrade()
    yield Place(tmp_path, store)
    store.close()


def append(writer: SpoolWriter, *numbers: int) -> None:
    for number in numbers:
        writer.counters.add("accepted")
        writer.append(FrameKind.CALL, capture_of(number))
    writer.flush()


def begin(writer: SpoolWriter, number: int) -> Capture:
    writer.counters.add("accepted")
    capture = capture_of(number)
    begun = msgspec.structs.replace(
        capture, outcome=Outcome.INTERRUPTED, status_code=None, response_body=Body(b"", 0)
    )
    writer.append(FrameKind.BEGIN, begun)
    writer.append(FrameKind.RESPONSE, ResponseHead(capture.id, 5_000_000, 200, [(b"a", b"b")]))
    writer.append(FrameKind.PART, Part(capture.id, 6_000_000, True, b"first "))
    writer.append(FrameKind.PART, Part(capture.id, 7_000_000, True, b"second"))
    return capture


def end(writer: SpoolWriter, capture: Capture) -> None:
    ended = msgspec.structs.replace(capture, request_body=Body(b"", 2), response_body=Body(b"", 12))
    writer.append(FrameKind.END, ended)
    writer.flush()


def test_what_was_spooled_is_stored_as_it_was(place: Place) -> None:
    writer = place.writer()
    append(writer, 1, 2, 3)
    place.recorder().step()
    assert place.stored(2) == capture_of(2)
    assert place.ledger().stored == 3
    writer.close()


def test_a_second_look_stores_nothing_twice(place: Place) -> None:
    writer = place.writer()
    append(writer, 1, 2)
    recorder = place.recorder()
    assert recorder.step()
    assert not recorder.step()
    assert not place.recorder().step()
    assert place.count() == 2
    writer.close()


def test_a_long_call_is_put_together(place: Place) -> None:
    writer = place.writer()
    capture = begin(writer, 1)
    append(writer, 2)
    end(writer, capture)
    place.recorder().step()
    assert place.stored(1).response_body == Body(b"first second", 12)
    assert place.stored(1).outcome is Outcome.COMPLETE
    writer.close()


def test_a_long_call_survives_a_new_recorder_in_its_middle(place: Place) -> None:
    writer = place.writer(segment_bytes=10)
    capture = begin(writer, 1)
    append(writer, 2)
    place.recorder().step()
    append(writer, 3)
    place.recorder().step()
    assert segment_numbers(writer.directory)[0] == 1  # its beginning is still needed
    end(writer, capture)
    place.recorder().step()
    assert place.stored(1).response_body.data == b"first second"
    assert place.count() == 3
    assert segment_numbers(writer.directory)[0] > 1
    writer.close()


def test_a_dead_workers_open_call_is_stored_as_interrupted(place: Place) -> None:
    writer = place.writer()
    begin(writer, 1)
    writer.close()
    place.drain()
    stored = place.stored(1)
    assert (stored.outcome, stored.status_code) == (Outcome.INTERRUPTED, 200)
    assert (stored.response_body.data, stored.ended_ns) == (b"first second", 7_000_000)
    assert not writer.directory.exists()


def test_a_dead_workers_unspooled_calls_are_counted(place: Place) -> None:
    writer = place.writer()
    append(writer, 1)
    writer.counters.add("accepted", 2)
    writer.counters.add("opted_out")
    writer.close()
    place.drain()
    ledger = place.ledger()
    assert (ledger.accepted, ledger.stored, ledger.opted_out) == (3, 1, 1)
    assert ledger.dropped[DropReason.WORKER_DIED] == 1
    assert (ledger.backlog, ledger.in_flight) == (0, 0)


def test_the_ledger_adds_up_while_calls_are_on_their_way(place: Place) -> None:
    writer = place.writer()
    append(writer, 1, 2)
    place.recorder().step()
    append(writer, 3)
    begin(writer, 4)
    writer.flush()
    ledger = place.ledger()
    assert (ledger.accepted, ledger.stored, ledger.backlog, ledger.in_flight) == (4, 2, 1, 1)
    writer.close()


def test_a_torn_tail_costs_only_itself(place: Place) -> None:
    writer = place.writer()
    append(writer, 1, 2)
    writer.close()
    path = segment_path(writer.directory, 1)
    path.write_bytes(path.read_bytes()[:-3])
    place.drain()
    assert place.count() == 1
    assert place.ledger().dropped[DropReason.WORKER_DIED] == 1


def test_a_call_that_cannot_be_stored_is_put_aside_and_the_others_are_stored(
    place: Place,
) -> None:
    writer = place.writer()
    append(writer, 1)
    writer.counters.add("accepted")
    unstorable = msgspec.structs.replace(capture_of(2), status_code=2**63)
    writer.append(FrameKind.CALL, unstorable)
    append(writer, 3)
    place.recorder().step()
    assert place.count() == 2
    assert place.ledger().dropped[DropReason.POISON] == 1
    kept = (place.folder / "poison" / f"{id_of(2)}.msgpack").read_bytes()
    assert msgspec.msgpack.decode(kept, type=Capture) == unstorable
    writer.close()


def test_a_frame_nobody_can_decode_is_counted_and_passed_over(place: Place) -> None:
    writer = place.writer()
    append(writer, 1)
    writer.counters.add("accepted")
    data = b"\xc1"
    checksum = zlib.crc32(data, zlib.crc32(bytes((FrameKind.CALL,))))
    with segment_path(writer.directory, 1).open("ab") as segment:
        segment.write(FRAME_HEADER.pack(len(data), checksum, FrameKind.CALL) + data)
    writer.close()
    place.drain()
    assert place.count() == 1
    assert place.ledger().dropped[DropReason.POISON] == 1


def test_lost_parts_are_said_to_be_missing(place: Place) -> None:
    writer = place.writer()
    writer.counters.add("accepted")
    ended = msgspec.structs.replace(capture_of(1), response_body=Body(b"", 500))
    writer.append(FrameKind.END, ended)
    writer.flush()
    place.recorder().step()
    assert place.stored(1).response_body == Body(b"", 500, "", True)
    writer.close()


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_events_and_restarts_stores_each_call_once(place: Place, seed: int) -> None:
    """A model test: writers write, end and die; recorders come and go; at the end all is there."""
    chance = random.Random(seed)
    writers = [place.writer(segment_bytes=chance.choice((10, 2000, 2**20))) for _ in range(2)]
    recorder = place.recorder()
    opened: list[tuple[SpoolWriter, Capture]] = []
    number = 0
    for _ in range(120):
        action = chance.choice(("call", "call", "begin", "end", "step", "restart"))
        writer = chance.choice(writers)
        if action == "call":
            number += 1
            append(writer, number)
        elif action == "begin":
            number += 1
            opened.append((writer, begin(writer, number)))
        elif action == "end" and opened:
            end(*opened.pop(chance.randrange(len(opened))))
        elif action == "step":
            recorder.step()
        elif action == "restart":
            recorder = place.recorder()
    for writer in writers:
        writer.close()
    place.drain()
    assert place.count() == number
    ledger = place.ledger()
    assert (ledger.accepted, ledger.stored) == (number, number)
    for _, capture in opened:
        assert place.stored(int(capture.id, 16)).outcome is Outcome.INTERRUPTED
