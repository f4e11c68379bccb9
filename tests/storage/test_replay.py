"""Tests of storage.replay."""

import random
import struct
import zlib
from pathlib import Path

import pytest

from storage.capture import Capture, SystemClock
from storage.replay import START, SpoolReader, read_frame
from storage.spool import (
    FRAME_HEADER,
    FrameKind,
    Part,
    Position,
    ResponseHead,
    SpoolError,
    SpoolLimits,
    SpoolWriter,
    delete_segments,
    segment_numbers,
    segment_path,
)
from tests.storage.calls import capture_of


def spool_of(spool: Path, count: int, segment_bytes: int = 2**20) -> SpoolWriter:
    limits = SpoolLimits(segment_bytes=segment_bytes)
    writer = SpoolWriter(spool, limits=limits, clock=SystemClock())
    for number in range(count):
        writer.append(FrameKind.CALL, capture_of(number))
        writer.flush()
    return writer


def ids(reader: SpoolReader) -> list[str]:
    found = []
    while frames := reader.read(3, 10**6):
        found += [frame.payload.id for frame in frames if frame.payload is not None]
    return found


def test_frames_come_back_as_they_were_across_segments(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 10, segment_bytes=1000)
    assert ids(SpoolReader(writer.directory)) == [capture_of(number).id for number in range(10)]
    writer.close()


def test_every_kind_of_frame_comes_back_equal(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 0)
    payloads: list[tuple[FrameKind, Capture | ResponseHead | Part]] = [
        (FrameKind.BEGIN, capture_of(1)),
        (FrameKind.RESPONSE, ResponseHead("a", 5, 200, [(b"x", b"\xff")])),
        (FrameKind.PART, Part("a", 6, True, b"\x00\xff")),
        (FrameKind.END, capture_of(2)),
    ]
    for kind, payload in payloads:
        writer.append(kind, payload)
    writer.close()
    read = SpoolReader(writer.directory).read(10, 10**6)
    assert [(frame.kind, frame.payload) for frame in read] == payloads


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 5)
    first = SpoolReader(writer.directory)
    first.read(2, 10**6)
    assert ids(SpoolReader(writer.directory, first.position)) == [
        capture_of(number).id for number in (2, 3, 4)
    ]
    writer.close()


def test_a_limit_of_bytes_ends_a_batch(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 5)
    assert len(SpoolReader(writer.directory).read(100, 1)) == 1
    writer.close()


def test_nothing_new_is_an_empty_list_and_later_frames_are_found(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1, segment_bytes=10)
    reader = SpoolReader(writer.directory)
    assert len(reader.read(10, 10**6)) == 1
    assert reader.read(10, 10**6) == []
    writer.append(FrameKind.CALL, capture_of(2))
    writer.flush()
    assert len(reader.read(10, 10**6)) == 1
    writer.close()


def test_a_frame_cut_at_every_byte_is_not_there_and_the_rest_is(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 2)
    path = segment_path(writer.directory, 1)
    whole = path.read_bytes()
    second = SpoolReader(writer.directory).read(1, 10**6)[0].following.offset
    writer.close()
    for size in range(second, len(whole)):
        path.write_bytes(whole[:size])
        reader = SpoolReader(writer.directory)
        assert ids(reader) == [capture_of(0).id]
        assert reader.torn_bytes == size - second


def test_a_living_writers_unfinished_frame_is_waited_for(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1)
    path = segment_path(writer.directory, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    reader = SpoolReader(writer.directory)
    assert reader.read(10, 10**6) == []
    path.write_bytes(whole)
    assert len(reader.read(10, 10**6)) == 1
    assert reader.torn_bytes == 0
    writer.close()


def test_a_torn_tail_is_skipped_and_the_next_segment_read(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 3, segment_bytes=10)
    path = segment_path(writer.directory, 2)
    path.write_bytes(path.read_bytes()[:-5])
    reader = SpoolReader(writer.directory)
    assert ids(reader) == [capture_of(0).id, capture_of(2).id]
    assert reader.torn_bytes > 0
    writer.close()


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_never_come_back_as_a_frame(tmp_path: Path, seed: int) -> None:
    writer = spool_of(tmp_path, 3)
    writer.close()
    path = segment_path(writer.directory, 1)
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)
    data[chance.randrange(12, len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    known = [capture_of(number) for number in range(3)]
    read = SpoolReader(writer.directory).read(10, 10**6)
    assert [frame.payload for frame in read] == known[: len(read)]


def test_a_version_of_the_future_is_refused_and_left_alone(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1)
    path = segment_path(writer.directory, 1)
    path.write_bytes(b"SHALTSPL" + struct.pack("<I", 99) + path.read_bytes()[12:])
    with pytest.raises(SpoolError, match="spool format 99"):
        SpoolReader(writer.directory).read(10, 10**6)
    assert path.exists()
    writer.close()


def test_a_whole_frame_that_cannot_be_decoded_stops_nothing_behind_it(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 2)
    path = segment_path(writer.directory, 1)
    strange = [(FrameKind.CALL, b"\xc1 no MessagePack"), (99, b"of another time")]
    frames = b"".join(
        FRAME_HEADER.pack(len(data), zlib.crc32(data, zlib.crc32(bytes((kind,)))), kind) + data
        for kind, data in strange
    )
    whole = path.read_bytes()
    first = SpoolReader(writer.directory).read(1, 1)[0].following.offset
    path.write_bytes(whole[:first] + frames + whole[first:])
    read = SpoolReader(writer.directory).read(10, 10**6)
    assert [frame.payload is None for frame in read] == [False, True, True, False]
    writer.close()


def test_one_frame_is_read_by_its_place(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 3)
    frames = SpoolReader(writer.directory).read(3, 10**6)
    assert read_frame(writer.directory, frames[1].position) == frames[1]
    with pytest.raises(SpoolError, match="no frame at byte"):
        read_frame(writer.directory, Position(9, 12))
    writer.close()


def test_only_segments_before_a_number_are_deleted(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 4, segment_bytes=10)
    delete_segments(writer.directory, before=3)
    assert segment_numbers(writer.directory) == [3, 4]
    assert START == Position(1, 12)
    writer.close()
