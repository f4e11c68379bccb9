"""Tests of shalt.intake."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shalt.intake import Intake, SpoolFull, Taken
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import Body, SystemClock
from storage.counters import read_tally
from storage.replay import SpoolReader
from storage.segments import writers
from storage.store import TraceStore
from tests.storage.calls import at, capture_of, recorded
from tests.stores import laid


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path / "data")
    Places(settings.data_dir).prepare()
    return settings


@pytest.fixture(name="store")
def _store(settings: Settings) -> Iterator[TraceStore]:
    store = open_store(laid(settings))
    store.upgrade()
    yield store
    store.close()


@pytest.fixture(name="intake")
def _intake(settings: Settings, store: TraceStore) -> Iterator[Intake]:
    intake = Intake(settings, store, SystemClock())
    yield intake
    intake.close()


def frames(settings: Settings) -> list[object]:
    spool = Places(settings.data_dir).spool
    (writer,) = writers(spool)
    return [frame.payload for frame in SpoolReader(spool / writer).read(1_000, 2**30)]


def test_nothing_is_opened_before_the_first_call(settings: Settings, intake: Intake) -> None:
    assert writers(Places(settings.data_dir).spool) == []
    assert intake.writer_id == ""


def test_captures_are_in_the_spool_and_counted_once_put_returns(
    settings: Settings, intake: Intake
) -> None:
    assert intake.put([capture_of(1), capture_of(2)]) == Taken(2, 0)
    assert frames(settings) == [capture_of(1), capture_of(2)]
    tally = read_tally(Places(settings.data_dir).spool / intake.writer_id)
    assert (tally.accepted, tally.spooled, tally.in_flight) == (2, 2, 0)


def test_what_came_before_or_is_stored_is_left_out(
    settings: Settings, store: TraceStore, intake: Intake
) -> None:
    store.insert([recorded(1)], at(100))
    assert intake.put([capture_of(1), capture_of(2), capture_of(2)]) == Taken(1, 2)
    assert intake.put([capture_of(2), capture_of(3)]) == Taken(1, 1)
    assert len(frames(settings)) == 2
    assert intake.taken_count == 2


def test_secrets_in_headers_are_taken_out(settings: Settings, intake: Intake) -> None:
    secret = (b"authorization", b"Bearer sk-abcdefghijklmnopqrst")
    intake.put([msgspec.structs.replace(capture_of(1), request_headers=[secret])])
    (kept,) = frames(settings)
    assert b"abcdefghijkl" not in msgspec.msgpack.encode(kept)


def test_a_batch_larger_than_the_writer_may_hold_is_taken_whole(
    settings: Settings, intake: Intake
) -> None:
    large = Body(b"x" * 6 * 2**20, 6 * 2**20)
    batch = [msgspec.structs.replace(capture_of(number), request_body=large) for number in range(9)]
    assert intake.put(batch) == Taken(9, 0)
    assert len(frames(settings)) == 9


def test_a_full_spool_takes_nothing_more_until_there_is_room(
    settings: Settings, store: TraceStore
) -> None:
    small = settings.model_copy(update={"spool_bytes_max": 20_000})
    intake = Intake(small, store, SystemClock())
    large = Body(b"x" * 30_000, 30_000)
    first = msgspec.structs.replace(capture_of(1), request_body=large)
    assert intake.put([first]) == Taken(1, 0)
    with pytest.raises(SpoolFull, match="spool_bytes_max"):
        intake.put([first, capture_of(2)])
    tally = read_tally(Places(settings.data_dir).spool / intake.writer_id)
    assert (tally.accepted, sum(tally.dropped.values())) == (1, 0)
    store.insert([recorded(2)], at(100))
    assert intake.put([first, capture_of(2)]) == Taken(0, 2)  # they need no room
    intake.close()


def test_a_store_that_is_not_there_leaves_nothing_out(settings: Settings) -> None:
    store = open_store(settings)  # its tables have not been made
    intake = Intake(settings, store, SystemClock())
    assert intake.put([capture_of(1)]) == Taken(1, 0)
    intake.close()
    store.close()
