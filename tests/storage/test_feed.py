"""Tests of storage.feed; how it ends up in the store is tested in test_recorder."""

import tracemalloc
import zlib
from pathlib import Path

import msgspec
import pytest

from storage.capture import Body, Capture, Outcome, SystemClock
from storage.feed import BATCH_BYTES_MAX, Batch, Feed, assemble
from storage.held import held_numbers, held_path
from storage.replay import Frame
from storage.segments import segment_numbers, segment_path, spool_bytes
from storage.spool import (
    FRAME_HEADER,
    FrameKind,
    Part,
    Position,
    SpoolLimits,
    SpoolWriter,
)
from tests.storage.calls import capture_of, id_of


def writer_in(spool: Path, segment_bytes: int = 2**20) -> SpoolWriter:
    limits = SpoolLimits(segment_bytes=segment_bytes)
    return SpoolWriter(spool, limits=limits, clock=SystemClock())


def begin(writer: SpoolWriter, number: int) -> None:
    begun = msgspec.structs.replace(capture_of(number), response_body=Body(b"", 0))
    writer.append(FrameKind.BEGIN, begun)
    writer.flush()


def part(writer: SpoolWriter, number: int, elapsed_ns: int, data: bytes) -> None:
    writer.append(FrameKind.PART, Part(id_of(number), elapsed_ns, True, data))
    writer.flush()


def end(writer: SpoolWriter, number: int, length: int) -> None:
    ended = msgspec.structs.replace(
        capture_of(number), request_body=Body(b"", 2), response_body=Body(b"", length)
    )
    writer.append(FrameKind.END, ended)
    writer.flush()


def call(writer: SpoolWriter, number: int, request: bytes = b"{}") -> None:
    writer.append(FrameKind.CALL, capture_of(number, request=request))
    writer.flush()


def take_all(feed: Feed) -> list[Capture]:
    """Read and acknowledge until there is nothing new."""
    captures: list[Capture] = []
    while True:
        captures += feed.read().captures
        if not feed.moved:
            return captures
        feed.committed(feed.checkpoint())


def undecodable(writer: SpoolWriter, kind: int, data: bytes) -> None:
    checksum = zlib.crc32(data, zlib.crc32(bytes((kind,))))
    number = segment_numbers(writer.directory)[-1]
    with segment_path(writer.directory, number).open("ab") as segment:
        segment.write(FRAME_HEADER.pack(len(data), checksum, kind) + data)


def test_an_open_call_keeps_no_segment_and_loses_no_frame(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, segment_bytes=20_000)
    begin(writer, 1)
    feed = Feed(writer.directory, None)
    for number in range(2, 200):
        call(writer, number, b"x" * 1000)
        part(writer, 1, number, b"%d " % number)
        assert len(take_all(feed)) == 1
        assert len(segment_numbers(writer.directory)) <= 1
    assert spool_bytes(tmp_path) < 60_000, "of 220,000"
    answer = b"".join(b"%d " % number for number in range(2, 200))
    end(writer, 1, len(answer))
    (whole,) = take_all(feed)
    assert whole.response_body == Body(answer, len(answer))
    call(writer, 300, b"x" * 20_000)
    call(writer, 301)
    take_all(feed)
    assert held_numbers(writer.directory) == []
    writer.close()


@pytest.mark.parametrize("segment_bytes", [10, 3000])
def test_a_new_reader_finds_what_is_held(tmp_path: Path, segment_bytes: int) -> None:
    writer = writer_in(tmp_path, segment_bytes)
    begin(writer, 1)
    checkpoint = None
    for number in range(2, 30):
        call(writer, number, b"x" * 500)
        part(writer, 1, number, b".")
        feed = Feed(writer.directory, checkpoint)
        take_all(feed)
        checkpoint = feed.last_checkpoint
    end(writer, 1, 28)
    (whole,) = take_all(Feed(writer.directory, checkpoint))
    assert whole.response_body == Body(b"." * 28, 28)
    writer.close()


def test_killed_between_holding_and_deleting_nothing_is_read_twice(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, segment_bytes=10)
    begin(writer, 1)
    part(writer, 1, 5, b"once")
    segment = segment_path(writer.directory, 1).read_bytes()
    call(writer, 2)
    feed = Feed(writer.directory, None)
    take_all(feed)
    segment_path(writer.directory, 1).write_bytes(segment)
    again = Feed(writer.directory, feed.last_checkpoint)
    end(writer, 1, 4)
    (whole,) = take_all(again)
    assert whole.response_body == Body(b"once", 4)
    assert not segment_path(writer.directory, 1).exists()
    writer.close()


def test_what_ended_calls_left_in_a_held_file_goes_with_the_next_segment(tmp_path: Path) -> None:
    writer = writer_in(tmp_path, segment_bytes=5000)
    begin(writer, 1)
    writer.append(FrameKind.BEGIN, capture_of(2, request=b"x" * 20_000))
    call(writer, 3)
    call(writer, 4)
    feed = Feed(writer.directory, None)
    take_all(feed)
    assert held_path(writer.directory, 1).stat().st_size > 20_000
    end(writer, 2, 20)
    call(writer, 5, b"x" * 5000)
    call(writer, 6)
    take_all(feed)
    assert held_path(writer.directory, 1).stat().st_size < 1000
    writer.close()


def test_a_call_of_one_frame_comes_with_its_bytes_and_one_of_several_without(
    tmp_path: Path,
) -> None:
    writer = writer_in(tmp_path)
    begin(writer, 1)
    call(writer, 2)
    end(writer, 1, 0)
    batch = Feed(writer.directory, None).read()
    assert [capture.id for capture in batch.captures] == [id_of(2), id_of(1)]
    assert batch.encoded == [msgspec.msgpack.encode(batch.captures[0]), b""]
    writer.close()


def test_a_batch_ends_with_the_call_that_makes_it_large(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    for number in (1, 2, 3):
        begin(writer, number)
        part(writer, number, 5, b"x" * BATCH_BYTES_MAX)
    for number in (1, 2, 3):
        end(writer, number, BATCH_BYTES_MAX)
    feed = Feed(writer.directory, None)
    sizes = [len(feed.read().captures) for _ in range(7)]
    assert sizes == [0, 0, 0, 1, 1, 1, 0]
    writer.close()


def test_a_long_call_is_put_together_in_little_more_than_its_own_memory(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    begin(writer, 1)
    for _ in range(80):
        part(writer, 1, 5, b"x" * 100_000)
    end(writer, 1, 8_000_000)
    feed = Feed(writer.directory, None)
    tracemalloc.start()
    (capture,) = feed.read().captures
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert capture.response_body.data == b"x" * 8_000_000
    assert peak < 12_000_000
    writer.close()


def test_interrupted_calls_come_in_batches_too(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    for number in (1, 2, 3):
        begin(writer, number)
        part(writer, number, 5, b"x" * BATCH_BYTES_MAX)
    writer.close()
    feed = Feed(writer.directory, None)
    while feed.read() != Batch() or feed.moved:
        feed.committed(feed.checkpoint())
    batches = [feed.take_interrupted() for _ in range(4)]
    assert [len(batch.captures) for batch in batches] == [1, 1, 1, 0]
    assert batches[0].captures[0].outcome is Outcome.INTERRUPTED


def test_an_end_without_a_beginning_is_a_truncated_record(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    end(writer, 1, 500)
    (capture,) = take_all(Feed(writer.directory, None))
    assert (capture.request_body.truncated, capture.response_body.truncated) == (True, True)
    writer.close()


@pytest.mark.parametrize("kind", [FrameKind.BEGIN, FrameKind.RESPONSE, FrameKind.END, 99])
def test_a_frame_of_a_call_that_cannot_be_decoded_gives_up_that_call_alone(
    tmp_path: Path, kind: int
) -> None:
    writer = writer_in(tmp_path)
    call(writer, 1)
    if kind != FrameKind.BEGIN:
        begin(writer, 2)
        part(writer, 2, 5, b"data")
    undecodable(writer, kind, msgspec.msgpack.encode([id_of(2), "of another version"]))
    if kind == FrameKind.END:
        undecodable(writer, FrameKind.CALL, b"\xc1")
    else:
        undecodable(writer, FrameKind.END, msgspec.msgpack.encode(capture_of(2)))
    batch = Feed(writer.directory, None).read()
    assert [capture.id for capture in batch.captures] == [id_of(1)]
    given_up = batch.undigested[0]
    assert given_up.call_id == id_of(2)
    assert kind in [frame_kind for frame_kind, _ in given_up.frames]
    if kind == FrameKind.END:
        assert batch.undigested[1].call_id == ""
    writer.close()


def test_an_interrupted_call_without_its_beginning_cannot_be_made() -> None:
    place = Position(1, 12)
    only = Frame(place, place, FrameKind.PART, Part(id_of(1), 5, True, b"x"), b"")
    assert assemble([only]) is None
    assert assemble([]) is None
