"""Tests of storage.replay."""

import random
import shutil
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from storage.capture import Capture, SystemClock
from storage.counters import Counters
from storage.held import hold
from storage.replay import (
    HEAD_BYTES,
    START,
    SpoolReader,
    call_id_of,
    frame_bytes,
    raw_frames_at,
    read_frames,
    read_segment,
)
from storage.segments import segment_path
from storage.spool import (
    FRAME_HEADER,
    FrameKind,
    Part,
    Position,
    ResponseHead,
    SpoolError,
    SpoolLimits,
    SpoolWriter,
)
from storage.trace import Message, ToolCall
from tests.storage.calls import capture_of
from tests.storage.saying import label, score, verdict


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


def test_frames_are_read_by_their_places_and_what_is_lost_is_left_out(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 3)
    frames = SpoolReader(writer.directory).read(3, 10**6)
    wanted = [frames[2].position, Position(9, 12), frames[0].position]
    assert list(read_frames(writer.directory, wanted)) == [frames[0], frames[2]]
    writer.close()


def test_reading_frame_by_frame_stops_where_one_stops(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 3)
    reader = SpoolReader(writer.directory)
    first = next(reader.frames())
    assert reader.position == first.following
    writer.close()


def test_what_is_held_of_a_deleted_segment_is_read_in_its_place(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 4, segment_bytes=10)
    frames = SpoolReader(writer.directory).read(4, 10**6)
    kept = raw_frames_at(writer.directory, 2, [frames[1].position.offset])
    hold(writer.directory, 2, [(at, frame_bytes(frame)) for at, frame in kept])
    segment_path(writer.directory, 2).unlink()
    assert list(read_segment(writer.directory, 2)) == [frames[1]]
    assert list(read_frames(writer.directory, [frames[1].position])) == [frames[1]]
    writer.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_segment_of_every_version_is_read(version: int, tmp_path: Path) -> None:
    corpus = Path(__file__).parents[1] / "corpus" / "spool" / f"version_{version}.segment"
    shutil.copy(corpus, segment_path(tmp_path, 1))
    Counters(tmp_path).close()
    read = SpoolReader(tmp_path).read(10, 10**6)
    kinds = [FrameKind.CALL, FrameKind.BEGIN, FrameKind.RESPONSE, FrameKind.PART, FrameKind.END]
    kinds += [FrameKind.ERASED] * (version >= 2)
    kinds += [FrameKind.SCORE, FrameKind.LABEL, FrameKind.VERDICT] * (version >= 3)
    assert [frame.kind for frame in read] == kinds
    written = capture_of(1)  # but for what the makers of the corpus said otherwise
    answer = msgspec.structs.replace(written.response_body, length=20)
    assert read[0].payload == msgspec.structs.replace(
        written, id="1".zfill(32), response_body=answer
    )
    if version >= 3:
        rich = Message("assistant", None, (ToolCall("find", '{"city": "Zürich"}', "call_1"),))
        said = [score(2, 1, True, comment="naïve"), label(3, 1, message=rich), verdict(4, 1, 3)]
        assert [frame.payload for frame in read[6:]] == said


def test_the_id_of_a_call_is_found_without_decoding() -> None:
    part = Part(capture_of(7).id, 1, True, b"x")
    for payload in (capture_of(7), part):
        assert call_id_of(msgspec.msgpack.encode(payload)[:HEAD_BYTES]) == capture_of(7).id
    for strange in (b"", b"\xc1", msgspec.msgpack.encode(["short"])):
        assert call_id_of(strange) == ""


def test_the_first_segment_begins_behind_its_header() -> None:
    assert START == Position(1, 12)
