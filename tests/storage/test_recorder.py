"""Tests of storage.recorder: a real spool, a real store."""

import random
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from storage import database
from storage.capture import Body, Capture, DropReason, Outcome, SystemClock
from storage.database import StoreUnavailable, open_engine
from storage.deletion import delete_calls
from storage.erasure import Kind, Selection
from storage.features import FEATURE_VERSION, Features, features_of_all
from storage.feed import Undigested
from storage.grouping import GROUP_BY
from storage.held import held_numbers
from storage.labels import Said
from storage.ledger import Ledger, read_ledger
from storage.metrics import RecorderMetrics
from storage.poison import PoisonDirectory, undigested
from storage.receipts import request
from storage.recorder import Recorder
from storage.replay import kind_of
from storage.rows import Checkpoint
from storage.schema import dropped_call
from storage.segments import segment_numbers, segment_path
from storage.spool import (
    FRAME_HEADER,
    FrameKind,
    Part,
    ResponseHead,
    SpoolLimits,
    SpoolWriter,
)
from storage.store import TraceStore
from storage.text_sample import TextSample
from storage.trace import Span
from tests.storage.calls import ask, capture_of, id_of
from tests.storage.saying import label, said_id, score, verdict
from tests.stores import lay


@dataclass
class Place:
    """A data directory for one test."""

    folder: Path
    store: TraceStore

    def writer(self, segment_bytes: int = 2**20) -> SpoolWriter:
        limits = SpoolLimits(segment_bytes=segment_bytes)
        return SpoolWriter(self.folder / "spool", limits=limits, clock=SystemClock())

    def recorder(self, *, texts: bool = False) -> Recorder:
        return Recorder(
            self.folder / "spool",
            self.folder / "poison",
            self.store,
            RecorderMetrics(CollectorRegistry(), ["small-1"]),
            group_by=GROUP_BY,
            clock=SystemClock(),
            texts=TextSample(self.store.engine) if texts else None,
        )

    def poison(self) -> PoisonDirectory:
        return PoisonDirectory(self.folder / "poison")

    def drain(self) -> None:
        self.recorder().run(lambda: True)

    def stored(self, number: int) -> Capture:
        found = self.store.get(id_of(number))
        assert found is not None
        assert found.capture is not None
        return found.capture

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'shalt.sqlite'}"

    def count(self) -> int:
        return self.store.count("default")

    def ledger(self) -> Ledger:
        return read_ledger(self.folder / "spool", self.store)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "poison").mkdir()
    store = TraceStore(lay(f"sqlite:///{tmp_path / 'shalt.sqlite'}"), clock=SystemClock())
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
    assert segment_numbers(writer.directory)[0] > 1
    assert held_numbers(writer.directory)[0] == 1  # its beginning is still needed
    end(writer, capture)
    place.recorder().step()
    assert place.stored(1).response_body.data == b"first second"
    assert place.count() == 3
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
    (known,) = place.poison().list()
    assert (known.call_id, known.writer) == (id_of(2), writer.id)
    assert known.reason.startswith("RowRejected: ")
    assert place.poison().read(id_of(2)) == unstorable
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
    (known,) = place.poison().list()
    assert known.call_id.startswith("unknown-")
    assert data in (place.folder / "poison" / f"{known.call_id}.poison").read_bytes()


def poison(writer: SpoolWriter, number: int) -> None:
    """Put a call into the spool as a version of shalt would that knows one field more."""
    data = msgspec.msgpack.encode([*msgspec.structs.astuple(capture_of(number))[:5], "later"])
    checksum = zlib.crc32(data, zlib.crc32(bytes((FrameKind.CALL,))))
    writer.counters.add("accepted")
    writer.counters.add("spooled")
    append(writer, number + 1)
    with segment_path(writer.directory, 1).open("ab") as segment:
        segment.write(FRAME_HEADER.pack(len(data), checksum, FrameKind.CALL) + data)


def test_after_an_upgrade_poison_can_be_stored(place: Place) -> None:
    writer = place.writer()
    poison(writer, 1)
    writer.close()
    place.drain()
    assert place.recorder().retry_poison() == (0, 1)
    assert place.ledger().dropped[DropReason.POISON] == 1
    frame = (FrameKind.CALL, msgspec.msgpack.encode(capture_of(1)))  # as if it were understood now
    place.poison().put(Undigested(id_of(1), [frame], "later"), writer.id, SystemClock())
    assert place.recorder().retry_poison() == (1, 0)
    assert place.stored(1) == capture_of(1)
    ledger = place.ledger()
    assert (ledger.accepted, ledger.stored, ledger.dropped[DropReason.POISON]) == (2, 2, 0)
    assert place.poison().list() == []


def test_a_retry_that_was_killed_half_way_counts_once(place: Place) -> None:
    writer = place.writer()
    append(writer, 1)
    writer.close()
    place.drain()
    place.poison().put(undigested(capture_of(1), ValueError("x")), writer.id, SystemClock())
    assert place.recorder().retry_poison() == (1, 0)
    ledger = place.ledger()
    assert (ledger.stored, ledger.dropped[DropReason.POISON]) == (1, 0)


def test_a_poison_directory_that_cannot_be_written_loses_nothing(place: Place) -> None:
    writer = place.writer()
    poison(writer, 1)
    writer.close()
    (place.folder / "poison").rmdir()
    (place.folder / "poison").write_text("no directory")
    with pytest.raises(StoreUnavailable, match="cannot write to"):
        place.drain()
    (place.folder / "poison").unlink()
    place.drain()
    assert len(place.poison().list()) == 1
    assert place.ledger().stored == 1


@pytest.mark.parametrize("damage", ["counters", "segment", "held"])
def test_a_spool_that_cannot_be_read_keeps_no_other_waiting(place: Place, damage: str) -> None:
    broken, good = place.writer(), place.writer()
    append(broken, 1)
    if damage == "counters":
        (broken.directory / "counters").unlink()
    elif damage == "segment":
        segment_path(broken.directory, 1).write_bytes(b"SHALTSPL\x63\0\0\0 of the future")
    else:
        checkpoint = Checkpoint(broken.id, 2, 12, f'{{"{id_of(1)}": [1, 12]}}')
        place.store.insert([], checkpoint)
        segment_path(broken.directory, 1).unlink()
        (broken.directory / "00000001.held").write_bytes(b"of the future")
    append(good, 2)
    good.close()
    place.drain()
    assert place.count() == 1
    assert broken.directory.exists()
    assert not good.directory.exists()
    broken.close()


def test_what_was_read_before_the_damage_is_not_lost(place: Place) -> None:
    writer = place.writer(segment_bytes=10)
    append(writer, 1)
    append(writer, 2)
    strange = segment_path(writer.directory, 2)
    whole = strange.read_bytes()
    strange.write_bytes(b"SHALTSPL\x63\0\0\0 of the future")
    recorder = place.recorder()
    recorder.step()
    strange.write_bytes(whole)
    recorder.step()
    assert place.count() == 2
    writer.close()


def test_the_ids_of_lost_calls_are_kept(place: Place) -> None:
    writer = place.writer()
    append(writer, 1)
    for number in (1, 2, 3):
        writer.roster.enter(id_of(number))
    writer.counters.add("accepted", 2)
    writer.counters.add(DropReason.SPOOL_FULL)
    writer.roster.drop(id_of(3), DropReason.SPOOL_FULL)
    writer.close()
    place.drain()
    with database.reading(open_engine(place.url)) as connection:
        found = {row.call_id: row.reason for row in connection.execute(select(dropped_call))}
    assert found == {id_of(2): "worker_died", id_of(3): "spool_full"}


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
        found = place.store.get(capture.id)
        assert found is not None
        assert found.row.outcome is Outcome.INTERRUPTED


def say(writer: SpoolWriter, *said: Said) -> None:
    for each in said:
        writer.append(kind_of(each), each)
    writer.flush()


def test_what_is_said_is_stored_once_and_leaves_the_ledger_alone(place: Place) -> None:
    console, worker = place.writer(), place.writer()
    say(console, score(2, 1), label(3, 1), verdict(4, 1, 3), score(2, 1))
    place.recorder().step()
    append(worker, 1)
    for writer in (console, worker):
        writer.close()
    place.drain()
    assert [each.id for each in place.store.scores([id_of(1)])[id_of(1)]] == [said_id(2)]
    assert [each.id for each in place.store.labels([id_of(1)])[id_of(1)]] == [said_id(3)]
    ledger = place.ledger()
    assert (ledger.accepted, ledger.stored, sum(ledger.dropped.values())) == (1, 1, 0)
    assert not list((place.folder / "spool").iterdir())


def test_what_is_said_and_not_understood_is_kept_aside_and_no_call(place: Place) -> None:
    writer = place.writer()
    writer.append(FrameKind.SCORE, ResponseHead(id_of(7), 1, 200, []))
    say(writer, label(4, 1))
    append(writer, 1)
    place.recorder().step()
    assert len(place.store.labels([id_of(1)])[id_of(1)]) == 1
    assert [known.call_id for known in place.poison().list()] == [id_of(7)]
    assert sum(place.ledger().dropped.values()) == 0
    assert place.ledger().stored == 1
    writer.close()


def test_what_is_said_of_an_erased_call_is_blanked_in_the_spool(place: Place) -> None:
    worker, console = place.writer(), place.writer()
    append(worker, 1)
    recorder = place.recorder()
    recorder.step()
    chosen = Selection(Kind.ID, ids=(id_of(1),))
    asked = request(place.store, "default", chosen, reason="", clock=SystemClock())
    with database.writing(place.store.engine) as connection:
        delete_calls(connection, [id_of(1)], asked.id)
    say(console, score(2, 1, comment="do not keep this"), score(3, 9, comment="but this"))
    recorder.step()
    (segment,) = console.directory.glob("*.segment")
    assert b"do not keep this" not in segment.read_bytes()
    assert b"but this" in segment.read_bytes()
    assert place.store.scores([id_of(1)]) == {}
    for writer in (worker, console):
        writer.close()


def test_a_score_that_the_store_refuses_is_kept_aside_and_tried_again(place: Place) -> None:
    writer = place.writer()
    say(writer, score(3, 1))
    place.recorder().step()
    put_aside = undigested(score(2, 1, 0.5), ValueError("for a test"))
    place.poison().put(put_aside, writer.id, SystemClock())
    append(writer, 1)
    recorder = place.recorder()
    recorder.step()
    assert recorder.retry_poison() == (1, 0)
    assert {each.value for each in place.store.scores([id_of(1)])[id_of(1)]} == {0.5, 1.0}
    assert place.ledger().stored == 1
    writer.close()


def test_the_texts_of_calls_in_the_sample_are_measured(place: Place) -> None:
    with closing(place.writer()) as writer:
        append(writer, 1, 2)
    place.recorder(texts=True).run(lambda: True)
    rows = ask(place.store, "SELECT call_id, feature_version, sample_bits FROM text_feature")
    assert sorted(rows) == [(id_of(1), FEATURE_VERSION, 0), (id_of(2), FEATURE_VERSION, 0)]


def test_a_call_whose_texts_cannot_be_measured_is_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("storage.recorder.text_features_of", lambda span, bits: 1 / 0)
    with closing(place.writer()) as writer:
        append(writer, 1)
    place.recorder(texts=True).run(lambda: True)
    assert place.stored(1)
    assert ask(place.store, "SELECT count(*) FROM text_feature") == [(0,)]
    assert "texts could not be measured" in caplog.text


def test_of_a_batch_only_the_call_that_cannot_be_measured_is_put_aside(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def features_but_of_2(spans: Sequence[Span]) -> list[Features]:
        assert id_of(2) not in [span.id for span in spans]
        return features_of_all(spans)

    monkeypatch.setattr("storage.recorder.features_of_all", features_but_of_2)
    with closing(place.writer()) as writer:
        append(writer, 1, 2, 3)
    place.recorder(texts=True).run(lambda: True)
    assert [known.call_id for known in place.poison().list()] == [id_of(2)]
    assert place.stored(1)
    assert place.stored(3)
    assert place.ledger().backlog == 0
