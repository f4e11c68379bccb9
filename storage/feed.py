"""One writer's spool on its way into the store: frames in; whole calls, scores and labels out.

Frames of a long call are remembered by place, not by content, and read again when its END comes,
so memory stays that of one batch: BATCH_BYTES_MAX of frames and the call that went over it, whose
bodies are put together frame by frame. What is remembered of an open call is some 150 bytes a
frame: 1 MB for one that streams for an hour.

A segment that is stored is deleted at once. Frames in it that open calls need are held aside
(storage.held), and only those: a call that stays open keeps nothing of others.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from storage.capture import Body, Capture, Outcome
from storage.held import held_numbers, held_path, hold
from storage.labels import Said
from storage.replay import (
    START,
    Frame,
    SpoolReader,
    call_id_of,
    frame_bytes,
    raw_frames_at,
    read_frames,
    read_segment,
)
from storage.rows import Checkpoint
from storage.segments import segment_numbers, segment_path
from storage.spool import FrameKind, Part, Position, ResponseHead

log = logging.getLogger(__name__)

BATCH_FRAMES_MAX: Final = 1000
SAID_KINDS: Final = (FrameKind.SCORE, FrameKind.LABEL, FrameKind.VERDICT)
BATCH_BYTES_MAX: Final = 8 * 2**20  # decoded and understood, small events take twelve times that


class Place(NamedTuple):
    """Where a frame of an open call lies, and how long it is."""

    position: Position
    size: int


class Undigested(NamedTuple):
    """A call that cannot be made of its frames: kind and payload of each, and why.

    Or a score, a label or a verdict (`is_said`), which is one frame and has an id of its own.
    """

    call_id: str  # empty where not even that can be read
    frames: Sequence[tuple[int, bytes]]
    reason: str

    @property
    def is_said(self) -> bool:
        """Whether it is no call, and not to be counted as one."""
        return any(kind in SAID_KINDS for kind, _ in self.frames)


@dataclass
class Batch:
    """What became whole: calls to store, some that cannot be understood, what was said of calls.

    `encoded` has for each capture its MessagePack as the spool has it, empty for one that was put
    together of several frames.
    """

    captures: list[Capture] = field(default_factory=list)
    undigested: list[Undigested] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)

    def add(self, capture: Capture, encoded: bytes = b"") -> None:
        """Add a call that is whole."""
        self.captures.append(capture)
        self.encoded.append(encoded)


class Feed:
    """Reads one worker's spool from its checkpoint on, and deletes what is stored of it."""

    def __init__(self, directory: Path, checkpoint: Checkpoint | None) -> None:
        self.directory = directory
        self.name = directory.name
        self.complaint = ""
        self.last_checkpoint = checkpoint or Checkpoint(self.name, *START)
        position = Position(self.last_checkpoint.segment, self.last_checkpoint.offset)
        self.reader = SpoolReader(directory, position)
        self._opened: dict[str, list[Place]] = {}
        self._held = {n: held_path(directory, n).stat().st_size for n in held_numbers(directory)}
        self._remember_opened(json.loads(self.last_checkpoint.opened), position)

    @property
    def moved(self) -> bool:
        """Whether more has been read than is stored."""
        last = self.last_checkpoint
        return self.reader.position != (last.segment, last.offset)

    def read(self) -> Batch:
        """Read on; return the calls that are whole now."""
        batch = Batch()
        byte_count = frame_count = 0
        for frame in self.reader.frames():
            frame_count += 1
            byte_count += frame.size + self._take(frame, batch)
            if frame_count == BATCH_FRAMES_MAX or byte_count >= BATCH_BYTES_MAX:
                break
        return batch

    def take_interrupted(self) -> Batch:
        """Return a batch of the calls that will never end, as far as they came; empty after all."""
        batch = Batch()
        byte_count = 0
        while self._opened and byte_count < BATCH_BYTES_MAX:
            call_id, places = self._opened.popitem()
            byte_count += sum(place.size for place in places)
            self._assemble(call_id, places, None, batch)
        return batch

    def checkpoint(self) -> Checkpoint:
        """Describe how far has been read."""
        opened = {call_id: places[0].position for call_id, places in self._opened.items()}
        return Checkpoint(self.name, *self.reader.position, json.dumps(opened))

    def committed(self, checkpoint: Checkpoint) -> None:
        """Everything up to there is in the store: delete it, but for what open calls need."""
        self.last_checkpoint = checkpoint
        over = [n for n in segment_numbers(self.directory) if n < checkpoint.segment]
        if not over:
            return
        needed: dict[int, list[Place]] = defaultdict(list)
        for places in self._opened.values():
            for place in places:
                needed[place.position.segment].append(place)
        for number in over:
            if number not in needed or self._hold(number, needed[number]):
                segment_path(self.directory, number).unlink(missing_ok=True)
        for number, size in list(self._held.items()):
            if number not in needed:
                held_path(self.directory, number).unlink(missing_ok=True)
                del self._held[number]
            elif size > 2 * sum(place.size for place in needed[number]):
                self._hold(number, needed[number])

    def _take(self, frame: Frame, batch: Batch) -> int:
        """Put a frame where it belongs; return the bytes of earlier frames it made whole."""
        payload = frame.payload
        if frame.kind == FrameKind.ERASED:
            return 0
        call_id = call_id_of(frame.encoded) if payload is None else payload.id
        if frame.kind == FrameKind.CALL or frame.kind in SAID_KINDS:
            if isinstance(payload, Capture):
                batch.add(payload, frame.encoded)
            elif isinstance(payload, Said):
                batch.said.append(payload)
            else:
                batch.undigested.append(_undigested(call_id, [frame]))
        elif frame.kind == FrameKind.END:
            places = self._opened.pop(call_id, [])
            self._assemble(call_id, places, frame, batch)
            return sum(place.size for place in places)
        elif call_id in self._opened:
            self._opened[call_id].append(Place(frame.position, frame.size))
        elif frame.kind == FrameKind.BEGIN and call_id:
            self._opened[call_id] = [Place(frame.position, frame.size)]
        return 0

    def _assemble(
        self, call_id: str, places: Sequence[Place], end: Frame | None, batch: Batch
    ) -> None:
        """Put the frames of a long call together; without an END it was interrupted."""
        positions = [place.position for place in places]
        ending = [end] if end is not None else []
        capture = assemble(chain(read_frames(self.directory, positions), ending))
        if capture is not None:
            batch.add(capture)
        else:
            frames = [*read_frames(self.directory, positions), *ending]
            batch.undigested.append(_undigested(call_id, frames))

    def _hold(self, number: int, places: Iterable[Place]) -> bool:
        offsets = sorted(place.position.offset for place in places)
        try:
            kept = raw_frames_at(self.directory, number, offsets)
            hold(self.directory, number, ((at, frame_bytes(frame)) for at, frame in kept))
            self._held[number] = held_path(self.directory, number).stat().st_size
        except OSError as error:
            # The segment stays as it is, and with it what it holds of others.
            if self.complaint != str(error):
                self.complaint = str(error)
                log.error("frames could not be held dir=%s error=%s", self.directory, error)
            return False
        return True

    def _remember_opened(self, opened: Mapping[str, Sequence[int]], until: Position) -> None:
        """After a start: find again the frames of the calls that were open."""
        if not opened:
            return
        first = min(Position(*at) for at in opened.values()).segment
        numbers = {*segment_numbers(self.directory), *self._held}
        for number in sorted(n for n in numbers if first <= n <= until.segment):
            for frame in read_segment(self.directory, number):
                if frame.position >= until:
                    break
                call_id = call_id_of(frame.encoded) if frame.payload is None else frame.payload.id
                if call_id in opened:
                    place = Place(frame.position, frame.size)
                    self._opened.setdefault(call_id, []).append(place)


def assemble(frames: Iterable[Frame]) -> Capture | None:
    """Make one call of all its frames that are there; None where that cannot be done.

    It cannot where a frame is not to be understood, or there is neither BEGIN, END nor CALL.
    Without an END or CALL the call was interrupted. In memory are its bodies, once, and a frame.
    """
    captures: dict[int, Capture] = {}
    requests, responses = BytesIO(), BytesIO()
    head: ResponseHead | None = None
    ended_ns: int | None = None
    is_understood = True
    for kind, payload in ((frame.kind, frame.payload) for frame in frames):
        if isinstance(payload, Part):
            (responses if payload.of_response else requests).write(payload.data)
            ended_ns = payload.elapsed_ns
        elif isinstance(payload, Capture):
            if not captures:
                requests.write(payload.request_body.data)
                responses.write(payload.response_body.data)
            captures.setdefault(kind, payload)
        elif isinstance(payload, ResponseHead):
            head = payload
        elif kind != FrameKind.ERASED:
            is_understood = False
    if FrameKind.CALL in captures:
        return captures[FrameKind.CALL]
    end = captures.get(FrameKind.END)
    begin = captures.get(FrameKind.BEGIN, end)
    if begin is None or not is_understood:
        return None
    whole = end or _interrupted(begin, head, ended_ns)
    return msgspec.structs.replace(
        whole,
        request_body=_body(requests.getvalue(), whole.request_body if end else None),
        response_body=_body(responses.getvalue(), whole.response_body if end else None),
    )


def _interrupted(begin: Capture, head: ResponseHead | None, ended_ns: int | None) -> Capture:
    """Say of a call that never ended what is known of it."""
    changed: dict[str, object] = {"outcome": Outcome.INTERRUPTED}
    if ended_ns is not None:
        changed["ended_ns"] = ended_ns
    if head is not None:
        changed |= {
            "status_code": head.status_code,
            "response_headers": head.headers,
            "response_started_ns": head.elapsed_ns,
        }
    return msgspec.structs.replace(begin, **changed)


def _body(data: bytes, described: Body | None) -> Body:
    """Join the bytes that are there with what the worker said of the body, if it could."""
    if described is None:
        return Body(data, len(data))
    # Parts the disk had refused are missing here: the record says that it is not all.
    kept = described.length if described.kept is None else described.kept
    truncated = described.truncated or len(data) != kept
    return Body(data, described.length, described.sha256, truncated, described.kept)


def _undigested(call_id: str, frames: Sequence[Frame]) -> Undigested:
    return Undigested(
        call_id,
        [(frame.kind, frame.encoded) for frame in frames],
        "its frames cannot be understood by this version of shalt",
    )
