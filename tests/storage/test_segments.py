"""Tests of storage.segments."""

import os
from pathlib import Path

from storage.capture import SystemClock
from storage.segments import (
    RESERVED_BYTES,
    delete_writer,
    room_bytes,
    segment_numbers,
    segment_path,
    spool_bytes,
    sync_directory,
    writers,
)
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from tests.storage.calls import capture_of


def test_what_is_no_writers_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "stray").write_text("")
    assert writers(tmp_path) == []
    assert spool_bytes(tmp_path) == 0


def test_writers_are_listed_oldest_first(tmp_path: Path) -> None:
    both = [SpoolWriter(tmp_path, limits=SpoolLimits(), clock=SystemClock()) for _ in range(2)]
    assert writers(tmp_path) == [writer.id for writer in both]
    for writer in both:
        writer.append(FrameKind.CALL, capture_of(1))
        writer.close()
    assert spool_bytes(tmp_path) == sum(
        segment_path(writer.directory, 1).stat().st_size for writer in both
    )


def test_what_is_held_counts_as_spooled(tmp_path: Path) -> None:
    directory = tmp_path / ("a" * 32)
    directory.mkdir()
    (directory / "00000001.held").write_bytes(b"12345")
    (directory / "00000002.segment").write_bytes(b"123")
    (directory / "counters").write_bytes(b"not counted")
    assert spool_bytes(tmp_path) == 8
    assert segment_numbers(directory) == [2]
    assert segment_numbers(directory, ".held") == [1]
    sync_directory(directory)
    delete_writer(directory)
    assert writers(tmp_path) == []


def test_a_spool_leaves_room_on_its_disk(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    assert 0 < free - room_bytes(tmp_path) <= RESERVED_BYTES + 2**28  # others write here, too
    assert room_bytes(tmp_path / "not" / "there") > 2**60


def test_no_folder_is_an_empty_spool(tmp_path: Path) -> None:
    assert writers(tmp_path / "none") == []
    assert segment_numbers(tmp_path / "none") == []
    delete_writer(tmp_path / "none")
