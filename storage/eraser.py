"""The job that erases: rows in chunks, then bytes; receipts of it.

`step` does a piece of it and returns, so that the recorder can call it between its batches
(storage.upkeep); one process at a time is enough, more do no harm. What is left to do stands in
the table `erasure`: killed anywhere, the next one goes on. In order:

    asked      the row is committed: the calls cannot be seen (storage.erasure)
    deleted    a pass over the project's ids has found no more of them
    scrubbed   none of their bytes is left in the store, the spool or the poison directory,
               nor in the row of the erasure itself

The spool is looked at once the recorder has passed what stood there when the erasure was first
seen: a call that was accepted before and stored after is among what it refuses. Where a call is
refused later, because it was still going on, its erasure is scrubbed once more.

Limits: WINDOW_ROWS rows are looked at and CHUNK_CALLS deleted in one transaction; memory holds
those ids and the bodies encoded against them. A step takes STEP_SECONDS, or one transaction.
"""

import logging
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select, update

from storage import database, erasure, label_store, search
from storage.capture import Clock
from storage.column_types import id_text
from storage.deletion import delete_calls, delete_tool_sets, unused_tool_sets
from storage.drift_reports import forget_in_reports
from storage.erasure import Erasure, Kind
from storage.hour_files import HourFiles
from storage.partitions import partition_of
from storage.poison import PoisonDirectory
from storage.reader import StoreReader
from storage.rows import Checkpoint
from storage.schema import call, erased_call
from storage.schema import erasure as erasure_table
from storage.scrub import (
    TRY_AGAIN,
    Order,
    blank_spool,
    clear_poison,
    clear_poison_of_calls,
    erased_among,
    start,
)
from storage.segments import segment_numbers, segment_path, writers
from storage.spool import Position

log = logging.getLogger(__name__)

CHUNK_CALLS: Final = 200  # with 5 KB each some 50 ms, the longest that a recorder waits
WINDOW_ROWS: Final = 20_000
STEP_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0
# Each host looks after its own spool, also where another one has done the rest meanwhile.
LOCAL_SECONDS: Final = 7 * 24 * 3600.0
OVERLAP_SECONDS: Final = 60.0  # a request may be committed later than it was dated
_LAST_ID: Final = "g"  # sorts after every id

Ends = dict[str, Position]  # how far the writers of the spool had come


class _Pass(msgspec.Struct):
    """A walk over the ids of a project. `conclusive`: what it does not find is not there."""

    conclusive: bool
    cursor: str = ""


class _Scrub(NamedTuple):
    """A process that makes bytes unreadable: of which erasures, in which tables of words."""

    process: subprocess.Popen[bytes]
    erasures: Sequence[Erasure]
    words: Sequence[str]


class Eraser:
    """Works off the erasures of one store, and the traces of them in one data directory."""

    def __init__(
        self,
        store: StoreReader,
        *,
        spool: Path,
        poison: Path,
        clock: Clock,
        hours: HourFiles | None = None,
    ) -> None:
        self._store = store
        self._hours = hours
        self._spool = spool
        self._poison = PoisonDirectory(poison)
        self._clock = clock
        self._passes: dict[str, _Pass] = {}
        self._ends: dict[str, Ends] = {}
        self._seen_us = self._now_us() - int(LOCAL_SECONDS * 1e6)
        self._waiting: dict[str, Erasure] = {}  # whose traces in the spool may be there
        self._cleaned: set[tuple[str, int]] = set()
        self._scrub: _Scrub | None = None
        self._not_before = 0.0
        self.erased_count = 0

    def step(self) -> bool:
        """Do the next piece of what is to be done; tell whether there was any.

        Raise StoreUnavailable where trying again later will do, OSError where the spool cannot
        be written.
        """
        pending = self._look()
        for wanted in pending:
            if wanted.deleted_at is None and self._delete(wanted):
                return True
        return self._clean_spool() or self._scrub_store(pending)

    def close(self) -> None:
        """End the process that makes bytes unreadable: the next eraser starts one again."""
        if self._scrub is not None:
            self._scrub.process.kill()
            self._scrub.process.wait()

    def _look(self) -> Sequence[Erasure]:
        with database.reading(self._store.engine) as connection:
            pending = erasure.unfinished(connection)
            recent = erasure.since(connection, self._seen_us)
        self._seen_us = self._now_us() - int(OVERLAP_SECONDS * 1e6)
        for wanted in (*pending, *recent):
            if (wanted.id, wanted.call_count) not in self._cleaned:
                self._waiting[wanted.id] = wanted
        known = self._waiting.keys() | {wanted.id for wanted in pending}
        self._ends = {id: self._ends.get(id) or self._ends_now() for id in known}
        self._passes = {id: walk for id, walk in self._passes.items() if id in known}
        return pending

    def _delete(self, wanted: Erasure) -> bool:
        """Delete a chunk of an erasure's calls, or find that there are no more."""
        walk = self._passes.get(wanted.id)
        if walk is None:
            # What a filter selects is not refused when it comes: it must be here to be found.
            is_all_here = wanted.selection.kind is not Kind.WHERE or self._passed(wanted)
            walk = self._passes[wanted.id] = _Pass(is_all_here)
        elif walk.cursor == _LAST_ID:
            if walk.conclusive:
                self._finish(wanted)
                return True
            if not self._passed(wanted):
                return False
            walk = self._passes[wanted.id] = _Pass(conclusive=True)
        until = time.monotonic() + STEP_SECONDS
        while time.monotonic() < until:
            ids = self._find(wanted, walk)
            if ids:
                self._delete_chunk(wanted, ids)
                return True
            if walk.cursor == _LAST_ID:
                break
        return True

    def _find(self, wanted: Erasure, walk: _Pass) -> Sequence[str]:
        """List the next calls of a window. Index (project, id), twice; moves the cursor."""
        of_project = (call.c.project == wanted.project, call.c.id > walk.cursor)
        with database.reading(self._store.engine) as connection:
            end = connection.scalar(
                select(call.c.id)
                .where(*of_project)
                .order_by(call.c.id)
                .limit(1)
                .offset(WINDOW_ROWS)
            )
            query = select(call.c.id).where(*of_project, erasure.condition_of(wanted))
            if end is not None:
                query = query.where(call.c.id <= end)
            ids = connection.scalars(query.order_by(call.c.id).limit(CHUNK_CALLS)).all()
        walk.cursor = ids[-1] if len(ids) == CHUNK_CALLS else end or _LAST_ID
        return ids

    def _delete_chunk(self, wanted: Erasure, ids: Sequence[str]) -> None:
        if self._hours is not None:  # at first: after a crash the same calls are found again
            self._hours.forget_calls(ids)
        with database.writing(self._store.engine) as connection:
            count = delete_calls(connection, ids, wanted.id)
            _update(connection, wanted, call_count=erasure_table.c.call_count + count)
        self.erased_count += count

    def _finish(self, wanted: Erasure) -> None:
        """The rows are gone: take away the name of whom they were of."""
        named = "" if wanted.selection.hashed else wanted.selection.value
        self._forget_tool_sets()
        with database.reading(self._store.engine) as connection:
            selects = erasure.matcher(connection, wanted)
        clear_poison(self._poison, selects, named)
        forget_in_reports(self._store, wanted.project)
        with database.writing(self._store.engine) as connection:
            label_store.keep_apart(connection, adding=False)
            label_store.forget_waiting(connection, wanted)
            selection = erasure.without_names(connection, wanted)
            _update(
                connection, wanted, selector=erasure.encoded(selection), deleted_at=self._now_us()
            )
        log.info("calls erased erasure=%s kind=%s", wanted.id, wanted.selection.kind)

    def _forget_tool_sets(self) -> None:
        """Delete the sets of tools that only erased calls offered. Their names may be a person's.

        Looked for without a lock first: mostly there are none.
        """
        while True:
            with database.reading(self._store.engine) as connection:
                unused = unused_tool_sets(connection)
            if not unused:
                return
            with database.writing(self._store.engine) as connection:
                if not delete_tool_sets(connection, unused):
                    return

    def _clean_spool(self) -> bool:
        """Look once through the spool and the poison directory, if there is something new."""
        ready = [
            wanted
            for wanted in self._waiting.values()
            if wanted.deleted_at is not None and self._passed(wanted)
        ]
        if not ready:
            return False
        checkpoints = self._store.checkpoints()
        with database.reading(self._store.engine) as connection:
            blank_spool(self._spool, checkpoints, lambda ids: erased_among(connection, ids))
            named = {call_id for wanted in ready for call_id in wanted.selection.ids}
            clear_poison_of_calls(
                self._poison, lambda ids: erased_among(connection, ids) | named.intersection(ids)
            )
            for wanted in ready:
                clear_poison(self._poison, erasure.matcher(connection, wanted), "")
        for wanted in ready:
            self._cleaned.add((wanted.id, wanted.call_count))
            del self._waiting[wanted.id]
        return True

    def _scrub_store(self, pending: Sequence[Erasure]) -> bool:
        """Make the bytes in the database unreadable, of all erasures that are so far at once."""
        if self._scrub is not None:
            return self._end_scrub()
        ready = [
            wanted
            for wanted in pending
            if wanted.deleted_at is not None and (wanted.id, wanted.call_count) in self._cleaned
        ]
        if not ready or time.monotonic() < self._not_before:
            return False
        ids = self._ends_of_times(ready)
        with database.writing(self._store.engine) as connection:
            if search.scrub(connection):
                return True
            words = tuple(search.begin_rewriting(connection, ids))
        url = self._store.engine.url.render_as_string(hide_password=False)
        partitions = tuple(sorted({partition_of(call_id) for call_id in ids}))
        self._scrub = _Scrub(start(Order(url, partitions, words)), ready, words)
        return True

    def _end_scrub(self) -> bool:
        """Take note that the process has ended, if it has."""
        assert self._scrub is not None
        process, scrubbed, words = self._scrub
        code = process.poll()
        if code is None:
            return False
        self._scrub = None
        if code != 0:
            self._not_before = time.monotonic() + RETRY_SECONDS
            if code != TRY_AGAIN:
                log.error("store could not be scrubbed, trying again exit_code=%d", code)
            return False
        with database.writing(self._store.engine) as connection:
            if words:
                search.end_rewriting(connection, words)
            for wanted in scrubbed:
                # Not where a call came meanwhile that had to be refused.
                unchanged = erasure_table.c.call_count == wanted.call_count
                statement = update(erasure_table).where(erasure_table.c.id == wanted.id, unchanged)
                connection.execute(statement.values(scrubbed_at=self._now_us()))
        return True

    def _ends_of_times(self, ready: Sequence[Erasure]) -> Sequence[str]:
        """Return for each time that calls were erased of the first and last id there could be."""
        if self._store.engine.dialect.name != "postgresql":
            return ()
        # A million milliseconds, a quarter of an hour: few enough to be read at once.
        time_of = func.substr(id_text(erased_call.c.call_id), 1, 7)
        of_these = erased_call.c.erasure_id.in_([wanted.id for wanted in ready])
        query = select(time_of).where(of_these).distinct()
        with database.reading(self._store.engine) as connection:
            times = connection.scalars(query).all()
        return [time + rest for time in times for rest in ("0" * 25, "f" * 25)]

    def _passed(self, wanted: Erasure) -> bool:
        """Tell whether the recorder has stored what stood in the spool at first sight."""
        known = self._store.checkpoints()
        there = set(writers(self._spool))
        return all(
            writer not in there or _is_before(end, known.get(writer))
            for writer, end in self._ends[wanted.id].items()
        )

    def _ends_now(self) -> Ends:
        ends: Ends = {}
        for writer in writers(self._spool):
            directory = self._spool / writer
            for number in segment_numbers(directory)[-1:]:
                try:
                    size = segment_path(directory, number).stat().st_size
                except FileNotFoundError:
                    continue
                ends[writer] = Position(number, size)
        return ends

    def _now_us(self) -> int:
        return self._clock.wall_ns() // 1000


def _is_before(end: Position, known: Checkpoint | None) -> bool:
    return known is not None and end <= (known.segment, known.offset)


def _update(connection: Connection, wanted: Erasure, **values: object) -> None:
    statement = update(erasure_table).where(erasure_table.c.id == wanted.id)
    connection.execute(statement.values(**values))
