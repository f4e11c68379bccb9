"""Tests of storage.blanking."""

from pathlib import Path

import pytest

from storage.blanking import blank_calls
from storage.capture import SystemClock
from storage.held import hold
from storage.replay import SpoolReader, erased_checksum, frame_bytes, raw_frames_at
from storage.segments import segment_path
from storage.spool import FRAME_HEADER, FrameKind, Part, Position, SpoolLimits, SpoolWriter
from tests.storage.calls import capture_of, id_of

PLANTED = b"planted text"
ALL = Position(99, 0)


def spool_of(spool: Path, *numbers: int) -> SpoolWriter:
    """A spool with these calls in one segment; each holds the planted text and its number."""
    writer = SpoolWriter(spool, limits=SpoolLimits(), clock=SystemClock())
    for number in numbers:
        writer.append(FrameKind.CALL, capture_of(number, request=PLANTED + b" %d." % number))
    writer.flush()
    return writer


def left(directory: Path) -> list[object]:
    """The calls that can be read."""
    frames = SpoolReader(directory).read(100, 10**7)
    return [frame.payload.id for frame in frames if frame.payload is not None]


def test_an_erased_call_is_zeros_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1, 2, 3)
    size = segment_path(writer.directory, 1).stat().st_size
    assert blank_calls(writer.directory, [id_of(2), id_of(9)], ALL) == 1
    assert left(writer.directory) == [id_of(1), id_of(3)]
    data = segment_path(writer.directory, 1).read_bytes()
    assert PLANTED + b" 2." not in data
    assert id_of(2).encode() not in data
    assert (len(data), PLANTED + b" 3." in data) == (size, True)
    writer.append(FrameKind.CALL, capture_of(4))
    writer.flush()
    assert left(writer.directory) == [id_of(1), id_of(3), id_of(4)]
    assert SpoolReader(writer.directory).torn_bytes == 0
    writer.close()


def test_every_frame_of_a_long_call_goes(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1)
    writer.append(FrameKind.BEGIN, capture_of(2, request=PLANTED))
    writer.append(FrameKind.PART, Part(id_of(2), 5, True, PLANTED))
    writer.append(FrameKind.END, capture_of(2))
    writer.flush()
    assert blank_calls(writer.directory, {id_of(2)}, ALL) == 3
    assert segment_path(writer.directory, 1).read_bytes().count(PLANTED) == 1
    writer.close()


def test_what_the_reader_has_not_passed_is_left(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1, 2, 3)
    reader = SpoolReader(writer.directory)
    reader.read(2, 10**6)
    erased = blank_calls(writer.directory, [id_of(1), id_of(3)], reader.position)
    assert (erased, left(writer.directory)) == (1, [id_of(2), id_of(3)])
    writer.close()


def test_what_is_held_of_a_deleted_segment_is_erased_too(tmp_path: Path) -> None:
    writer = spool_of(tmp_path, 1, 2)
    frames = SpoolReader(writer.directory).read(2, 10**6)
    kept = raw_frames_at(writer.directory, 1, [frame.position.offset for frame in frames])
    hold(writer.directory, 1, [(at, frame_bytes(frame)) for at, frame in kept])
    segment_path(writer.directory, 1).unlink()
    assert blank_calls(writer.directory, [id_of(2)], ALL) == 1
    data = (writer.directory / "00000001.held").read_bytes()
    assert (PLANTED + b" 1." in data, PLANTED + b" 2." in data) == (True, False)
    writer.close()


@pytest.mark.parametrize("zeroed", [0, 1, 50, 10**6])
def test_killed_in_the_middle_it_can_be_read_and_finished(tmp_path: Path, zeroed: int) -> None:
    writer = spool_of(tmp_path, 1, 2, 3)
    frame = SpoolReader(writer.directory).read(2, 10**6)[1]
    path = segment_path(writer.directory, 1)
    data = bytearray(path.read_bytes())
    payload = frame.position.offset + FRAME_HEADER.size
    length = frame.following.offset - payload
    header = FRAME_HEADER.pack(length, erased_checksum(length), FrameKind.ERASED)
    data[frame.position.offset : payload] = header
    done = min(zeroed, length)
    data[payload : payload + done] = bytes(done)
    path.write_bytes(data)
    assert left(writer.directory) == [id_of(1), id_of(3)]
    blank_calls(writer.directory, [id_of(2)], ALL)
    assert PLANTED + b" 2." not in path.read_bytes()
    assert left(writer.directory) == [id_of(1), id_of(3)]
    assert blank_calls(writer.directory, [id_of(2)], ALL) == 0
    writer.close()
