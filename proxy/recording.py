"""A worker's way to the spool, and the watch over its open calls.

Nothing here can fail a call. Once a turn of the event loop, when what it passes on has gone, the
calls that have ended are recorded and their frames written; `fdatasync` runs in a thread. One sweep
every SWEEP_SECONDS looks at all open calls, so that a call pays for no timer of its own: it is then
that long calls are begun in the spool, that what has come since is added, that deadlines are
enforced, that lost clients begin to be watched for and that calls which have ended are counted for
Prometheus.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Protocol

from proxy.metrics import CallMetrics
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from storage.capture import Clock, LeftOut
from storage.spool import SYNC_SECONDS, FrameKind, Payload, SpoolLimits, SpoolWriter

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 0.02
MEASURE_SECONDS: Final = 1.0
# Between two looks at how much all open calls hold: what may come beyond the limit meanwhile.
WEIGH_SECONDS: Final = 0.1
WARN_SECONDS: Final = 60.0  # between two warnings that it is exceeded
RELIEVED_RATIO: Final = 0.75  # of the limit, so that not every look finds it exceeded again
# A power cut may take what a client already has, but for this long only; see SYNC_SECONDS.
assert SWEEP_SECONDS < 0.05 <= SYNC_SECONDS, "calls must be in the spool 50 ms after their end"


class OpenCall(Protocol):
    """What the sweep asks of a call. `due_ns`: nothing is to be done for it before that time."""

    id: str
    due_ns: int

    @property
    def held_bytes(self) -> int:
        """How much of what passed is held in memory."""

    def relieve(self) -> None:
        """Hold as little as can be, though the record suffers; never raise."""

    def sweep(self, now_ns: int) -> None:
        """Do what is due at the monotonic time `now_ns`; never raise."""

    def record(self) -> None:
        """Append the frames of the call, which has ended; or say that it is left out."""


class Recording:
    """The spool of this worker. `run` must be running for syncs and sweeps to happen."""

    def __init__(
        self,
        spool: Path,
        *,
        limits: SpoolLimits,
        sync: Literal["interval", "always"],
        body_bytes_max: int,
        held_bytes_max: int,
        sample_ratio: float,
        redactor: Redactor,
        bodies: BodyRedactor | None,
        metrics: CallMetrics,
        clock: Clock,
    ) -> None:
        self.clock = clock
        self.redactor = redactor
        self.bodies = bodies
        self.metrics = metrics
        self.body_bytes_max = body_bytes_max
        self._held_bytes_max = held_bytes_max
        self._weigh_at_ns = self._warn_at_ns = 0
        self.sample_ratio = sample_ratio
        self.always_sync = sync == "always"
        self._writer = SpoolWriter(spool, limits=limits, clock=clock)
        self._open: dict[str, OpenCall] = {}
        self._ended: list[OpenCall] = []  # in this turn of the event loop, and not yet recorded
        self._flush_is_due = False
        self._sweep_is_due = False
        self._wanting_sync: list[asyncio.Future[None]] = []
        self._sync_wanted = asyncio.Event()

    @property
    def healthy(self) -> bool:
        """Whether the disk takes what is recorded."""
        return self._writer.healthy and not self._writer.full

    @property
    def full(self) -> bool:
        """Whether the spool has reached its limit."""
        return self._writer.full

    @property
    def open_count(self) -> int:
        """How many calls and pages are in flight."""
        return len(self._open)

    def opened(self, call: OpenCall, *, counted: bool) -> None:
        """Watch over a call that has been accepted, and count it in the ledger."""
        if counted:
            self._writer.counters.add("accepted")
            self._writer.roster.enter(call.id)
        self._open[call.id] = call
        if not self._sweep_is_due:
            self._sweep_is_due = True
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def ended(self, call: OpenCall, *, recorded: bool = True) -> None:
        """Watch over it no longer; `recorded`: have it recorded when this turn's bytes have gone.

        So no call waits for the record of another; and those that end together are recorded
        together, with the code and the patterns in the nearest cache.
        """
        self._open.pop(call.id, None)
        if recorded:
            self._ended.append(call)
            self._flush_soon()

    def left_out(self, call: OpenCall, reason: LeftOut) -> None:
        """A call that was accepted is not to be recorded: count it in the ledger, note its id."""
        self._writer.counters.add(reason)
        self._writer.roster.drop(call.id, reason)

    def append(self, kind: FrameKind, payload: Payload) -> bool:
        """Put a frame on its way to the disk, within this turn of the event loop."""
        self._flush_soon()
        return self._writer.append(kind, payload)

    def flush(self) -> None:
        """Write what was appended so far; nobody need wait for the end of this turn."""
        self._record_ended()
        self._flush_is_due = False
        healthy = self._writer.healthy
        self._writer.flush()
        if healthy and not self._writer.healthy:
            log.error("spool cannot be written, calls go on unrecorded writer=%s", self._writer.id)
        elif self._writer.healthy and not healthy:
            log.info("spool can be written again writer=%s", self._writer.id)

    async def durable(self) -> None:
        """Wait until everything appended so far would survive a power cut."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanting_sync.append(done)
        self._sync_wanted.set()
        await done  # set by run(), which outlives every call

    async def run(self) -> None:
        """Sync and measure the spool for ever."""
        loop = asyncio.get_running_loop()
        measured = 0.0
        while True:
            try:
                async with asyncio.timeout(SYNC_SECONDS):
                    await self._sync_wanted.wait()
            except TimeoutError:
                pass
            self._sync_wanted.clear()
            waiting, self._wanting_sync = self._wanting_sync, []
            self.flush()  # also the next try, when the disk refused the last one
            if self._writer.unsynced:
                await self._in_thread(self._writer.sync)
            for done in waiting:
                if not done.done():
                    done.set_result(None)
            if loop.time() - measured > MEASURE_SECONDS:
                measured = loop.time()
                await self._in_thread(self._writer.measure)

    def close(self) -> None:
        """Write and sync the rest. The recorder may finish this writer then."""
        self._record_ended()
        self._writer.close()
        self.metrics.count()

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def _record_ended(self) -> None:
        ended, self._ended = self._ended, []
        for call in ended:
            try:
                call.record()
            except Exception:  # it would cost the others their records
                log.exception("call could not be recorded id=%s", call.id)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            log.warning("spool could not be synced or measured error=%s", error)

    def _sweep(self) -> None:
        self._sweep_is_due = bool(self._open)
        if self._sweep_is_due:
            now_ns = self.clock.monotonic_ns()
            calls = list(self._open.values())
            for call in calls:
                if call.due_ns < now_ns:
                    call.sweep(now_ns)
            if now_ns >= self._weigh_at_ns:
                self._weigh_at_ns = now_ns + int(WEIGH_SECONDS * 1e9)
                self._weigh(calls)
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
        self.metrics.count()  # last: should it fail, calls are looked after all the same

    def _weigh(self, calls: list[OpenCall]) -> None:
        """Relieve the largest of the open calls where all together hold more than they may."""
        held_bytes = sum(call.held_bytes for call in calls)
        if held_bytes <= self._held_bytes_max:
            return
        if self._weigh_at_ns > self._warn_at_ns:
            self._warn_at_ns = self._weigh_at_ns + int(WARN_SECONDS * 1e9)
            log.warning("open calls hold too much, cutting the largest bytes=%d", held_bytes)
        calls.sort(key=lambda call: call.held_bytes, reverse=True)
        for call in calls:
            if held_bytes <= RELIEVED_RATIO * self._held_bytes_max:
                break
            before = call.held_bytes
            call.relieve()
            held_bytes -= before - call.held_bytes
