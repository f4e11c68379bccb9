"""Append-only segment files between the worker and the recorder: append, replay, acknowledge.

This docstring is the format document, version 3.

A data directory has one folder per writer, and a writer is one run of one worker:

    spool/<writer id>/counters            what the writer counted (storage.counters)
    spool/<writer id>/calls               the ids of its open and its dropped calls (storage.roster)
    spool/<writer id>/00000001.segment    segments, numbered from 1 upwards
    spool/<writer id>/00000002.segment
    spool/<writer id>/00000001.held       what is still needed of a deleted segment (storage.held)

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
    ERASED    zeros                              stood for an erased call; crc32 is of length, kind
    SCORE     Score                              a judgement of a call's answer (storage.labels)
    LABEL     Label                              a corrected answer
    VERDICT   Verdict                            whether a label is to be used

Invariants. A writer appends to its newest segment only and never touches an older one. A frame is
whole or it is the torn tail of a dead writer: the reader skips from the first frame that does not
check to the end of that segment and counts the bytes. BEGIN without END, the writer dead: the call
was interrupted and is recorded as far as it came. END without BEGIN: the disk had refused the
BEGIN; what there is of the call is recorded, as truncated. A call's frames may be spread over
segments. Where a disk fills up in the middle of a write, the whole frames stay and the torn one
is cut off: no frame is written twice. A segment is deleted by the reader alone, after a synced
commit that covers all of it; frames in it that open calls need are copied aside before. Only the
reader erases, only what it has passed, in place.

A segment is over at `segment_bytes` or `segment_seconds` or when the disk refuses a write,
whichever is first; the age counts while nothing is written, too. All writers together stop at
`spool_bytes`, looked at once a second and with what they wrote since: at most PENDING_BYTES_MAX a
writer more. They leave RESERVED_BYTES of the disk alone, or a quarter of a small one: the store
needs room to take what lies in the spool. A call of which the BEGIN was taken always gets its END.

Versions 1, without ERASED and .held files, and 2, without SCORE, LABEL and VERDICT, are read. A new
file format gets a new version number; a reader refuses versions it does not know and leaves the
segment in place.

What a crash can lose: a process kill, what was appended but not flushed (one turn of the event
loop); a power cut, what was not yet synced (SYNC_SECONDS with `interval`, nothing with `always`).
What a folder taken away can lose: what was in it, and what is written before that is seen (one
second); the writer makes it again and goes on.
"""

import errno
import logging
import os
import shutil
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from storage.capture import Capture, Clock, DropReason, Headers, new_id
from storage.counters import FILE_NAME as COUNTERS_NAME
from storage.counters import Counters
from storage.labels import Said
from storage.roster import FILE_NAME as ROSTER_NAME
from storage.roster import Roster
from storage.segments import room_bytes, segment_path, spool_bytes, sync_directory

log = logging.getLogger(__name__)

FORMAT_VERSION: Final = 3
READABLE_VERSIONS: Final = (1, 2, 3)
MAGIC = b"SHALTSPL"
SEGMENT_HEADER = struct.Struct("<8sI")
FRAME_HEADER = struct.Struct("<IIB")
SYNC_SECONDS = 0.2
# Between two tries of a disk that refuses: each joins all that waits, and the loop carries calls.
RETRY_SECONDS: Final = 1.0
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
    ERASED = 6
    SCORE = 7
    LABEL = 8
    VERDICT = 9


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


Payload = Capture | ResponseHead | Part | Said


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
    """Appends the frames of one worker. Not for threads, but `sync` and `measure` may run in one.

    `append` only collects; `flush` is the one write. Nothing here raises because of the disk:
    what could not be kept is counted under its DropReason, and `healthy` says how things stand.
    """

    def __init__(self, spool: Path, *, limits: SpoolLimits, clock: Clock) -> None:
        self.id = new_id(clock)
        self.directory = spool / self.id
        self.healthy = True
        self.full = False
        self.counters = Counters()
        self.roster = Roster()
        self._spool = spool
        self._spool_bytes = 0  # of all writers, as last measured, and of this one since
        self._room_bytes = room_bytes(spool)  # on the disk, as last measured, less what was written
        self._limits = limits
        self._clock = clock
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._ending: list[tuple[int, str]] = []  # pending bytes to the end of a call, and its id
        self._begun: set[str] = set()  # long calls whose BEGIN was taken and whose END was not
        self._segment = 0
        self._file = -1
        self._offset = 0
        self._opened_ns = 0
        self._retry_at_ns = 0
        self._unsynced = False
        self._directory_unsynced = False
        self._retired: list[int] = []  # files of segments that are over, to be synced and closed
        self._move_in_is_due = False
        self._move_in()

    def append(self, kind: FrameKind, payload: Payload) -> bool:
        """Queue a frame for the next `flush`; tell whether it was taken.

        CALL and END frames that are not taken are counted as dropped calls.
        """
        if (self.full or self._pending_bytes > PENDING_BYTES_MAX) and not (
            # There are no more of these than long calls were open when the disk began to refuse.
            kind is FrameKind.END and payload.id in self._begun
        ):
            if kind is FrameKind.CALL or kind is FrameKind.END:
                reason = DropReason.SPOOL_FULL if self.full else DropReason.SPOOL_ERROR
                self._drop(payload.id, reason)
            return False
        encoded = _encode(payload)
        checksum = zlib.crc32(encoded, zlib.crc32(bytes((kind,))))
        self._pending += (FRAME_HEADER.pack(len(encoded), checksum, kind), encoded)
        self._pending_bytes += FRAME_HEADER.size + len(encoded)
        if kind is FrameKind.BEGIN:
            self._begun.add(payload.id)
        elif kind is FrameKind.CALL or kind is FrameKind.END:
            self._ending.append((self._pending_bytes, payload.id))
            self._begun.discard(payload.id)
        return True

    def flush(self) -> None:
        """Write what was appended, in one write. What the disk refuses is kept for the next try."""
        if not self.healthy and self._clock.monotonic_ns() < self._retry_at_ns:
            return
        if self._move_in_is_due:
            self._move_in()
        try:
            if self._pending:
                self._write_pending()
            elif self._offset > SEGMENT_HEADER.size and self._segment_is_over():
                self._open_next_segment()  # so that the reader may delete this one
        except OSError:
            self._fail()

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
                sync_directory(self.directory)
        except OSError:
            self.healthy = False
            self._unsynced = self._directory_unsynced = True

    def measure(self) -> None:
        """Look how much lies in the spool, all writers together, and that it still lies there.

        Call it about once a second; it may run in a thread.
        """
        self._spool_bytes = spool_bytes(self._spool)
        self.full = self._spool_bytes >= self._limits.spool_bytes
        self._room_bytes = room_bytes(self._spool)
        self._move_in_is_due = not self._is_in_place()

    def close(self) -> None:
        """Write and sync the rest, and let go of the lock: the reader may finish this writer."""
        self._retry_at_ns = 0
        if self._pending:
            self.flush()
        for _, call_id in self._ending:
            self._drop(call_id, DropReason.SPOOL_ERROR)
        self.sync()
        for file in (*self._retired, self._file):
            if file >= 0:
                os.close(file)
        self.roster.close()
        self.counters.close()

    def _drop(self, call_id: str, reason: DropReason) -> None:
        self.counters.add(reason)
        self.roster.drop(call_id, reason)

    def _write_pending(self) -> None:
        if self._file < 0 or self._segment_is_over():
            self._open_next_segment()
        data = b"".join(self._pending)
        fitting = min(len(data), max(self._room_bytes, 0))
        written = 0
        try:
            while written < fitting:
                written += os.write(self._file, memoryview(data)[written:fitting])
            if fitting < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._take_note_of(written)
            self._leave_segment()
            raise
        self.healthy = True
        self._take_note_of(written)

    def _take_note_of(self, written: int) -> None:
        """So many bytes of what is pending are on the disk: its whole frames need no other try."""
        if written == self._pending_bytes:  # as ever, but on a full disk
            whole, ended = written, self._ending
            self._pending, self._ending = [], []
        else:
            frame_count = whole = 0
            for header, payload in zip(self._pending[::2], self._pending[1::2], strict=True):
                if whole + len(header) + len(payload) > written:
                    break
                whole += len(header) + len(payload)
                frame_count += 2
            ended = [(end, call_id) for end, call_id in self._ending if end <= whole]
            self._ending = [(end - whole, id) for end, id in self._ending if end > whole]
            del self._pending[:frame_count]
        self.counters.add("spooled", len(ended))
        for _, call_id in ended:
            self.roster.leave(call_id)
        self._pending_bytes -= whole
        self._unsynced = True
        self._offset += whole
        self._spool_bytes += whole
        self._room_bytes -= whole
        self.full = self.full or self._spool_bytes >= self._limits.spool_bytes

    def _segment_is_over(self) -> bool:
        age_seconds = (self._clock.monotonic_ns() - self._opened_ns) / 1e9
        limits = self._limits
        return self._offset >= limits.segment_bytes or age_seconds >= limits.segment_seconds

    def _open_next_segment(self) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        path = segment_path(self.directory, self._segment + 1)
        try:
            file = os.open(path, flags, 0o600)
        except FileExistsError:
            self._segment += 1  # a try that could be neither finished nor undone
            raise
        header = SEGMENT_HEADER.pack(MAGIC, FORMAT_VERSION)
        try:
            if os.write(file, header) < len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            os.close(file)
            path.unlink()
            raise
        self._retire()
        self._file = file
        self._directory_unsynced = self._unsynced = True
        self._segment += 1
        self._offset = SEGMENT_HEADER.size
        self._opened_ns = self._clock.monotonic_ns()

    def _retire(self) -> None:
        """Leave the segment that is open, for `sync` to close."""
        if self._file >= 0:
            self._retired.append(self._file)
        self._file = -1
        self._offset = 0

    def _leave_segment(self) -> None:
        """Cut off a torn frame, and go on in a new segment: this one can go when it is stored."""
        try:
            os.ftruncate(self._file, self._offset)
        except OSError:
            self._retire()  # torn as it is
            return
        if self._offset > SEGMENT_HEADER.size:  # an empty one serves as well as a new one
            self._retire()

    def _move_in(self) -> None:
        """Make the writer's folder: at the start, and again when somebody took it away."""
        self._move_in_is_due = False
        if self._is_in_place():
            return
        self._retire()
        # The reader must never see a writer without its lock: prepare aside, then rename.
        aside = self._spool / f".{self.id}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            self.roster.move_to(aside)
            self.counters.move_to(aside)
            if self.directory.is_dir():
                for name in (ROSTER_NAME, COUNTERS_NAME):
                    (aside / name).rename(self.directory / name)
                aside.rmdir()
            else:
                aside.rename(self.directory)
        except OSError:
            self._fail()
            return
        self.healthy = True
        if self._segment:
            log.warning("spool folder was taken away, made again writer=%s", self.id)

    def _is_in_place(self) -> bool:
        if not self.counters.is_in(self.directory):
            return False
        file = self._file
        try:
            return file < 0 or os.fstat(file).st_nlink > 0
        except OSError:
            return True  # `sync` has closed it: a newer segment is open

    def _fail(self) -> None:
        self.healthy = False
        self._retry_at_ns = self._clock.monotonic_ns() + int(RETRY_SECONDS * 1e9)
