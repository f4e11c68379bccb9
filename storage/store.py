"""TraceStore: insert, get, list, scan, ledger.

A batch and its spool checkpoint are stored in one transaction, or nothing is. A call is stored
once, whatever is replayed: its id decides. The side of a group is written when its first call
is, in the same transaction. Reading is in storage.reader.

Limits: a batch is meant to hold some hundred calls (the recorder's business). In SQLite one
process writes at a time, others wait up to `storage.sqlite.BUSY_SECONDS`; in PostgreSQL several
hosts write at once, but for what `_place` has to see in order. Readers never wait. Deriving is
not here, nor deleting (storage.eraser, storage.retention).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, select, update

from storage import bodies, database, erasure, label_store, reservation, search
from storage.bodies import BodyWriter, Encoded
from storage.capture import Clock, new_id
from storage.counters import Tally
from storage.database import StoreError, insert_missing, insert_rows
from storage.departures import settle_departures
from storage.dropped import note_dropped
from storage.labels import Said
from storage.links import Links
from storage.partitions import Partitions
from storage.reader import StoreReader
from storage.reservation import TEST_RATIO, VAL_RATIO, Policy
from storage.retakes import NO_RETAKE, Retakes, is_named
from storage.roster import NoRowReason
from storage.rows import (
    Checkpoint,
    DatasetItem,
    Placed,
    Recorded,
    Values,
    call_values,
    feature_values,
    tag_values,
    text_feature_values,
)
from storage.schema import (
    call,
    dataset,
    dataset_item,
    spool_checkpoint,
    tag,
    text_feature,
    tool_set,
)
from storage.search_words import entry_of
from storage.short_columns import shorten
from storage.tool_sets import tool_set_of

# Rows of a dataset handed to the driver together, in the order of their key: of 350,000 one takes
# 9 microseconds in SQLite, and 13 in parts of 5,000 as they come.
ITEMS_AT_ONCE = 20_000


class ErasedMeanwhile(StoreError):
    """A dataset holds calls that have been erased since they were read."""


class TraceStore(StoreReader):
    """The store of a data directory. Threads may share it; processes each make their own."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        test_ratio: float = TEST_RATIO,
        val_ratio: float = VAL_RATIO,
        searchable: bool = False,
    ) -> None:
        """Take a SQLAlchemy URL, and the ratios for a project's first policy. Open nothing.

        `searchable`: `upgrade` makes an index of words, and new calls enter it (storage.search).
        Raise StoreError for a URL that cannot be a store, PolicyError for ratios that leave no
        train.
        """
        reservation.validate_ratios(test_ratio, val_ratio)
        super().__init__(database.open_engine(url))
        self._partitions = Partitions(self._engine)
        self._bodies = BodyWriter()
        self._retakes = Retakes()
        self._clock = clock
        self._ratios = (test_ratio, val_ratio)
        self._searchable = searchable

    def upgrade(self, progress: Callable[[str], None] = lambda _done: None) -> None:
        """Create or upgrade the tables. Safe when several processes call it at once.

        `progress` is told each revision that is done. Raise StoreTooNew where a newer shalt has
        upgraded them, StoreUnavailable where the database cannot be written.
        """
        database.upgrade(self._engine, progress)
        self._partitions.prepare([], self._clock.wall_ns())
        if self._searchable:
            with database.writing(self._engine) as connection:
                search.create(connection)

    def check(self, wait_seconds: float = 0.0) -> None:
        """Make sure the tables are there and are this version's, waiting so long for them.

        Raise StoreNotReady where they are not, StoreTooNew where they are of a newer shalt.
        """
        database.check(self._engine, wait_seconds)

    def close(self) -> None:
        """Close the connections. The next use opens new ones."""
        self._engine.dispose()

    def insert(
        self,
        batch: Sequence[Recorded],
        checkpoint: Checkpoint,
        *,
        poisoned: int = 0,
        were_poisoned: bool = False,
        said: Sequence[Said] = (),
    ) -> int:
        """Store calls, what was `said` of calls, and how far the spool is stored with them.

        All in one transaction. Return how many calls were new; those and `poisoned` (calls before
        the checkpoint that could not be stored) are added to the writer's counts; those that
        `were_poisoned` are taken off them again. A call that is there already is passed over, and
        so is what was said before. A call that has been erased is counted as stored, and is not.
        Raise RowRejected where one of them cannot be stored whatever one does: store them one by
        one to find it. Raise StoreUnavailable where trying again later will do.
        """
        calls = {recorded.span.id: recorded for recorded in reversed(batch)}
        if not self._bodies.loaded:
            with database.reading(self._engine) as connection:
                self._bodies.load(connection)
        # Compressing takes longer than all else: do it before taking the write lock.
        in_order = [calls[id] for id in sorted(calls)]
        encoded = self._bodies.encode(in_order)
        words = {id: entry_of(each.span) for id, each in calls.items() if self._searchable}
        try:
            self._partitions.prepare(calls, self._clock.wall_ns())
            with database.writing(self._engine) as connection:
                label_store.keep_apart(connection, adding=bool(said))
                unknown = self._unknown(connection, calls)
                refused = erasure.refuse(connection, unknown)
                gone = refused.fresh | refused.again
                kept = [each for each in unknown if each.span.id not in gone]
                new = self._insert_calls(connection, kept, encoded)
                ours = [encoded[recorded.span.id] for recorded in new]
                bodies.write(connection, self._bodies.rows(connection, ours, self._now_us()))
                search.add(connection, [words[each.span.id] for each in new if words])
                label_store.join(connection, new, self._now_us())
                label_store.forget_refused(connection, sorted(gone))
                label_store.add(connection, said, self._now_us())
                stored = len(new) + len(refused.fresh)
                self._advance(connection, checkpoint, stored, poisoned, len(refused.again))
                if were_poisoned and stored:
                    took_back = {"poisoned": spool_checkpoint.c.poisoned - stored}
                    _update_writer(connection, checkpoint.writer, {}, took_back)
        except StoreError:
            self._bodies.failed()
            self._retakes.forget()
            self._partitions.forget()  # it may be for want of one
            raise
        self._bodies.committed()
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
        self,
        project: str,
        directory: str,
        manifest_sha256: str,
        items: Iterable[DatasetItem],
        named: Iterable[str] = (),
    ) -> str:
        """Remember a published dataset and every call that left in it; return its id.

        `named`: ids of calls that its lists and samples speak of, although they may be no rows.
        Both are consumed while the store is locked for writing: have them ready. Raise
        ErasedMeanwhile where one of the calls is to be forgotten, ChangedMeanwhile where one may
        not leave there any more (storage.departures); nothing is remembered then.
        """
        dataset_id = new_id(self._clock)
        values: Values = {
            "id": dataset_id,
            "project": project,
            "created_at": self._now_us(),
            "directory": directory,
            "manifest_sha256": manifest_sha256,
        }
        remaining, spoken_of = iter(items), iter(named)
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
                    for item in sorted(part, key=attrgetter("call_id"))
                ]
                insert_rows(connection, dataset_item, rows)
            settle_departures(connection, project, dataset_id, self._now_us())
            is_erased = erasure.holds_erased(connection, dataset_id)
            while not is_erased and (ids := list(islice(spoken_of, ITEMS_AT_ONCE))):
                is_erased = erasure.any_erased(connection, ids)
            if is_erased:
                raise ErasedMeanwhile(
                    f"calls of project {project} were erased while a dataset was made of them: "
                    "make it again. Nothing was published"
                )
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

    def note_dropped(self, dropped: Mapping[str, NoRowReason]) -> None:
        """Remember of calls that were accepted and have no row why that is. May be repeated."""
        if dropped:
            with database.writing(self._engine) as connection:
                note_dropped(connection, dropped)

    def _unknown(self, connection: Connection, calls: dict[str, Recorded]) -> list[Recorded]:
        """Leave out what is stored already. Primary key."""
        ids = sorted(calls)
        among_these = database.among(connection, call.c.id, ids)
        stored = set(connection.scalars(select(call.c.id).where(among_these)))
        return [calls[id] for id in ids if id not in stored]

    def _insert_calls(
        self,
        connection: Connection,
        unknown: Sequence[Recorded],
        encoded: Mapping[str, Encoded],
    ) -> Sequence[Recorded]:
        """Insert all but the bodies, each call where it belongs; return the calls that were new."""
        placed: dict[str, Placed] = {}
        for project in sorted({recorded.span.project for recorded in unknown}):
            of_project = [recorded for recorded in unknown if recorded.span.project == project]
            placed |= self._place(connection, project, of_project)
        marked = [
            self._marked(each, placed[each.span.id], encoded[each.span.id]) for each in unknown
        ]
        rows = [
            call_values(each, place) | feature_values(each)
            for each, place in zip(unknown, marked, strict=True)
        ]
        for row in rows:
            shorten(row)
        inserted = {row["id"] for row in insert_missing(connection, call, rows)}
        new = [each for each in unknown if each.span.id in inserted]
        insert_rows(connection, tag, [values for each in new for values in tag_values(each)])
        texts = [(each.span.id, each.texts) for each in new if each.texts is not None]
        insert_rows(connection, text_feature, [text_feature_values(*each) for each in texts])
        add_tool_sets(connection, new)
        return new

    def _place(
        self, connection: Connection, project: str, new: Sequence[Recorded]
    ) -> dict[str, Placed]:
        """Find the group and side of each new call, and move the stored ones they explain."""
        now_us = self._now_us()
        policy = reservation.ensure_policy(connection, project, *self._ratios, now_us)
        links = Links(connection, project, new)
        sides = reservation.reserve(connection, project, links.own_groups(), policy, now_us)
        links.settle(sides, policy, now_us)
        links.move()
        return {recorded.span.id: links.placed(recorded.span.id) for recorded in new}

    def _marked(self, recorded: Recorded, placed: Placed, encoded: Encoded) -> Placed:
        """Say which calls of its group, as far as remembered, a call repeats or edits."""
        named = is_named(placed.group_source)
        packed = b"" if encoded.parts else encoded.packed
        retake = self._retakes.add(recorded, placed.group_id, named=named, packed=packed)
        return placed if retake == NO_RETAKE else placed._replace(**retake._asdict())

    def _advance(
        self,
        connection: Connection,
        checkpoint: Checkpoint,
        stored: int,
        poisoned: int,
        refused_again: int,
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
            "stored": columns.stored + stored + case((is_there, 0), else_=refused_again),
            "poisoned": columns.poisoned + case((is_there, 0), else_=poisoned),
        }
        if not _update_writer(connection, checkpoint.writer, values, sums):
            fresh = _fresh_writer(checkpoint)
            fresh |= {"stored": stored + refused_again, "poisoned": poisoned}
            insert_rows(connection, spool_checkpoint, [fresh])

    def _now_us(self) -> int:
        return self._clock.wall_ns() // 1000


def add_tool_sets(connection: Connection, new: Sequence[Recorded]) -> None:
    """Write down which tools the sets of some calls hold, where that is not known yet.

    Looked up for each batch: an erasure may take a set away with its last call (storage.deletion).
    Primary key.
    """
    offered = {each.features.tools_hash: each.span.understood.tools for each in new}
    offered.pop("", None)
    if not offered:
        return
    columns = tool_set.c
    among_these = database.among(connection, columns.tools_hash, sorted(offered))
    known = set(connection.scalars(select(columns.tools_hash).where(among_these)))
    rows: list[Values] = [
        {"tools_hash": each.hash, "tools": each.tools}
        for each in map(tool_set_of, (offered[hash] for hash in sorted(offered.keys() - known)))
    ]
    insert_missing(connection, tool_set, rows)


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
