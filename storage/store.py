"""TraceStore: insert, get, list, scan, ledger.

A batch and its spool checkpoint are stored in one transaction, or nothing is. A call is stored
once, whatever is replayed: its id decides. The side of a group is written when its first call
is, in the same transaction. Reading is in storage.reader.

Limits: a batch is meant to hold some hundred calls (the recorder's business). In SQLite one
process writes at a time, others wait up to `storage.sqlite.BUSY_SECONDS`; in PostgreSQL several
hosts write at once, but for what `_place` has to see in order. Readers never wait. Deriving,
retention and erasure are not here.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import msgspec
import zstandard
from sqlalchemy import ColumnElement, Connection, and_, case, select, update

from storage import database, reservation
from storage.capture import Clock, new_id
from storage.counters import Tally
from storage.database import StoreUnavailable, insert_missing, insert_rows
from storage.links import Links
from storage.partitions import Partitions
from storage.reader import StoreReader
from storage.reservation import IN_MAX, TEST_RATIO, VAL_RATIO, Policy
from storage.rows import (
    ZSTD_LEVEL,
    Checkpoint,
    DatasetItem,
    Placed,
    Recorded,
    Values,
    body_values,
    call_values,
    feature_values,
    tag_values,
)
from storage.schema import body, call, dataset, dataset_item, feature, spool_checkpoint, tag

ITEMS_AT_ONCE = 5_000  # rows of a dataset handed to the driver together


class TraceStore(StoreReader):
    """The store of a data directory. Threads may share it; processes each make their own."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        test_ratio: float = TEST_RATIO,
        val_ratio: float = VAL_RATIO,
    ) -> None:
        """Take a SQLAlchemy URL, and the ratios for a project's first policy. Open nothing.

        Raise StoreError for a URL that cannot be a store, PolicyError for ratios that leave no
        train.
        """
        reservation.validate_ratios(test_ratio, val_ratio)
        super().__init__(database.open_engine(url))
        self._partitions = Partitions(self._engine)
        self._clock = clock
        self._ratios = (test_ratio, val_ratio)

    def upgrade(self) -> None:
        """Create or upgrade the tables. Safe when several processes call it at once.

        Raise StoreTooNew where a newer shalt has upgraded them, StoreUnavailable where the
        database cannot be written.
        """
        database.upgrade(self._engine)
        self._partitions.prepare([], self._clock.wall_ns())

    def check(self, wait_seconds: float = 0.0) -> None:
        """Make sure the tables are there and are this version's, waiting so long for them.

        Raise StoreNotReady where they are not, StoreTooNew where they are of a newer shalt.
        """
        database.check(self._engine, wait_seconds)

    def close(self) -> None:
        """Close the connections. The next use opens new ones."""
        self._engine.dispose()

    def insert(
        self, batch: Sequence[Recorded], checkpoint: Checkpoint, *, poisoned: int = 0
    ) -> int:
        """Store calls and how far the spool is stored with them, in one transaction.

        Return how many calls were new; those and `poisoned` (calls before the checkpoint that
        could not be stored) are added to the writer's counts. A call that is there already is
        passed over. Raise RowRejected where one of them cannot be stored whatever one does:
        store them one by one to find it. Raise StoreUnavailable where trying again later will do.
        """
        calls = {recorded.span.id: recorded for recorded in reversed(batch)}
        # Compressing takes longer than all else: do it before taking the write lock.
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        bodies = {id: body_values(recorded, compressor) for id, recorded in calls.items()}
        try:
            self._partitions.prepare(calls, self._clock.wall_ns())
            with database.writing(self._engine) as connection:
                new = self._insert_calls(connection, self._unknown(connection, calls))
                insert_rows(connection, body, [bodies[recorded.span.id] for recorded in new])
                self._advance(connection, checkpoint, len(new), poisoned)
        except StoreUnavailable:
            self._partitions.forget()  # it may be for want of one
            raise
        return len(new)

    def change_policy(self, project: str, test_ratio: float, val_ratio: float) -> Policy:
        """Put new ratios in force for groups to come; reserved ones stay where they are.

        Return the policy now in force. Raise PolicyError for ratios that leave no train.
        """
        with database.writing(self._engine) as connection:
            return reservation.change_policy(
                connection, project, test_ratio, val_ratio, self._now_us()
            )

    def record_dataset(
        self, project: str, directory: str, manifest_sha256: str, items: Iterable[DatasetItem]
    ) -> str:
        """Remember a published dataset and every call that left in it; return its id.

        `items` is consumed while the store is locked for writing: have it ready.
        """
        dataset_id = new_id(self._clock)
        values: Values = {
            "id": dataset_id,
            "project": project,
            "created_at": self._now_us(),
            "directory": directory,
            "manifest_sha256": manifest_sha256,
        }
        remaining = iter(items)
        with database.writing(self._engine) as connection:
            insert_rows(connection, dataset, [values])
            while part := list(islice(remaining, ITEMS_AT_ONCE)):
                rows: list[Values] = [
                    {
                        "dataset_id": dataset_id,
                        "call_id": item.call_id,
                        "group_id": item.group_id,
                        "side": item.side.value,
                    }
                    for item in part
                ]
                insert_rows(connection, dataset_item, rows)
        return dataset_id

    def close_writer(self, writer: str, tally: Tally) -> None:
        """Write down what a writer that has ended had counted. May be repeated.

        `tally.spooled` is not kept: it is what was stored and poisoned, which the store knows.
        """
        values: Values = {
            "accepted": tally.accepted,
            "sampled_out": tally.sampled_out,
            "opted_out": tally.opted_out,
            "dropped": msgspec.json.encode(tally.dropped).decode(),
            "closed_at": self._now_us(),
        }
        with database.writing(self._engine) as connection:
            if not _update_writer(connection, writer, values):
                # It never had a call stored, so nothing of its spool was read.
                insert_rows(
                    connection, spool_checkpoint, [_fresh_writer(Checkpoint(writer, 0, 0)) | values]
                )

    def _unknown(self, connection: Connection, calls: dict[str, Recorded]) -> list[Recorded]:
        """Leave out what is stored already. Primary key."""
        ids = sorted(calls)
        stored: set[str] = set()
        for start in range(0, len(ids), IN_MAX):
            part = ids[start : start + IN_MAX]
            stored.update(connection.scalars(select(call.c.id).where(call.c.id.in_(part))))
        return [calls[id] for id in ids if id not in stored]

    def _insert_calls(
        self, connection: Connection, unknown: Sequence[Recorded]
    ) -> Sequence[Recorded]:
        """Insert all but the bodies, each call where it belongs; return the calls that were new."""
        placed: dict[str, Placed] = {}
        for project in sorted({recorded.span.project for recorded in unknown}):
            of_project = [recorded for recorded in unknown if recorded.span.project == project]
            placed |= self._place(connection, project, of_project)
        rows = [call_values(each, placed[each.span.id]) for each in unknown]
        inserted = {row["id"] for row in insert_missing(connection, call, rows)}
        new = [each for each in unknown if each.span.id in inserted]
        insert_rows(connection, feature, [feature_values(each) for each in new])
        insert_rows(connection, tag, [values for each in new for values in tag_values(each)])
        return new

    def _place(
        self, connection: Connection, project: str, new: Sequence[Recorded]
    ) -> dict[str, Placed]:
        """Find the group and side of each new call, and move the stored ones they explain."""
        now_us = self._now_us()
        policy = reservation.ensure_policy(connection, project, *self._ratios, now_us)
        links = Links(connection, project, new)
        links.settle(reservation.reserve(connection, project, links.own_groups(), policy, now_us))
        links.move()
        return {recorded.span.id: links.placed(recorded.span.id) for recorded in new}

    def _advance(
        self, connection: Connection, checkpoint: Checkpoint, stored: int, poisoned: int
    ) -> None:
        """Write how far the spool is stored. What was committed unheard is not counted twice."""
        columns = spool_checkpoint.c
        values: Values = {
            "segment": checkpoint.segment,
            "offset": checkpoint.offset,
            "opened": checkpoint.opened,
        }
        is_there = and_(*(columns[name] == value for name, value in values.items()))
        sums: dict[str, ColumnElement[int]] = {
            "stored": columns.stored + stored,
            "poisoned": columns.poisoned + case((is_there, 0), else_=poisoned),
        }
        if not _update_writer(connection, checkpoint.writer, values, sums):
            fresh = _fresh_writer(checkpoint) | {"stored": stored, "poisoned": poisoned}
            insert_rows(connection, spool_checkpoint, [fresh])

    def _now_us(self) -> int:
        return self._clock.wall_ns() // 1000


def _update_writer(
    connection: Connection,
    writer: str,
    values: Values,
    sums: Mapping[str, ColumnElement[int]] | None = None,
) -> bool:
    """Update a writer's row; tell whether there was one. Primary key."""
    statement = update(spool_checkpoint).where(spool_checkpoint.c.writer == writer)
    result = connection.execute(statement.values({**values, **(sums or {})}))
    return result.rowcount == 1


def _fresh_writer(checkpoint: Checkpoint) -> Values:
    return {**msgspec.structs.asdict(checkpoint), "stored": 0, "poisoned": 0}
