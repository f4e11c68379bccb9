"""Append-only segment files between the worker and the recorder: append, replay, acknowledge.

This docstring is the format document, version 1.

A data directory has one folder per writer, and a writer is one run of one worker:

    spool/<writer id>/counters            what the writer counted (storage.counters)
    spool/<writer id>/00000001.segment    segments, numbered from 1 without gaps
    spool/<writer id>/00000002.segment

A segment is the 12 bytes `SHALTSPL` + version (u32), then frames until its end. All integers are
little-endian. A frame is

    length   u32    bytes of the payload
    crc32    u32    zlib.crc32 of kind and payload
    kind     u8     FrameKind
    payload         MessagePack

    CALL      Capture                            a call that was short, whole
    BEGIN     Capture                            a long call, as far as it had come
    RESPONSE  [id, elapsed_ns, status, headers]  the head of its answer
    PART      [id, elapsed_ns, 0|1, bytes]       more of its request (0) or response (1) body
    END       Capture, its bodies' data empty    how it ended; lengths and hashes are of everything

Invariants. A writer appends to its newest segment only and never touches an older one. A frame is
whole or it is the torn tail of a dead writer: the reader skips from the first frame that does not
check to the end of that segment and counts the bytes. BEGIN without END, the writer dead: the call
was interrupted and is recorded as far as it came. A call's frames may be spread over segments.
A segment is deleted by the reader alone, after a synced commit that covers all of it, and only
when no call begun in it is still open. A new file format gets a new version number; a reader
refuses versions it does not know and leaves the segment in place.

What a crash can lose: a process kill, what was appended but not flushed (one turn of the event
loop); a power cut, what was not yet synced (SYNC_SECONDS with `interval`, nothing with `always`).
"""

import os
import re
import shutil
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from storage.capture import Capture, Clock, DropReason, Headers, new_id
from storage.counters import Counters

FORMAT_VERSION = 1
MAGIC = b"SHALTSPL"
SEGMENT_HEADER = struct.Struct("<8sI")
FRAME_HEADER = struct.Struct("<IIB")
_WRITER_ID = re.compile(r"[0-9a-f]{32}")  # whatever else lies there is not ours
SYNC_SECONDS = 0.2
# A frame holds at most one capture with both bodies at their limit; anything longer is damage.
FRAME_BYTES_MAX = 512 * 2**20
# What may wait in memory while the disk refuses to take it; beyond it calls are dropped, counted.
PENDING_BYTES_MAX = 32 * 2**20

_encode = msgspec.msgpack.Encoder().encode


class FrameKind(IntEnum):
    """What a frame holds; see the module docstring."""

    CALL = 1
    BEGIN = 2
    RESPONSE = 3
    PART = 4
    END = 5


class ResponseHead(msgspec.Struct, frozen=True, array_like=True):
    """Payload of a RESPONSE frame."""

    id: str
    elapsed_ns: int
    status_code: int
    headers: Headers


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Payload of a PART frame. `of_response` tells which body it continues."""

    id: str
    elapsed_ns: int
    of_response: bool
    data: bytes


Payload = Capture | ResponseHead | Part


class Position(NamedTuple):
    """A place in a writer's spool: the segment's number and a byte offset in it."""

    segment: int
    offset: int


class SpoolError(Exception):
    """The spool cannot be used; the message says what to do."""


@dataclass(frozen=True)
class SpoolLimits:
    """When a segment is closed, and how much may lie in the spool of one data directory."""

    spool_bytes: int = 8 * 2**30
    segment_bytes: int = 64 * 2**20
    segment_seconds: float = 300.0


class SpoolWriter:
    """Appends the frames of one worker. Not for threads, but for `sync`, which may run in one.

    `append` only collects; `flush` is the one write. Nothing here raises because of the disk:
    what could not be kept is counted under its DropReason, and `healthy` says how things stand.
    """

    def __init__(self, spool: Path, *, limits: SpoolLimits, clock: Clock) -> None:
        self.id = new_id(clock)
        self.directory = spool / self.id
        self.healthy = True
        self.full = False
        self._spool = spool
        self._limits = limits
        self._clock = clock
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._pending_calls = 0
        self._segment = 0
        self._file = -1
        self._offset = 0
        self._opened_ns = 0
        self._unsynced = False
        self._directory_unsynced = False
        self._retired: list[int] = []  # files of segments that are over, to be synced and closed
        # The reader must never see a writer without its lock: prepare aside, then rename.
        aside = spool / f".{self.id}"
        aside.mkdir(parents=True)
        self.counters = Counters(aside)
        aside.rename(self.directory)

    def append(self, kind: FrameKind, payload: Payload) -> bool:
        """Queue a frame for the next `flush`; tell whether it was taken.

        CALL and END frames that are not taken are counted as dropped calls.
        """
        final = kind is FrameKind.CALL or kind is FrameKind.END
        if self.full or self._pending_bytes > PENDING_BYTES_MAX:
            if final:
                reason = DropReason.SPOOL_FULL if self.full else DropReason.SPOOL_ERROR
                self.counters.add(reason)
            return False
        encoded = _encode(payload)
        checksum = zlib.crc32(encoded, zlib.crc32(bytes((kind,))))
        self._pending.append(FRAME_HEADER.pack(len(encoded), checksum, kind))
        self._pending.append(encoded)
        self._pending_bytes += FRAME_HEADER.size + len(encoded)
        self._pending_calls += final
        return True

    def flush(self) -> None:
        """Write what was appended, in one write. What the disk refuses is kept for the next try."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        try:
            if self._segment_is_over():
                self._open_next_segment()
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, memoryview(data)[written:])
        except OSError:
            self.healthy = False
            self._undo_partial_write()
            return
        self.healthy = True
        self._unsynced = True
        self._offset += len(data)
        self.counters.add("spooled", self._pending_calls)
        self._pending.clear()
        self._pending_bytes = self._pending_calls = 0

    @property
    def unsynced(self) -> bool:
        """Whether a power cut could lose something that was flushed."""
        return self._unsynced

    def sync(self) -> None:
        """Make everything flushed so far survive a power cut.

        It blocks, so it may run in a thread, one at a time: it alone closes files.
        """
        self._unsynced = False
        try:
            while self._retired:
                os.fdatasync(self._retired[0])
                os.close(self._retired.pop(0))
            if self._file >= 0:
                os.fdatasync(self._file)
            if self._directory_unsynced:
                self._directory_unsynced = False
                _sync_directory(self.directory)
        except OSError:
            self.healthy = False
            self._unsynced = self._directory_unsynced = True

    def measure(self) -> None:
        """Look how much lies in the spool, all writers together. Call it about once a second."""
        self.full = spool_bytes(self._spool) >= self._limits.spool_bytes

    def close(self) -> None:
        """Write and sync the rest, and let go of the lock: the reader may finish this writer."""
        self.flush()
        self.counters.add(DropReason.SPOOL_ERROR, self._pending_calls)
        self.sync()
        if self._file >= 0:
            os.close(self._file)
        self.counters.close()

    def _segment_is_over(self) -> bool:
        if self._file < 0:
            return True
        age_seconds = (self._clock.monotonic_ns() - self._opened_ns) / 1e9
        limits = self._limits
        return self._offset >= limits.segment_bytes or age_seconds >= limits.segment_seconds

    def _open_next_segment(self) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        path = segment_path(self.directory, self._segment + 1)
        file = os.open(path, flags, 0o600)
        try:
            os.write(file, SEGMENT_HEADER.pack(MAGIC, FORMAT_VERSION))
        except OSError:
            os.close(file)
            path.unlink()
            raise
        if self._file >= 0:
            self._retired.append(self._file)
        self._file = file
        self._directory_unsynced = True
        self._segment += 1
        self._offset = SEGMENT_HEADER.size
        self._opened_ns = self._clock.monotonic_ns()

    def _undo_partial_write(self) -> None:
        if self._file >= 0:
            try:
                os.ftruncate(self._file, self._offset)
            except OSError:
                # The disk takes not even that: leave this segment, torn, and go on in a new one.
                self._offset = self._limits.segment_bytes


def writers(spool: Path) -> list[str]:
    """List the ids of the writers that have a folder in the spool, oldest first."""
    if not spool.exists():
        return []
    return sorted(entry.name for entry in os.scandir(spool) if _WRITER_ID.fullmatch(entry.name))


def spool_bytes(spool: Path) -> int:
    """Sum up the bytes of all segments of all writers."""
    total = 0
    for writer in writers(spool):
        for entry in _entries(spool / writer):
            try:
                total += entry.stat().st_size
            except FileNotFoundError:
                continue  # the recorder deletes what it has stored
    return total


def segment_path(directory: Path, number: int) -> Path:
    """Name the file of segment `number` of the writer in `directory`."""
    return directory / f"{number:08d}.segment"


def segment_numbers(directory: Path) -> list[int]:
    """List the numbers of the segments that are there, in order."""
    return sorted(int(entry.name[:8]) for entry in _entries(directory))


def delete_segments(directory: Path, *, before: int) -> None:
    """Delete the segments with a number below `before`: all they held is safe elsewhere."""
    for number in segment_numbers(directory):
        if number < before:
            segment_path(directory, number).unlink(missing_ok=True)


def delete_writer(directory: Path) -> None:
    """Delete a dead writer's folder, when all it held is safe elsewhere."""
    shutil.rmtree(directory, ignore_errors=True)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if entry.name.endswith(".segment")]
    except FileNotFoundError:
        return []


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
