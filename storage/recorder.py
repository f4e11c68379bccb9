"""The loop that empties the spool into the store: replay, derive, insert, acknowledge.

It runs in a process of its own. What it promises: a call is stored once, its rows and the place in
the spool in one transaction; a segment goes only after that; a store that is not there stops
nothing but the loop itself, which waits and tries again; a call that cannot be stored goes to the
poison directory with the reason, is counted, and does not keep the others waiting.

Frames of a long call are remembered by place, not by content, and read again when its END comes:
memory stays that of one batch. Where a call was begun and its worker is dead, the call was
interrupted: it is stored as far as it came.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from storage import spool as spool_files
from storage.capture import Body, Capture, Clock, DropReason, Outcome
from storage.counters import is_alive, read_tally
from storage.database import RowRejected, StoreUnavailable
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.metrics import RecorderMetrics
from storage.replay import START, Frame, SpoolReader, read_frame
from storage.rows import Checkpoint, Recorded
from storage.spool import FrameKind, Part, Payload, Position, ResponseHead, SpoolError
from storage.store import TraceStore

log = logging.getLogger(__name__)

Result = TypeVar("Result")

BATCH_FRAMES_MAX: Final = 1000
BATCH_BYTES_MAX: Final = 64 * 2**20
IDLE_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 0.1  # doubled with every try
RETRY_SECONDS_MAX: Final = 5.0


class Recorder:
    """Empties the spools of all workers of one data directory. One at a time may run."""

    def __init__(
        self,
        spool: Path,
        poison: Path,
        store: TraceStore,
        metrics: RecorderMetrics,
        *,
        group_by: tuple[str, ...],
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._poison = poison
        self._store = store
        self._metrics = metrics
        self._group_by = group_by
        self._clock = clock
        self._feeds: dict[str, _Feed] = {}

    def run(self, stopping: Callable[[], bool]) -> None:
        """Record until `stopping` is true and nothing is left that could be recorded.

        Raises StoreError for a store that waiting will not mend, StoreUnavailable when told to
        stop while there is none.
        """
        self._patiently(self._store.upgrade, stopping)
        while True:
            drain = stopping()  # asked before looking: what is there by then is recorded
            found = self.step(stopping)
            if drain and not found:
                return
            if not found:
                time.sleep(IDLE_SECONDS)

    def step(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Store one batch of every worker; tell whether there was anything to store."""
        found = False
        names = spool_files.writers(self._spool)
        for gone in self._feeds.keys() - set(names):
            del self._feeds[gone]
        for name in names:
            feed = self._feeds.get(name)
            if feed is None:
                known = self._patiently(self._store.writers, stopping).get(name)
                if known is not None and known.closed_at is not None:
                    spool_files.delete_writer(self._spool / name)
                    continue
                feed = _Feed(self._spool / name, known.checkpoint if known else None)
                self._feeds[name] = feed
            try:
                found |= self._advance(feed, stopping)
            except SpoolError as error:
                if feed.complaint != str(error):  # once, not twenty times a second
                    feed.complaint = str(error)
                    log.error("spool cannot be read writer=%s error=%s", name, error)
        return found

    def _advance(self, feed: "_Feed", stopping: Callable[[], bool]) -> bool:
        alive = is_alive(feed.directory)
        captures = feed.read()
        if feed.moved:
            self._store_batch(feed, captures, stopping)
            spool_files.delete_segments(feed.directory, before=feed.oldest_needed.segment)
            return True
        if not alive:
            self._finish(feed, stopping)
        return False

    def _finish(self, feed: "_Feed", stopping: Callable[[], bool]) -> None:
        """Store what a dead worker left unfinished, settle its counts, delete its spool."""
        self._metrics.torn(feed.reader.torn_bytes)
        if feed.reader.torn_bytes:
            log.warning("torn tail skipped writer=%s bytes=%d", feed.name, feed.reader.torn_bytes)
        interrupted = feed.take_interrupted()
        self._store_batch(feed, interrupted, stopping)
        known = self._patiently(self._store.writers, stopping)[feed.name]
        tally = read_tally(feed.directory)
        dropped = dict(tally.dropped)
        settled = known.stored + known.poisoned + tally.sampled_out + tally.opted_out
        lost = tally.accepted - settled - sum(dropped.values())
        dropped[DropReason.WORKER_DIED] += max(lost, 0)
        # After a power cut the counters may be older than the spool: it has the last word.
        accepted = tally.accepted + max(-lost, 0)
        closed = tally._replace(accepted=accepted, dropped=dropped)
        self._patiently(lambda: self._store.close_writer(feed.name, closed), stopping)
        spool_files.delete_writer(feed.directory)
        log.info(
            "worker settled writer=%s accepted=%d stored=%d interrupted=%d lost=%d",
            feed.name, accepted, known.stored, len(interrupted), max(lost, 0),
        )  # fmt: skip

    def _store_batch(
        self, feed: "_Feed", captures: Sequence[Capture], stopping: Callable[[], bool]
    ) -> None:
        started = time.perf_counter()
        batch: list[Recorded] = []
        poisoned, feed.undecodable = feed.undecodable, 0
        for capture in captures:
            try:
                batch.append(self._digest(capture))
            except Exception as error:  # noqa: BLE001  whatever it is, the others must go on
                poisoned += 1
                self._put_aside(capture, error)
        checkpoint = feed.checkpoint()
        try:
            self._patiently(
                lambda: self._store.insert(batch, checkpoint, poisoned=poisoned), stopping
            )
        except RowRejected:
            poisoned += self._store_one_by_one(batch, feed, stopping)
            self._patiently(lambda: self._store.insert([], checkpoint, poisoned=poisoned), stopping)
        feed.committed(checkpoint)
        self._metrics.stored(
            [recorded.span for recorded in batch],
            seconds=time.perf_counter() - started,
            now_ns=self._clock.wall_ns(),
        )

    def _store_one_by_one(
        self, batch: Iterable[Recorded], feed: "_Feed", stopping: Callable[[], bool]
    ) -> int:
        """Store what can be stored of a refused batch; return how many could not be."""
        poisoned = 0
        for recorded in batch:
            try:
                insert = partial(self._store.insert, [recorded], feed.last_checkpoint)
                self._patiently(insert, stopping)
            except RowRejected as error:
                poisoned += 1
                self._put_aside(recorded.capture, error)
        return poisoned

    def _digest(self, capture: Capture) -> Recorded:
        span = derive(capture)
        return Recorded(capture, span, group_of(span, capture, self._group_by), features_of(span))

    def _put_aside(self, capture: Capture, error: Exception) -> None:
        """Keep a call that cannot be stored, with the reason, where an operator can find it."""
        path = self._poison / f"{capture.id}.msgpack"
        path.write_bytes(msgspec.msgpack.encode(capture))
        path.with_suffix(".txt").write_text(f"{type(error).__name__}: {error}\n")
        log.error("call could not be stored id=%s kept=%s", capture.id, path, exc_info=error)

    def _patiently(self, attempt: Callable[[], Result], stopping: Callable[[], bool]) -> Result:
        """Do what needs the store; while the store is not there, wait and try again."""
        pause = RETRY_SECONDS
        while True:
            try:
                return attempt()
            except StoreUnavailable as error:
                self._metrics.store_failed()
                log.warning("store unavailable, trying again in %.1f s error=%s", pause, error)
                if stopping():
                    raise
            time.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS_MAX)


class _Feed:
    """One worker's spool on its way into the store."""

    def __init__(self, directory: Path, checkpoint: Checkpoint | None) -> None:
        self.directory = directory
        self.name = directory.name
        self.complaint = ""
        self.undecodable = 0  # frames of ended calls, whole and not to be understood
        self.last_checkpoint = checkpoint or Checkpoint(self.name, *START)
        # Of each call begun and not ended: where its frames are, the BEGIN first.
        self._opened: dict[str, list[Position]] = {}
        position = Position(self.last_checkpoint.segment, self.last_checkpoint.offset)
        self.reader = SpoolReader(directory, position)
        self._remember_opened(json.loads(self.last_checkpoint.opened), position)

    @property
    def moved(self) -> bool:
        """Whether more has been read than is stored."""
        last = self.last_checkpoint
        return self.reader.position != (last.segment, last.offset)

    @property
    def oldest_needed(self) -> Position:
        """The place before which nothing is needed any more."""
        return min((frames[0] for frames in self._opened.values()), default=self.reader.position)

    def read(self) -> list[Capture]:
        """Read on; return the calls that are whole now."""
        captures = []
        for frame in self.reader.read(BATCH_FRAMES_MAX, BATCH_BYTES_MAX):
            payload = frame.payload
            if payload is None:
                self.undecodable += frame.kind in (FrameKind.CALL, FrameKind.END)
            elif isinstance(payload, Capture) and frame.kind == FrameKind.CALL:
                captures.append(payload)
            elif isinstance(payload, Capture) and frame.kind == FrameKind.END:
                captures.append(self._assemble(self._opened.pop(payload.id, []), payload))
            else:
                self._open(frame, payload)
        return captures

    def take_interrupted(self) -> list[Capture]:
        """Return the calls that will never end, as far as they came."""
        opened, self._opened = self._opened, {}
        return [self._assemble(frames, None) for frames in opened.values()]

    def checkpoint(self) -> Checkpoint:
        """Describe how far has been read."""
        opened = {id: frames[0] for id, frames in self._opened.items()}
        return Checkpoint(self.name, *self.reader.position, json.dumps(opened))

    def committed(self, checkpoint: Checkpoint) -> None:
        """Take note that everything up to there is in the store."""
        self.last_checkpoint = checkpoint

    def _open(self, frame: Frame, payload: Payload) -> None:
        if frame.kind == FrameKind.BEGIN:
            self._opened[payload.id] = [frame.position]
        elif payload.id in self._opened:
            self._opened[payload.id].append(frame.position)

    def _remember_opened(self, opened: dict[str, list[int]], until: Position) -> None:
        """After a start: find again the frames of the calls that were open."""
        if not opened:
            return
        reader = SpoolReader(self.directory, min(Position(*at) for at in opened.values()))
        while reader.position < until:
            frames = reader.read(BATCH_FRAMES_MAX, BATCH_BYTES_MAX)
            if not frames:
                break
            for frame in frames:
                payload = frame.payload
                if frame.position < until and payload is not None and payload.id in opened:
                    self._open(frame, payload)

    def _assemble(self, positions: Sequence[Position], end: Capture | None) -> Capture:
        """Put the frames of a long call together; without an END it was interrupted."""
        frames = list(self._read_again(positions))
        begin = next((f.payload for f in frames if isinstance(f.payload, Capture)), end)
        assert begin is not None, "a call is open from its BEGIN on, which could be decoded then"
        requests, responses = [begin.request_body.data], [begin.response_body.data]
        last = begin
        for frame in frames:
            payload = frame.payload
            if isinstance(payload, Part):
                (responses if payload.of_response else requests).append(payload.data)
                last = msgspec.structs.replace(last, ended_ns=payload.elapsed_ns)
            elif isinstance(payload, ResponseHead):
                last = msgspec.structs.replace(
                    last,
                    status_code=payload.status_code,
                    response_headers=payload.headers,
                    response_started_ns=payload.elapsed_ns,
                )
        whole = end or msgspec.structs.replace(last, outcome=Outcome.INTERRUPTED)
        return msgspec.structs.replace(
            whole,
            request_body=_body(b"".join(requests), whole.request_body if end else None),
            response_body=_body(b"".join(responses), whole.response_body if end else None),
        )

    def _read_again(self, positions: Sequence[Position]) -> Iterator[Frame]:
        for position in positions:
            try:
                yield read_frame(self.directory, position)
            except SpoolError as error:  # the disk has lost it: the record will say truncated
                log.error("frame is unreadable writer=%s error=%s", self.name, error)


def _body(data: bytes, described: Body | None) -> Body:
    """Join the bytes that are there with what the worker said of the body, if it could."""
    if described is None:
        return Body(data, len(data))
    # Parts the disk had refused are missing here: the record says that it is not all.
    truncated = described.truncated or len(data) != described.length
    return Body(data, described.length, described.sha256, truncated)
