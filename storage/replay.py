"""Read a writer's spool in order, while it is being written; the format is in storage.spool.

A frame that is not whole yet is simply not there yet. In a segment the writer has left, or when
the writer is dead, it is a torn tail: skipped, and counted in `torn_bytes`. One that is whole and
cannot be decoded is handed on without a payload: it must not stop those behind it.
"""

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from storage.capture import Capture
from storage.counters import is_alive
from storage.spool import (
    FORMAT_VERSION,
    FRAME_BYTES_MAX,
    FRAME_HEADER,
    MAGIC,
    SEGMENT_HEADER,
    FrameKind,
    Part,
    Payload,
    Position,
    ResponseHead,
    SpoolError,
    segment_numbers,
    segment_path,
)

log = logging.getLogger(__name__)

START = Position(1, SEGMENT_HEADER.size)

_decode_capture = msgspec.msgpack.Decoder(Capture).decode
_decode_response_head = msgspec.msgpack.Decoder(ResponseHead).decode
_decode_part = msgspec.msgpack.Decoder(Part).decode


class Frame(NamedTuple):
    """One frame as it was read: where it stands, where the next one begins, what it holds."""

    position: Position
    following: Position
    kind: int
    payload: Payload | None  # None: whole and yet not to be understood


class SpoolReader:
    """Reads one writer's frames in order, from a position on, while they are being written."""

    def __init__(self, directory: Path, position: Position = START) -> None:
        self.position = position
        self.torn_bytes = 0
        self._directory = directory

    def read(self, frames_max: int, bytes_max: int) -> list[Frame]:
        """Read the next frames that are whole, at most so many and about so many bytes.

        An empty list means: nothing new now. Raises SpoolError for a segment of another version.
        """
        # Asked before looking: what a writer that is dead by now has written is all there.
        alive = is_alive(self._directory)
        frames: list[Frame] = []
        bytes_left = bytes_max
        while len(frames) < frames_max and bytes_left > 0:
            before = self.position
            for frame in _frames(self._directory, before, frames_max - len(frames)):
                frames.append(frame)
                self.position = frame.following
                bytes_left -= frame.following.offset - frame.position.offset
                if bytes_left <= 0:
                    break
            if self.position == before and not self._skip_to_next_segment(alive):
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
        if newer and next(_frames(self._directory, self.position, 1), None) is not None:
            return True
        self.torn_bytes += max(size - self.position.offset, 0)
        if newer:
            self.position = Position(newer[0], SEGMENT_HEADER.size)
        elif size > self.position.offset:
            self.position = Position(number, size)
        return bool(newer)


def read_frame(directory: Path, position: Position) -> Frame:
    """Read the one frame that stands at `position`. Raises SpoolError when none does."""
    for frame in _frames(directory, position, 1):
        return frame
    raise SpoolError(f"no frame at byte {position.offset} of segment {position.segment}")


def _frames(directory: Path, position: Position, frames_max: int) -> Iterator[Frame]:
    """Yield the whole frames of one segment from `position` on; stop at its end or a torn one."""
    path = segment_path(directory, position.segment)
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return
    with file:
        header = file.read(SEGMENT_HEADER.size)
        if len(header) < SEGMENT_HEADER.size:
            return
        magic, version = SEGMENT_HEADER.unpack(header)
        if magic != MAGIC or version != FORMAT_VERSION:
            raise SpoolError(
                f"{path} has spool format {version}, this shalt reads {FORMAT_VERSION}: "
                "let the version that wrote it store it first"
            )
        file.seek(position.offset)
        offset = position.offset
        for _ in range(frames_max):
            head = file.read(FRAME_HEADER.size)
            if len(head) < FRAME_HEADER.size:
                return
            length, checksum, kind = FRAME_HEADER.unpack(head)
            if length > FRAME_BYTES_MAX:
                return
            encoded = file.read(length)
            if len(encoded) < length or zlib.crc32(encoded, zlib.crc32(head[8:])) != checksum:
                return
            following = offset + FRAME_HEADER.size + length
            yield Frame(
                Position(position.segment, offset),
                Position(position.segment, following),
                kind,
                _decode(kind, encoded),
            )
            offset = following


def _decode(kind: int, encoded: bytes) -> Payload | None:
    try:
        if kind == FrameKind.PART:
            return _decode_part(encoded)
        if kind == FrameKind.RESPONSE:
            return _decode_response_head(encoded)
        if kind in (FrameKind.CALL, FrameKind.BEGIN, FrameKind.END):
            return _decode_capture(encoded)
    except msgspec.DecodeError as error:
        log.error("frame cannot be decoded kind=%d bytes=%d error=%s", kind, len(encoded), error)
        return None
    log.error("frame of an unknown kind kind=%d bytes=%d", kind, len(encoded))
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
