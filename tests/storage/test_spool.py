"""Tests of storage.spool: writing. Reading it back is tested in test_replay."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.capture import DropReason, SystemClock
from storage.counters import Tally, is_alive, read_tally
from storage.replay import SpoolReader
from storage.roster import read_roster
from storage.segments import segment_numbers, segment_path
from storage.spool import (
    PENDING_BYTES_MAX,
    RETRY_SECONDS,
    FrameKind,
    Part,
    SpoolLimits,
    SpoolWriter,
)
from tests.storage.calls import START_NS, StillClock, capture_of, id_of


@dataclass
class JumpingClock(StillClock):
    """A clock whose wall time is what somebody sets it to."""

    wall: int = START_NS

    def wall_ns(self) -> int:
        return self.wall


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size`: the nearest thing to a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def writer_in(spool: Path, **limits: float) -> SpoolWriter:
    return SpoolWriter(spool, limits=SpoolLimits(**limits), clock=SystemClock())  # type: ignore[arg-type]


def test_nothing_is_on_disk_before_the_flush_and_all_after_it(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    writer.append(FrameKind.CALL, capture_of(1))
    assert segment_numbers(writer.directory) == []
    writer.flush()
    assert len(SpoolReader(writer.directory).read(10, 10**6)) == 1
    assert read_tally(writer.directory).spooled == 1
    writer.close()


def test_a_segment_is_closed_by_size(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, segment_bytes=1000)
    for number in range(5):
        writer.append(FrameKind.CALL, capture_of(number, request=b"x" * 1000))
        writer.flush()
    writer.close()
    assert segment_numbers(writer.directory) == [1, 2, 3, 4, 5]


def test_a_segment_is_closed_by_age(tmp_path: Path) -> None:
    clock = StillClock()
    writer = SpoolWriter(tmp_path, limits=SpoolLimits(segment_seconds=60), clock=clock)
    for seconds in (0, 30, 61):
        clock.now_ns += seconds * 10**9
        writer.append(FrameKind.CALL, capture_of(seconds))
        writer.flush()
    writer.close()
    assert segment_numbers(writer.directory) == [1, 2]


def test_a_full_spool_takes_no_more_and_counts_calls_only(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, spool_bytes=100, segment_bytes=100)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    writer.measure()
    assert writer.full
    assert not writer.append(FrameKind.BEGIN, capture_of(2))
    assert not writer.append(FrameKind.END, capture_of(2))
    assert read_tally(writer.directory).dropped[DropReason.SPOOL_FULL] == 1
    writer.close()


def test_a_spool_that_was_emptied_takes_calls_again(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, spool_bytes=100, segment_bytes=100)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    writer.measure()
    segment_path(writer.directory, 1).unlink()
    writer.measure()
    assert writer.append(FrameKind.CALL, capture_of(2))
    writer.close()


def test_a_disk_that_refuses_is_tried_again_and_nothing_is_torn(tmp_path: Path) -> None:
    clock = StillClock()
    writer = SpoolWriter(tmp_path, limits=SpoolLimits(), clock=clock)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    writer.append(FrameKind.CALL, capture_of(2, request=b"x" * 5000))
    with file_size_limit(3000):
        writer.flush()
        assert not writer.healthy
        assert len(SpoolReader(writer.directory).read(10, 10**6)) == 1
    writer.flush()
    assert not writer.healthy, "too early: each try joins all that waits"
    clock.now_ns += int(RETRY_SECONDS * 1e9)
    writer.flush()
    assert writer.healthy
    assert len(SpoolReader(writer.directory).read(10, 10**6)) == 2
    writer.close()


def test_of_a_write_that_was_cut_short_the_whole_frames_stay(tmp_path: Path) -> None:
    clock = StillClock()
    writer = SpoolWriter(tmp_path, limits=SpoolLimits(), clock=clock)
    for number in range(5):
        writer.append(FrameKind.CALL, capture_of(number, request=b"x" * 1000))
    with file_size_limit(3000):
        writer.flush()
    seen = SpoolReader(writer.directory)
    assert len(seen.read(10, 10**6)) == read_tally(writer.directory).spooled == 2
    clock.now_ns += int(RETRY_SECONDS * 1e9)
    writer.flush()
    assert [frame.payload for frame in seen.read(10, 10**6)] == [
        capture_of(number, request=b"x" * 1000) for number in (2, 3, 4)
    ]
    assert (read_tally(writer.directory).spooled, seen.torn_bytes) == (5, 0)
    writer.close()


def test_a_segment_of_the_past_is_left_though_nothing_is_written(tmp_path: Path) -> None:
    clock = StillClock()
    writer = SpoolWriter(tmp_path, limits=SpoolLimits(segment_seconds=60), clock=clock)
    writer.append(FrameKind.CALL, capture_of(1))
    for seconds in (0, 59, 1, 120):
        clock.now_ns += seconds * 10**9
        writer.flush()
    assert segment_numbers(writer.directory) == [1, 2]
    writer.close()


def test_the_end_of_a_call_that_was_begun_is_taken_by_a_full_spool(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, spool_bytes=100)
    writer.append(FrameKind.BEGIN, capture_of(1))
    writer.flush()
    assert writer.full, "what this writer wrote counts at once"
    assert not writer.append(FrameKind.PART, Part(id_of(1), 1, True, b"x"))
    assert writer.append(FrameKind.END, capture_of(1))
    assert not writer.append(FrameKind.END, capture_of(1)), "once"
    writer.close()


def test_a_clock_that_jumps_changes_neither_order_nor_ages(tmp_path: Path) -> None:
    clock = JumpingClock()
    writer = SpoolWriter(tmp_path, limits=SpoolLimits(segment_seconds=60), clock=clock)
    for number, wall_ns in enumerate((START_NS, START_NS - 10**15, START_NS + 10**18)):
        clock.wall = wall_ns
        writer.append(FrameKind.CALL, capture_of(number))
        writer.flush()
    assert segment_numbers(writer.directory) == [1]
    read = SpoolReader(writer.directory).read(10, 10**6)
    assert [frame.payload for frame in read] == [capture_of(number) for number in range(3)]
    writer.close()


def test_a_folder_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    writer.counters.add("accepted", 3)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    shutil.rmtree(writer.directory)
    writer.measure()
    writer.append(FrameKind.CALL, capture_of(2))
    writer.flush()
    assert writer.healthy
    assert read_tally(writer.directory) == Tally(3, 2, 0, 0, dict.fromkeys(DropReason, 0))
    assert is_alive(writer.directory)
    read = SpoolReader(writer.directory).read(10, 10**6)
    assert [frame.payload for frame in read] == [capture_of(2)]
    writer.close()


def test_counters_that_were_taken_away_are_put_back(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    (writer.directory / "counters").unlink()
    (writer.directory / "calls").unlink()
    writer.measure()
    writer.append(FrameKind.CALL, capture_of(2))
    writer.flush()
    assert read_tally(writer.directory).spooled == 2
    assert len(SpoolReader(writer.directory).read(10, 10**6)) == 2
    writer.close()


def test_a_writer_that_finds_no_room_waits_for_it(tmp_path: Path) -> None:
    clock = StillClock()
    spool = tmp_path / "spool"
    spool.write_text("where the folder should be")
    writer = SpoolWriter(spool, limits=SpoolLimits(), clock=clock)
    assert not writer.healthy
    writer.counters.add("accepted")
    assert writer.append(FrameKind.CALL, capture_of(1))
    spool.unlink()
    writer.measure()
    clock.now_ns += int(RETRY_SECONDS * 1e9)
    writer.flush()
    assert writer.healthy
    assert read_tally(writer.directory).spooled == 1
    writer.close()


def test_ids_are_known_while_calls_are_open_and_when_they_are_dropped(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, spool_bytes=100)
    for number in (1, 2):
        writer.roster.enter(id_of(number))
    writer.append(FrameKind.CALL, capture_of(1))
    assert read_roster(writer.directory).open == {id_of(1), id_of(2)}, "not on the disk yet"
    writer.flush()
    assert read_roster(writer.directory).open == {id_of(2)}
    writer.append(FrameKind.CALL, capture_of(2))
    assert read_roster(writer.directory) == (set(), {id_of(2): DropReason.SPOOL_FULL})
    writer.close()


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    large = capture_of(1, request=b"x" * (PENDING_BYTES_MAX // 2))
    taken = [writer.append(FrameKind.CALL, large) for _ in range(5)]
    assert taken == [True, True, False, False, False]
    assert read_tally(writer.directory).dropped[DropReason.SPOOL_ERROR] == 3
    writer.close()


def test_syncing_leaves_nothing_to_sync(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, segment_bytes=100)
    for number in range(3):
        writer.append(FrameKind.CALL, capture_of(number))
        writer.flush()
    assert writer.unsynced
    writer.sync()
    assert not writer.unsynced
    writer.close()
