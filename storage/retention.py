"""What is older than its time is deleted: bodies after so many days, calls after so many.

Age is that of the id, which is when the call began. Where only the body goes, the call's row stays
with its tags and features: lists, counts and drift work on, and who asks for the body is told.
Every chunk is a transaction of its own, with nothing remembered in between: killed anywhere, the
next one goes on where the oldest call is. Nothing is hidden beforehand, and no ids are kept; one
row of `erasure` each (`BODIES_ID`, `CALLS_ID`) tells up to when all is gone, and how many it were.

Hashed words of calls (storage.terms) have an age of their own, and go with the body at the latest.
With a body goes what was written of its answer, with a call all that was said of it; and what was
said of a call that does not come for WAITING_DAYS (storage.labels).

In SQLite the pages are used again; the file does not shrink. In PostgreSQL a week's partition goes
when its last call has, and that of its bodies is emptied before, so that the disk gets it back.

Limits: CHUNK_CALLS in one transaction; memory holds those and the bodies encoded against them.
Ages are the same for all projects.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, func, select, text, update

from storage import database, erasure, label_store
from storage.capture import Clock
from storage.database import StoreUnavailable, insert_new
from storage.deletion import delete_bodies, delete_calls, delete_terms
from storage.erasure import Kind, Selection
from storage.hour_files import HourFiles
from storage.labels import WAITING_DAYS
from storage.partitions import PARTITIONED, partition_of
from storage.reader import StoreReader
from storage.schema import body, call, text_feature
from storage.schema import erasure as erasure_table

log = logging.getLogger(__name__)

CHUNK_CALLS: Final = 200  # some 30 ms
OLDEST_AT_ONCE: Final = 25  # of them, before what is encoded against these comes in
CHUNK_TERMS: Final = 500  # some 5 ms
TERMS_DAYS: Final = 8.0  # a week to compare, and a day to be late
CHECK_SECONDS: Final = 60.0  # between two looks at what has grown too old
DAY_NS: Final = 24 * 3600 * 10**9
LOCK_SECONDS: Final = 2  # others wait behind whoever waits for a partition

BODIES_ID: Final = "0" * 31 + "1"  # erasure.id of what became of bodies by their age
CALLS_ID: Final = "0" * 31 + "2"


class Policy(NamedTuple):
    """After how many days what is deleted; 0 is never, of the terms of texts it is at once."""

    bodies_days: float
    calls_days: float
    terms_days: float = TERMS_DAYS


class Due(NamedTuple):
    """What is too old now."""

    bodies: int
    calls: int


class _Rule(NamedTuple):
    """One age: whose row of `erasure`, whose ids, and before which."""

    erasure_id: str
    bodies_only: bool
    ids: Column[str]
    horizon: str
    horizon_us: int


class Retention:
    """Deletes what is too old, a chunk at a time."""

    def __init__(
        self, store: StoreReader, policy: Policy, *, clock: Clock, hours: HourFiles | None = None
    ) -> None:
        self._store = store
        self._hours = hours
        self._policy = policy
        self._clock = clock
        self._not_before = 0.0
        self.bodies_count = 0
        self.calls_count = 0
        self.terms_count = 0  # calls whose hashed words went
        self.expired_count = 0  # of scores and labels

    def step(self) -> bool:
        """Delete a chunk of what is too old; tell whether there was any.

        Raise StoreUnavailable where trying again later will do, OSError where a file cannot be
        deleted.
        """
        if time.monotonic() < self._not_before:
            return False
        rules = self._rules()
        for rule in rules:
            if self._delete_chunk(rule):
                return True
        for rule in rules:
            self._finish(rule)
        if self._expire() or self._delete_terms():
            return True
        self._forget_hours()
        self._not_before = time.monotonic() + CHECK_SECONDS
        return False

    def due(self) -> Due:
        """Count what is too old now. Scans the ids before each age."""
        counts = {BODIES_ID: 0, CALLS_ID: 0}
        with database.reading(self._store.engine) as connection:
            for rule in self._rules():
                query = select(func.count()).where(rule.ids < rule.horizon)
                counts[rule.erasure_id] = connection.execute(query).scalar_one()
        return Due(counts[BODIES_ID], counts[CALLS_ID])

    def _rules(self) -> Sequence[_Rule]:
        """List the ages that are set. What goes whole need not go in two parts."""
        now_ns = self._clock.wall_ns()
        policy = self._policy
        ages = [(CALLS_ID, False, call.c.id, policy.calls_days)]
        if not policy.calls_days or policy.bodies_days < policy.calls_days:
            ages.append((BODIES_ID, True, body.c.call_id, policy.bodies_days))
        rules = []
        for erasure_id, bodies_only, ids, days in ages:
            before_ns = max(now_ns - int(days * DAY_NS), 0)
            if days:
                horizon = f"{before_ns // 1_000_000:012x}"
                rules.append(_Rule(erasure_id, bodies_only, ids, horizon, before_ns // 1000))
        return rules

    def _delete_chunk(self, rule: _Rule) -> bool:
        oldest = select(rule.ids).where(rule.ids < rule.horizon).order_by(rule.ids)
        with database.reading(self._store.engine) as connection:
            ids = connection.scalars(oldest.limit(CHUNK_CALLS)).all()
            ids = _with_dependants(connection, ids, rule.horizon)
        if not ids:
            return False
        with database.writing(self._store.engine) as connection:
            if rule.bodies_only:
                delete_bodies(connection, ids)
                count = len(ids)
                self.bodies_count += count
            else:
                count = delete_calls(connection, ids)
                self.calls_count += count
            self._write_down(connection, rule, call_count=erasure_table.c.call_count + count)
        return True

    def _delete_terms(self) -> bool:
        """Delete a chunk of the hashed words that are too old. Primary key."""
        before_ns = max(self._clock.wall_ns() - int(self._policy.terms_days * DAY_NS), 0)
        ids = text_feature.c.call_id
        oldest = select(ids).where(ids < f"{before_ns // 1_000_000:012x}").order_by(ids)
        with database.reading(self._store.engine) as connection:
            old = connection.scalars(oldest.limit(CHUNK_TERMS)).all()
        if not old:
            return False
        with database.writing(self._store.engine) as connection:
            delete_terms(connection, old)
        self.terms_count += len(old)
        return True

    def _forget_hours(self) -> None:
        """Delete the files made of calls, or of words, that are too old."""
        if self._hours is None:
            return
        now_us = self._clock.wall_ns() // 1000
        policy = self._policy
        if policy.calls_days:
            self._hours.forget_older(now_us - int(policy.calls_days * DAY_NS) // 1000)
        # Words go with the body at the latest.
        terms_days = min(policy.terms_days, policy.bodies_days or policy.terms_days)
        self._hours.forget_terms(now_us - int(terms_days * DAY_NS) // 1000)

    def _expire(self) -> bool:
        """Delete a chunk of what was said of calls that have not come for WAITING_DAYS."""
        before_us = (self._clock.wall_ns() - WAITING_DAYS * DAY_NS) // 1000
        with database.writing(self._store.engine) as connection:
            count = label_store.expire(connection, before_us)
        self.expired_count += count
        if count:
            log.info("scores and labels expired without a call count=%d", count)
        return count > 0

    def _finish(self, rule: _Rule) -> None:
        """Write down that nothing is left from before the horizon; give back what is empty."""
        until = erasure.encoded(Selection(Kind.RETENTION, until=rule.horizon_us))
        now_us = self._clock.wall_ns() // 1000
        with database.writing(self._store.engine) as connection:
            self._write_down(
                connection, rule, selector=until, deleted_at=now_us, scrubbed_at=now_us
            )
        if self._store.engine.dialect.name == "postgresql":
            self._give_back(rule)

    def _write_down(self, connection: Connection, rule: _Rule, **values: object) -> None:
        now_us = self._clock.wall_ns() // 1000
        connection.execute(
            insert_new(connection, erasure_table).values(
                id=rule.erasure_id,
                project="",
                kind=Kind.RETENTION.value,
                selector=erasure.encoded(Selection(Kind.RETENTION)),
                bodies_only=rule.bodies_only,
                reason="",
                requested_at=now_us,
                call_count=0,
                # No more to be scrubbed than this: what is freed is used again.
                scrubbed_at=now_us,
            )
        )
        written = update(erasure_table).where(erasure_table.c.id == rule.erasure_id)
        connection.execute(written.values(**values))

    def _give_back(self, rule: _Rule) -> None:
        """Drop the partitions that are empty for good, or those of bodies: empty them for good."""
        tables = [body] if rule.bodies_only else list(PARTITIONED)
        last = partition_of(rule.horizon + "0" * 20).name
        if not last[0].isdigit():
            return  # before the first week, or after the last: those two partitions stay
        with database.reading(self._store.engine) as connection:
            names = [name for name in _partition_names(connection) if name < last]
        for name in names:
            partitions = [f"{table.name}_{name}" for table in tables]
            verb = "TRUNCATE" if rule.bodies_only else "DROP TABLE"
            try:
                self._give_back_one(partitions, verb)
            except StoreUnavailable as error:  # in use: there is a next time
                log.info("partition not given back yet name=%s error=%s", name, error)

    def _give_back_one(self, partitions: Sequence[str], verb: str) -> None:
        with database.writing(self._store.engine) as connection:
            sizes = [
                connection.scalar(
                    text("SELECT pg_relation_size(to_regclass(:name))"), {"name": name}
                )
                for name in partitions
            ]
            if verb == "TRUNCATE" and not any(sizes):
                return
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            for name in partitions:
                connection.exec_driver_sql(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
                if connection.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1").first():  # noqa: S608  names of the schema
                    return
            for name in partitions:
                connection.exec_driver_sql(f"{verb} {name}")
        log.info("partitions given back names=%s", ",".join(partitions))


def _with_dependants(connection: Connection, oldest: Sequence[str], horizon: str) -> Sequence[str]:
    """Choose CHUNK_CALLS of the oldest calls and those encoded against them that are as due.

    Else these would be written anew without what goes, and go themselves in the next chunk or the
    one after. Index (base_id); a chain of bases is storage.packing.DEPTH_MAX long at most.
    """
    chosen: dict[str, None] = {}
    dependants = select(body.c.call_id).where(body.c.call_id < horizon)
    for start in range(0, len(oldest), OLDEST_AT_ONCE):
        some: Sequence[str] = oldest[start : start + OLDEST_AT_ONCE]
        while (room := CHUNK_CALLS - len(chosen)) and some:
            chosen |= dict.fromkeys(some[:room])
            on_these = database.among(connection, body.c.base_id, some)
            found = connection.scalars(dependants.where(on_these).order_by(body.c.call_id))
            some = [each for each in found if each not in chosen]
    return list(chosen)


def _partition_names(connection: Connection) -> Sequence[str]:
    """List the weeks that `call` has partitions of, as they are named. Those without end stay."""
    query = text(
        "SELECT substr(child.relname, 6) FROM pg_inherits JOIN pg_class AS child"
        " ON child.oid = inhrelid WHERE inhparent = to_regclass('call')"
        " AND child.relname ~ '^call_[0-9]' ORDER BY 1"
    )
    return connection.scalars(query).all()
