"""Tests of storage.spool: writing. Reading it back is tested in test_replay."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.capture import DropReason, SystemClock
from storage.counters import read_tally
from storage.replay import SpoolReader
from storage.spool import (
    PENDING_BYTES_MAX,
    FrameKind,
    SpoolLimits,
    SpoolWriter,
    segment_numbers,
    segment_path,
    spool_bytes,
    writers,
)
from tests.storage.calls import StillClock, capture_of


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


@pytest.mark.filterwarnings("ignore")
def test_a_disk_that_refuses_is_tried_again_and_nothing_is_torn(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    writer.append(FrameKind.CALL, capture_of(2, request=b"x" * 5000))
    with file_size_limit(3000):
        writer.flush()
        assert not writer.healthy
        assert len(SpoolReader(writer.directory).read(10, 10**6)) == 1
    writer.flush()
    assert writer.healthy
    assert len(SpoolReader(writer.directory).read(10, 10**6)) == 2
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


def test_what_is_no_writers_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "stray").write_text("")
    assert writers(tmp_path) == []
    assert spool_bytes(tmp_path) == 0


def test_writers_are_listed_oldest_first(tmp_path: Path) -> None:
    both = [writer_in(tmp_path), writer_in(tmp_path)]
    assert writers(tmp_path) == [writer.id for writer in both]
    for writer in both:
        writer.append(FrameKind.CALL, capture_of(1))
        writer.close()
    assert spool_bytes(tmp_path) == sum(
        segment_path(writer.directory, 1).stat().st_size for writer in both
    )
