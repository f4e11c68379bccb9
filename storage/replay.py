"""Read a writer's spool in order, while it is being written; the format is in storage.spool.

A frame that is not whole yet is simply not there yet. In a segment the writer has left, or when
the writer is dead, it is a torn tail: skipped, and counted in `torn_bytes`. One that is whole and
cannot be decoded is handed on without a payload: it must not stop those behind it.
"""

import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from storage.capture import Capture
from storage.counters import is_alive
from storage.held import HEADER, HEADER_BYTES, OFFSET, held_path
from storage.labels import Label, Said, Score, Verdict, decode_label
from storage.segments import segment_numbers, segment_path
from storage.spool import (
    FRAME_BYTES_MAX,
    FRAME_HEADER,
    MAGIC,
    READABLE_VERSIONS,
    SEGMENT_HEADER,
    FrameKind,
    Part,
    Payload,
    Position,
    ResponseHead,
    SpoolError,
)

log = logging.getLogger(__name__)

START = Position(1, SEGMENT_HEADER.size)
# An id is the first field of every payload: an array of up to 15 or up to 65,535, a string of 32.
_ID_HEADS: Final = ((1, b"\xd9\x20"), (3, b"\xd9\x20"))
_ID_CHARACTERS: Final = 32
HEAD_BYTES: Final = 3 + 2 + _ID_CHARACTERS
_HEAD_READ: Final = FRAME_HEADER.size + HEAD_BYTES
# Of a segment at once: two calls of the system for each frame are a third of reading it.
_READ_BYTES: Final = 2**18

_decode_capture = msgspec.msgpack.Decoder(Capture).decode
_DECODERS: Final[dict[int, Callable[[bytes], Payload]]] = {
    FrameKind.CALL: _decode_capture,
    FrameKind.BEGIN: _decode_capture,
    FrameKind.RESPONSE: msgspec.msgpack.Decoder(ResponseHead).decode,
    FrameKind.PART: msgspec.msgpack.Decoder(Part).decode,
    FrameKind.END: _decode_capture,
    FrameKind.SCORE: msgspec.msgpack.Decoder(Score).decode,
    FrameKind.LABEL: decode_label,
    FrameKind.VERDICT: msgspec.msgpack.Decoder(Verdict).decode,
}


class RawFrame(NamedTuple):
    """One whole frame, not decoded: where its header stands in its file, and its payload."""

    at: int
    kind: int
    encoded: bytes

    @property
    def following(self) -> int:
        """Where the next frame begins in the file."""
        return self.at + FRAME_HEADER.size + len(self.encoded)


class Frame(NamedTuple):
    """One frame as it was read: where it stands, where the next one begins, what it holds."""

    position: Position
    following: Position
    kind: int
    payload: Payload | None  # None: ERASED, or whole and yet not to be understood
    encoded: bytes  # the payload as it stands there

    @property
    def size(self) -> int:
        """Bytes it takes in the segment."""
        return self.following.offset - self.position.offset


class SpoolReader:
    """Reads one writer's frames in order, from a position on, while they are being written."""

    def __init__(self, directory: Path, position: Position = START) -> None:
        self.position = position
        self.torn_bytes = 0
        self._directory = directory

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that are whole now; `position` is behind the last one yielded.

        Raises SpoolError for a segment of another version.
        """
        # Asked before looking: what a writer that is dead by now has written is all there.
        alive = is_alive(self._directory)
        while True:
            before = self.position
            for frame in _frames(self._directory, before):
                self.position = frame.following
                yield frame
            if self.position == before and not self._skip_to_next_segment(alive):
                return

    def read(self, frames_max: int, bytes_max: int) -> list[Frame]:
        """Read the next frames that are whole, at most so many and about so many bytes.

        An empty list means: nothing new now.
        """
        frames: list[Frame] = []
        for frame in self.frames():
            frames.append(frame)
            bytes_max -= frame.size
            if bytes_max <= 0 or len(frames) >= frames_max:
                break
        return frames

    def _skip_to_next_segment(self, alive: bool) -> bool:
        """Go on to the next segment if this one is done with; tell whether there was one.

        A segment is done with when a newer one exists, for the writer has left it then; what
        still stands between the position and its end is a torn tail.
        """
        number = self.position.segment
        newer = [n for n in segment_numbers(self._directory) if n > number]
        if not newer and alive:
            return False
        size = _size(segment_path(self._directory, number))
        # The writer may have added frames to this segment after the last look at it.
        if newer and next(_frames(self._directory, self.position), None) is not None:
            return True
        self.torn_bytes += max(size - self.position.offset, 0)
        if newer:
            self.position = Position(newer[0], SEGMENT_HEADER.size)
        elif size > self.position.offset:
            self.position = Position(number, size)
        return bool(newer)


def read_segment(directory: Path, number: int) -> Iterator[Frame]:
    """Yield all frames of one segment, or what is held of it where it has been deleted."""
    if segment_path(directory, number).exists():
        yield from _frames(directory, Position(number, SEGMENT_HEADER.size))
    else:
        for offset, frame in held_frames(directory, number):
            yield _frame_of(number, offset, frame)


def read_frames(directory: Path, positions: Iterable[Position]) -> Iterator[Frame]:
    """Yield the frames that stand at these positions, by ascending position.

    A frame that is no longer there or no longer whole is left out, with a line in the log.
    """
    for number, group in groupby(sorted(positions), key=attrgetter("segment")):
        wanted = [position.offset for position in group]
        found = 0
        for offset, frame in raw_frames_at(directory, number, wanted):
            found += 1
            yield _frame_of(number, offset, frame)
        if found < len(wanted):
            lost = len(wanted) - found
            log.error("frames cannot be read dir=%s segment=%d lost=%d", directory, number, lost)


def raw_frames_at(
    directory: Path, number: int, offsets: Iterable[int]
) -> Iterator[tuple[int, RawFrame]]:
    """Yield offset and frame of those that stand at these offsets, ascending, of a segment."""
    try:
        file = _open_segment(directory, number)
    except FileNotFoundError:
        wanted = set(offsets)
        for offset, frame in held_frames(directory, number):
            if offset in wanted:
                yield offset, frame
        return
    with file:
        for offset in offsets:
            file.seek(offset)
            found = _read_raw(file, offset)
            if found is not None:
                yield offset, found


def raw_frames(directory: Path, position: Position) -> Iterator[RawFrame]:
    """Yield the whole frames of one segment from `position` on; stop at its end or a torn one."""
    try:
        file = _open_segment(directory, position.segment)
    except FileNotFoundError:
        return
    with file:
        yield from _raw_from(file, position.offset)


def raw_frames_of(path: Path) -> Iterator[RawFrame]:
    """Yield the whole frames of a file that is like a segment. Raise as `raw_frames` does."""
    with _open_frames(path) as file:
        yield from _raw_from(file, SEGMENT_HEADER.size)


def held_frames(directory: Path, number: int) -> Iterator[tuple[int, RawFrame]]:
    """Yield what is held of a deleted segment: where each frame stood in it, and the frame."""
    try:
        file = open(held_path(directory, number), "rb")
    except FileNotFoundError:
        return
    with file:
        if file.read(HEADER_BYTES) != HEADER:
            raise SpoolError(f"{file.name} is of another shalt: let that store it first")
        at = HEADER_BYTES
        while len(place := file.read(OFFSET.size)) == OFFSET.size:
            frame = _read_raw(file, at + OFFSET.size)
            if frame is None:
                return
            yield OFFSET.unpack(place)[0], frame
            at = frame.following


def read_heads(directory: Path, position: Position) -> Iterator[tuple[Position, int, str]]:
    """Yield place, kind and call of every frame from `position` on, without reading it all.

    Nothing is checked, so what is being written may come as it is. About a microsecond a frame.
    """
    for number in segment_numbers(directory):
        if number < position.segment:
            continue
        at = position.offset if number == position.segment else SEGMENT_HEADER.size
        try:
            file = _open_segment(directory, number)
        except FileNotFoundError:
            continue
        with file:
            while len(head := os.pread(file.fileno(), _HEAD_READ, at)) > FRAME_HEADER.size:
                length, _, kind = FRAME_HEADER.unpack_from(head)
                if length > FRAME_BYTES_MAX:
                    break
                yield Position(number, at), kind, call_id_of(head[FRAME_HEADER.size :])
                at += FRAME_HEADER.size + length


def frame_bytes(frame: RawFrame) -> bytes:
    """Put a frame together again as it stands in a segment."""
    checksum = erased_checksum(len(frame.encoded))
    if frame.kind != FrameKind.ERASED:
        checksum = zlib.crc32(frame.encoded, zlib.crc32(bytes((frame.kind,))))
    return FRAME_HEADER.pack(len(frame.encoded), checksum, frame.kind) + frame.encoded


def erased_checksum(length: int) -> int:
    """Return the checksum of an ERASED frame: of its header alone, so that the payload can go."""
    return zlib.crc32(struct.pack("<IB", length, FrameKind.ERASED))


def call_id_of(encoded: bytes) -> str:
    """Return the id that a payload begins with, empty where it has none that can be read.

    Cheaper than decoding, and possible where that is not. The first HEAD_BYTES are enough.
    """
    for at, head in _ID_HEADS:
        if encoded.startswith(head, at):
            found = encoded[at + len(head) : at + len(head) + _ID_CHARACTERS]
            if len(found) == _ID_CHARACTERS and found.isalnum() and found.isascii():
                return found.decode()
    return ""


def kind_of(payload: Capture | Said) -> FrameKind:
    """Name the kind of frame that holds all of a call, or of what was said of one."""
    if isinstance(payload, Capture):
        return FrameKind.CALL
    if isinstance(payload, Score):
        return FrameKind.SCORE
    return FrameKind.LABEL if isinstance(payload, Label) else FrameKind.VERDICT


def decode(kind: int, encoded: bytes) -> Payload | None:
    """Decode a payload; None, with a line in the log, where this version cannot."""
    if kind == FrameKind.ERASED:
        return None
    if kind not in _DECODERS:
        log.error("frame of an unknown kind kind=%d bytes=%d", kind, len(encoded))
        return None
    try:
        return _DECODERS[kind](encoded)
    except msgspec.DecodeError as error:
        log.error("frame cannot be decoded kind=%d bytes=%d error=%s", kind, len(encoded), error)
        return None


def _frames(directory: Path, position: Position) -> Iterator[Frame]:
    for frame in raw_frames(directory, position):
        yield _frame_of(position.segment, frame.at, frame)


def _frame_of(number: int, offset: int, frame: RawFrame) -> Frame:
    payload = decode(frame.kind, frame.encoded)
    end = offset + frame.following - frame.at
    return Frame(
        Position(number, offset), Position(number, end), frame.kind, payload, frame.encoded
    )


def _open_segment(directory: Path, number: int) -> BinaryIO:
    """Open a segment; raise FileNotFoundError where there is none, or none with a whole header."""
    return _open_frames(segment_path(directory, number))


def _open_frames(path: Path) -> BinaryIO:
    file = open(path, "rb", buffering=_READ_BYTES)
    # Past the buffer, which would be filled from the file's beginning, at every look for news.
    header = os.pread(file.fileno(), SEGMENT_HEADER.size, 0)
    if len(header) < SEGMENT_HEADER.size:
        file.close()
        raise FileNotFoundError(path)
    magic, version = SEGMENT_HEADER.unpack(header)
    if magic != MAGIC or version not in READABLE_VERSIONS:
        file.close()
        raise SpoolError(
            f"{path} has spool format {version}, this shalt reads "
            f"{', '.join(map(str, READABLE_VERSIONS))}: let the version that wrote it store it "
            "first"
        )
    return file


def _raw_from(file: BinaryIO, at: int) -> Iterator[RawFrame]:
    file.seek(at)
    while (frame := _read_raw(file, at)) is not None:
        yield frame
        at = frame.following


def _read_raw(file: BinaryIO, at: int) -> RawFrame | None:
    """Read the frame that begins where the file stands, at byte `at`; None if it is not whole."""
    head = file.read(FRAME_HEADER.size)
    if len(head) < FRAME_HEADER.size:
        return None
    length, checksum, kind = FRAME_HEADER.unpack(head)
    if length > FRAME_BYTES_MAX:
        return None
    encoded = file.read(length)
    if len(encoded) < length:
        return None
    if kind == FrameKind.ERASED:
        return RawFrame(at, kind, encoded) if checksum == erased_checksum(length) else None
    if zlib.crc32(encoded, zlib.crc32(head[8:])) != checksum:
        return None
    return RawFrame(at, kind, encoded)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
