"""The loop that empties the spool into the store: replay, derive, insert, acknowledge.

It runs in a process of its own. What it promises: a call is stored once, its rows and the place in
the spool in one transaction; a segment goes only after that; a store that is not there stops
nothing but the loop itself, which waits and tries again; a call that cannot be stored goes to the
poison directory with the reason, is counted, and does not keep the others waiting.

Memory is that of one batch (storage.feed), whatever the backlog. Where a call was begun and its
worker is dead, the call was interrupted: it is stored as far as it came.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from storage import database, segments
from storage.blanking import blank_calls
from storage.capture import Capture, Clock, DropReason
from storage.counters import CountersError, is_alive, read_tally
from storage.database import RowRejected, StoreUnavailable
from storage.derive import derive
from storage.features import features_of_all
from storage.feed import Batch, Feed, Undigested
from storage.grouping import group_of
from storage.labels import Said
from storage.metrics import RecorderMetrics
from storage.poison import PoisonDirectory, undigested
from storage.roster import read_roster
from storage.rows import Checkpoint, Recorded
from storage.scrub import erased_among
from storage.spool import Position, SpoolError
from storage.store import TraceStore
from storage.terms import TextFeatures, text_features_of
from storage.text_sample import TextSample
from storage.trace import Span
from storage.upkeep import Upkeep

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# When all is stored it rests: four times as long as it had been busy, within these limits. Larger
# batches cost less a row, and a core that workers run on, too, is theirs for most of the time.
REST_RATIO: Final = 4
REST_SECONDS_MIN: Final = 0.05
REST_SECONDS_MAX: Final = 0.5
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
        upkeep: Upkeep | None = None,
        texts: TextSample | None = None,
    ) -> None:
        """Without `texts` those of no call are measured."""
        self._spool = spool
        self._poison = PoisonDirectory(poison)
        self._store = store
        self._metrics = metrics
        self._group_by = group_by
        self._clock = clock
        self._upkeep = upkeep
        self._texts = texts
        self._feeds: dict[str, Feed] = {}
        self._complaints: dict[str, str] = {}

    def run(self, stopping: Callable[[], bool]) -> None:
        """Record until `stopping` is true and nothing is left that could be recorded.

        Raises StoreError for a store that waiting will not mend, StoreUnavailable when told to
        stop while there is none.
        """
        self._patiently(self._store.upgrade, stopping)
        began = time.monotonic()
        while True:
            drain = stopping()  # asked before looking: what is there by then is recorded
            found = self.step(stopping)
            if drain and not found:
                return
            if self._upkeep is not None:
                self._upkeep.step()
            if not found:
                busy_seconds = time.monotonic() - began
                time.sleep(min(max(REST_SECONDS_MIN, REST_RATIO * busy_seconds), REST_SECONDS_MAX))
                began = time.monotonic()

    def step(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Store one batch of every worker; tell whether there was anything to store."""
        found = False
        names = segments.writers(self._spool)
        for gone in self._feeds.keys() - set(names):
            del self._feeds[gone]
        for name in names:
            try:
                feed = self._feeds.get(name) or self._begin(name, stopping)
                found |= feed is not None and self._advance(feed, stopping)
            except (SpoolError, CountersError, OSError) as error:
                # Of another version, or damaged, or just deleted: the others must go on. What was
                # read of this one and not stored is read again, from where the store has it.
                self._feeds.pop(name, None)
                if self._complaints.get(name) != str(error):  # once, not twenty times a second
                    self._complaints[name] = str(error)
                    log.error("spool cannot be read writer=%s error=%s", name, error)
        return found

    def _begin(self, name: str, stopping: Callable[[], bool]) -> Feed | None:
        """Take up a writer's spool where the store has it; None where all of it is stored."""
        known = self._patiently(self._store.writers, stopping).get(name)
        if known is not None and known.closed_at is not None:
            segments.delete_writer(self._spool / name)
            return None
        self._feeds[name] = Feed(self._spool / name, known.checkpoint if known else None)
        return self._feeds[name]

    def retry_poison(self, stopping: Callable[[], bool] = lambda: False) -> tuple[int, int]:
        """Try once more to store what is in the poison directory; return how many were, and not.

        For after an upgrade. What still cannot be stored stays there.
        """
        self._patiently(self._store.upgrade, stopping)
        stored = left = 0
        for known in self._poison.list():
            if self._retry(known.call_id, known.writer, stopping):
                self._poison.remove(known.call_id)
                stored += 1
            else:
                left += 1
        return stored, left

    def _retry(self, name: str, writer: str, stopping: Callable[[], bool]) -> bool:
        settled = self._patiently(self._store.writers, stopping).get(writer)
        if settled is None:
            return False
        said = self._poison.read_said(name)
        if said is not None:
            return self._retry_said(said, settled.checkpoint, stopping)
        capture = self._poison.read(name)
        if capture is None:
            return False
        if self._patiently(lambda: self._store.get(capture.id), stopping) is not None:
            return True  # stored by a try that was killed before the file was removed
        try:
            batch = self._digest([capture], [b""])
            insert = partial(self._store.insert, batch, settled.checkpoint, were_poisoned=True)
            self._patiently(insert, stopping)
        except Exception as error:  # noqa: BLE001  whatever it is, the others must go on
            log.warning("call still cannot be stored id=%s error=%s", name, type(error).__name__)
            return False
        return True

    def _retry_said(self, said: Said, checkpoint: Checkpoint, stopping: Callable[[], bool]) -> bool:
        try:
            self._patiently(partial(self._store.insert, [], checkpoint, said=[said]), stopping)
        except RowRejected as error:
            log.warning("still cannot be stored id=%s error=%s", said.id, error)
            return False
        return True

    def _advance(self, feed: Feed, stopping: Callable[[], bool]) -> bool:
        alive = is_alive(feed.directory)
        batch = feed.read()
        if feed.moved:
            self._store_batch(feed, batch, stopping)
            return True
        if not alive:
            self._finish(feed, stopping)
        return False

    def _finish(self, feed: Feed, stopping: Callable[[], bool]) -> None:
        """Store what a dead worker left unfinished, settle its counts, delete its spool."""
        self._metrics.torn(feed.reader.torn_bytes)
        if feed.reader.torn_bytes:
            log.warning("torn tail skipped writer=%s bytes=%d", feed.name, feed.reader.torn_bytes)
        interrupted = 0
        while True:
            batch = feed.take_interrupted()
            self._store_batch(feed, batch, stopping)  # an empty one, too: the writer is known then
            if batch == Batch():
                break
            interrupted += len(batch.captures)
        known = self._patiently(self._store.writers, stopping)[feed.name]
        tally = read_tally(feed.directory)
        dropped = dict(tally.dropped)
        settled = known.stored + known.poisoned + tally.sampled_out + tally.opted_out
        lost = tally.accepted - settled - sum(dropped.values())
        dropped[DropReason.WORKER_DIED] += max(lost, 0)
        # After a power cut the counters may be older than the spool: it has the last word.
        accepted = tally.accepted + max(-lost, 0)
        closed = tally._replace(accepted=accepted, dropped=dropped)
        ids = read_roster(feed.directory)
        gone = dict.fromkeys(ids.open, DropReason.WORKER_DIED) | ids.dropped
        self._patiently(lambda: self._store.note_dropped(gone), stopping)
        self._patiently(lambda: self._store.close_writer(feed.name, closed), stopping)
        segments.delete_writer(feed.directory)
        log.info(
            "worker settled writer=%s accepted=%d stored=%d interrupted=%d lost=%d",
            feed.name, accepted, known.stored, interrupted, max(lost, 0),
        )  # fmt: skip

    def _store_batch(self, feed: Feed, found: Batch, stopping: Callable[[], bool]) -> None:
        started = time.perf_counter()
        if self._texts is not None:
            self._patiently(partial(self._texts.prepare, found.captures), stopping)
        batch, refused = self._digest_batch(found)
        checkpoint = feed.checkpoint()
        self._put_aside(refused, feed, stopping)
        poisoned = sum(not each.is_said for each in refused)
        insert = partial(self._store.insert, batch, checkpoint, poisoned=poisoned, said=found.said)
        try:
            self._patiently(insert, stopping)
        except RowRejected:
            poisoned += self._store_one_by_one(batch, found.said, feed, stopping)
            self._patiently(lambda: self._store.insert([], checkpoint, poisoned=poisoned), stopping)
        if found.said:
            self._patiently(lambda: self._blank_refused(feed, found.said, checkpoint), stopping)
        feed.committed(checkpoint)
        self._metrics.stored(
            [recorded.span for recorded in batch],
            seconds=time.perf_counter() - started,
            now_ns=self._clock.wall_ns(),
        )
        self._metrics.said(found.said)

    def _store_one_by_one(
        self,
        batch: Iterable[Recorded],
        said: Iterable[Said],
        feed: Feed,
        stopping: Callable[[], bool],
    ) -> int:
        """Store what can be stored of a refused batch; return how many calls could not be."""
        refused = []
        for recorded in batch:
            try:
                insert = partial(self._store.insert, [recorded], feed.last_checkpoint)
                self._patiently(insert, stopping)
            except RowRejected as error:
                refused.append(undigested(recorded.capture, error))
        for each in said:
            try:
                insert = partial(self._store.insert, [], feed.last_checkpoint, said=[each])
                self._patiently(insert, stopping)
            except RowRejected as error:
                refused.append(undigested(each, error))
        self._put_aside(refused, feed, stopping)
        return sum(not each.is_said for each in refused)

    def _blank_refused(self, feed: Feed, said: Iterable[Said], checkpoint: Checkpoint) -> None:
        """Overwrite in the spool what was said of erased calls: nobody else looks for it there."""
        with database.reading(self._store.engine) as connection:
            erased = erased_among(connection, [each.id for each in said])
        if erased:
            blank_calls(feed.directory, erased, Position(checkpoint.segment, checkpoint.offset))

    def _digest_batch(self, found: Batch) -> tuple[list[Recorded], list[Undigested]]:
        """Make calls ready to be stored; return them, and all that cannot be."""
        refused = found.undigested
        try:
            return self._digest(found.captures, found.encoded), refused
        except Exception:  # noqa: BLE001  of one call, which is looked for
            batch: list[Recorded] = []
        for capture, encoded in zip(found.captures, found.encoded, strict=True):
            try:
                batch += self._digest([capture], [encoded])
            except Exception as error:
                log.exception("call could not be understood id=%s", capture.id)
                refused.append(undigested(capture, error))
        return batch, refused

    def _digest(self, captures: Sequence[Capture], encoded: Sequence[bytes]) -> list[Recorded]:
        """Understand and measure calls: one step for all of them, then the next.

        A step's code stays in the nearest cache of the core so: a ninth less time for all that is
        done to a row than with every step for one call, then for the next.
        """
        spans = list(map(derive, captures))
        groups = [
            group_of(span, capture, self._group_by)
            for span, capture in zip(spans, captures, strict=True)
        ]
        features = features_of_all(spans)
        # The last step, for it counts the calls: it must not see one twice.
        texts = list(map(self._measure_texts, captures, spans))
        return list(map(Recorded, captures, spans, groups, features, encoded, texts))

    def _measure_texts(self, capture: Capture, span: Span) -> TextFeatures | None:
        """Measure the texts of a call that is in the sample."""
        bits = None if self._texts is None else self._texts.bits_for(capture)
        if bits is None:
            return None
        try:
            return text_features_of(span, bits)
        except Exception:  # of a foreign library: it must not cost the record
            log.exception("texts could not be measured id=%s", capture.id)
            return None

    def _put_aside(
        self, refused: Iterable[Undigested], feed: Feed, stopping: Callable[[], bool]
    ) -> None:
        """Keep calls that cannot be stored, with the reason, where an operator can find them."""
        for call in refused:
            self._patiently(partial(self._poison.put, call, feed.name, self._clock), stopping)
            if call.call_id and not call.is_said:
                noted = {call.call_id: DropReason.POISON}
                self._patiently(partial(self._store.note_dropped, noted), stopping)

    def _patiently(self, attempt: Callable[[], Result], stopping: Callable[[], bool]) -> Result:
        """Do what needs the store; while it is not there, wait and try again."""
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
