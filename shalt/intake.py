"""Calls recorded elsewhere on their way into the spool: from a file, or through `/otlp`.

And what is said of calls: scores, labels, verdicts (`keep`), which no ledger counts.

They take the way of every call from there on: the same recorder, the same ledger, the same safety.
Secrets and personal data are taken out as the relay does it (shalt.redacting). A call that the
store knows, or that came through here before, is left out and not counted as accepted: it is there
already.

`put` returns when all it was given would survive a power cut. It may be called from any thread,
one at a time gets through. Limits: RECENT_MAX ids of calls that came through are remembered, some
100 bytes each. A call that comes again after so many others, or after a restart, and before it is
stored, is stored once, but counted twice as accepted and once as lost (`worker_died`).
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from shalt.places import Places
from shalt.redacting import Redacting
from shalt.settings import Settings
from storage.capture import Capture, Clock
from storage.database import StoreUnavailable
from storage.known import known_ids
from storage.labels import Said
from storage.reader import StoreReader
from storage.replay import kind_of
from storage.spool import PENDING_BYTES_MAX, FrameKind, SpoolLimits, SpoolWriter

RECENT_MAX: Final = 200_000
MEASURE_NS: Final = 1_000_000_000
# A flush each so many bytes of bodies, so that the writer never holds more than it may.
FLUSH_BYTES: Final = 4 * 2**20
assert FLUSH_BYTES < PENDING_BYTES_MAX, "or calls would be dropped without a need"


class SpoolFull(Exception):
    """As much waits for the recorder as may (`spool_bytes_max`): try again later."""


class SpoolRefused(Exception):
    """The disk does not take what was to be kept."""


class Taken(NamedTuple):
    """What became of captures: how many are new, how many were there already."""

    new_count: int
    known_count: int


class Intake:
    """A way into the spool for captures that are whole. Close it."""

    def __init__(self, settings: Settings, store: StoreReader, clock: Clock) -> None:
        """Open nothing yet: the writer's folder is made with the first call."""
        self._places = Places(settings.data_dir)
        self._limits = SpoolLimits(
            spool_bytes=settings.spool_bytes_max,
            segment_bytes=settings.spool_segment_bytes,
            segment_seconds=settings.spool_segment_seconds,
        )
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._writer: SpoolWriter | None = None
        self._settings = settings
        self._redacting: Redacting | None = None
        self._measured_ns = 0
        self.taken_count = 0  # calls that went into the spool

    @property
    def writer_id(self) -> str:
        """The name of the writer, empty before the first call."""
        return self._writer.id if self._writer else ""

    def put(self, captures: Sequence[Capture]) -> Taken:
        """Keep captures, and say how many of them are new.

        Raise SpoolFull or SpoolRefused where not all could be taken; the same captures may be given
        again then, and those that were taken are known.
        """
        with self._lock:
            new = self._unknown(captures)
            writer = self._open()
            if new:
                self._measure(writer)
                self._flush(writer)  # nothing may be left over of a try before
            redacting = self._open_redacting()
            waiting = 0
            for capture in new:
                if waiting > FLUSH_BYTES:
                    self._flush(writer)
                    waiting = 0
                self._refuse_when_full(writer)
                writer.counters.add("accepted")
                writer.roster.enter(capture.id)
                taken = writer.append(FrameKind.CALL, redacting.capture(capture))
                assert taken, "there is room: it has been flushed"
                self._remember(capture.id)
                waiting += len(capture.request_body.data) + len(capture.response_body.data)
            self._flush(writer)
            self._sync(writer)
            return Taken(len(new), len(captures) - len(new))

    def keep(self, said: Sequence[Said]) -> None:
        """Keep what was said of calls. Raise SpoolFull or SpoolRefused where that cannot be.

        What is kept all the same then, of several, does no harm when it is said again.
        """
        with self._lock:
            writer = self._open()
            self._measure(writer)
            self._flush(writer)  # nothing may be left over of a try before
            self._refuse_when_full(writer)
            redacting = self._open_redacting()
            for each in said:
                taken = writer.append(kind_of(each), redacting.said(each))
                assert taken, "there is room: it has been flushed"
            self._flush(writer)
            self._sync(writer)

    def close(self) -> None:
        """Let go of the writer: the recorder may finish it."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _unknown(self, captures: Sequence[Capture]) -> list[Capture]:
        """Leave out what is there already. A store that cannot be asked leaves nothing out."""
        fresh = {each.id: each for each in captures if each.id not in self._recent}
        try:
            known = known_ids(self._store, fresh)
        except StoreUnavailable:
            known = set()
        return [capture for id, capture in fresh.items() if id not in known]

    def _open(self) -> SpoolWriter:
        if self._writer is None:
            self._writer = SpoolWriter(self._places.spool, limits=self._limits, clock=self._clock)
        return self._writer

    def _measure(self, writer: SpoolWriter) -> None:
        now_ns = self._clock.monotonic_ns()
        if writer.full or now_ns - self._measured_ns > MEASURE_NS:
            writer.measure()
            self._measured_ns = now_ns

    def _refuse_when_full(self, writer: SpoolWriter) -> None:
        if writer.full:
            raise SpoolFull(
                f"the spool holds {self._limits.spool_bytes} bytes, which is its limit: the "
                "recorder must store some of it first, or spool_bytes_max be raised"
            )

    def _flush(self, writer: SpoolWriter) -> None:
        writer.flush()
        if not writer.healthy:
            raise SpoolRefused(
                f"the disk of {self._places.spool} takes no more: make room, then try again"
            )

    def _sync(self, writer: SpoolWriter) -> None:
        if writer.unsynced:
            writer.sync()
        if writer.unsynced:
            raise SpoolRefused("the spool's disk cannot be synced: see that it is whole")

    def _open_redacting(self) -> Redacting:
        if self._redacting is None:
            self._redacting = Redacting(self._settings)
        return self._redacting

    def _remember(self, call_id: str) -> None:
        self._recent[call_id] = None
        self.taken_count += 1
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
