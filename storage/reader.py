"""Everything that only looks at the store: calls, groups, sides, checkpoints, ledger.

Lists read `call` and `tag`, never `body`. Scans stream in constant memory and hold one reading
transaction from the first row to the last: a call moved meanwhile (storage.links) is seen before
or after, never both. Several reads see one state when they are made through one `snapshot`.

What is to be forgotten (storage.erasure) is not there, whatever one asks, although its rows may be.
A call whose body was deleted by its age (storage.retention) has its row, and no capture.

`where` is text in the language of storage.filters; a wrong one raises its FilterError. What is
wrong with the database raises StoreUnavailable or StoreNotReady (storage.database).
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

from storage import database, group_counts, label_rows, reservation, time_counts, withheld
from storage.bodies import BodyReader
from storage.capture import DropReason
from storage.counters import Tally
from storage.erasure import visible
from storage.labels import Label, Score
from storage.lists import Listing, conditions
from storage.reservation import Policy
from storage.rows import (
    CALL_COLUMNS,
    FEATURE_COLUMNS,
    IS_MEASURED,
    CallRow,
    Checkpoint,
    GroupSize,
    LedgerTotals,
    MeasuredCall,
    PeriodCount,
    SideCount,
    StoredCall,
    Writer,
    features_of_row,
    row_of,
    time_of,
)
from storage.schema import body, call, spool_checkpoint, tag
from storage.trace import Side
from storage.withheld import TargetedSet, TimeRange, Withheld

PAGE_ROWS = 500  # about 1 MB of objects; below reservation.IN_MAX, for a page's ids are one IN
# Compressed bodies held at a time while scanning; one that is larger comes alone.
BODIES_BYTES_MAX = 32 * 2**20

_Query = Select[*tuple[Any, ...]]
_Found = Row[*tuple[Any, ...]]

_decode_dropped = msgspec.json.Decoder(dict[DropReason, int]).decode


class StoreReader:
    """The store as one looks at it: as it is at each read, or one state of it (`snapshot`)."""

    def __init__(self, engine: Engine, pinned: Connection | None = None) -> None:
        self._engine = engine
        self._pinned = pinned

    @property
    def engine(self) -> Engine:
        """The database, for who deletes from it (storage.eraser, storage.retention)."""
        return self._engine

    @contextmanager
    def snapshot(self) -> Iterator["StoreReader"]:
        """Look at one state of the store until the end of the block. Not for several threads.

        SQLite cannot tidy its log meanwhile: it grows by what is recorded in that time.
        """
        with self.reading() as connection:
            yield StoreReader(self._engine, connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction to ask what is not asked here: that of the snapshot, or a new one."""
        if self._pinned is not None:
            yield self._pinned
        else:
            with database.reading(self._engine) as connection:
                yield connection

    def get(self, call_id: str, project: str | None = None) -> StoredCall | None:
        """Read one call, None where there is none (in this project). Uses the primary keys."""
        query = select(*CALL_COLUMNS).where(call.c.id == call_id)
        if project is not None:
            query = query.where(call.c.project == project)
        with self.reading() as connection:
            found = connection.execute(query.where(*visible(connection))).first()
            if found is None:
                return None
            (row,) = _with_tags(connection, [found])
            captures = dict(BodyReader(connection).captures([call_id]))
        return StoredCall(row, captures.get(call_id))

    def list(
        self,
        project: str,
        where: str | None = None,
        *,
        limit: int,
        before: str | None = None,
        after: str | None = None,
        search: str | None = None,
    ) -> Sequence[CallRow]:
        """Read the newest calls, newest first; `before` is the last id of the page before.

        With `after`, the first id of a page, those that are next newer than it, newest first too.
        `search` is text in the language of storage.search_words, for which there must be an index;
        a wrong one raises its SearchError. Which index finds the calls: storage.lists.
        """
        listing = Listing(project, where, limit=limit, before=before, after=after, words=search)
        rows: list[CallRow] = []
        with self.reading() as connection:
            found = listing.read(connection)
            for start in range(0, len(found), PAGE_ROWS):
                rows += _with_tags(connection, found[start : start + PAGE_ROWS])
        return rows

    def ids(self, project: str, where: str | None = None, *, first: str) -> Sequence[str]:
        """List the ids of calls from an id on, oldest first. Index (project, id)."""
        query = select(call.c.id).where(*conditions(project, where), call.c.id >= first)
        with self.reading() as connection:
            query = query.where(*visible(connection)).order_by(call.c.id)
            return connection.scalars(query).all()

    def rows(self, ids: Sequence[str]) -> Sequence[CallRow]:
        """Read some calls, in the order of their ids; none for an id that is not there."""
        rows: list[CallRow] = []
        with self.reading() as connection:
            for start in range(0, len(ids), PAGE_ROWS):
                among = call.c.id.in_(ids[start : start + PAGE_ROWS])
                query = select(*CALL_COLUMNS).where(among, *visible(connection))
                rows += _with_tags(connection, connection.execute(query.order_by(call.c.id)).all())
        return rows

    def scan(
        self,
        project: str,
        where: str | None = None,
        *,
        side: Side | None = None,
        by_group: bool = False,
    ) -> Generator[StoredCall]:
        """Read all calls in the order of their ids, or group by group and by id within each.

        Index (project, id), or (project, group_id) and a sort within each group.
        """
        size = select(func.length(body.c.capture)).where(body.c.call_id == call.c.id)
        query = _calls(project, where, side, size.scalar_subquery().label("body_bytes"))
        order = (call.c.group_id, call.c.id) if by_group else (call.c.id,)
        with self.reading() as connection:
            bodies = BodyReader(connection)
            query = query.where(*visible(connection)).order_by(*order)
            for page in _pages(connection, query):
                sizes = [found.body_bytes or 0 for found in page]
                rows = _with_tags(connection, page)
                for part in _parts(rows, sizes):
                    captures = bodies.captures([row.id for row in part])
                    following = next(captures, None)
                    for row in part:
                        capture = None
                        if following is not None and following[0] == row.id:
                            capture, following = following[1], next(captures, None)
                        yield StoredCall(row, capture)

    def features(
        self,
        project: str,
        where: str | None = None,
        *,
        side: Side | None = None,
        by_group: bool = False,
    ) -> Iterator[Sequence[MeasuredCall]]:
        """Read what was measured of all calls, in pages, in the orders that `scan` has.

        Index (project, id), or what the planner prefers for the filter, and a sort.
        """
        query = _calls(project, where, side, *FEATURE_COLUMNS)
        order = (call.c.group_id, call.c.id) if by_group else (call.c.id,)
        query = query.where(IS_MEASURED).order_by(*order)
        with self.reading() as connection:
            for page in _pages(connection, query.where(*visible(connection))):
                rows = _with_tags(connection, page)
                yield [
                    MeasuredCall(row, features_of_row(found))
                    for row, found in zip(rows, page, strict=True)
                ]

    def count(self, project: str, where: str | None = None, *, side: Side | None = None) -> int:
        """Count calls. Scans an index of the project, or its calls where there is a filter."""
        is_all = where is None and side is None  # counted in an index alone, whichever
        matching = conditions(project, where, side, has_order=is_all)
        query = select(func.count()).select_from(call).where(*matching)
        with self.reading() as connection:
            return connection.execute(query.where(*visible(connection))).scalar_one()

    def counts_over_time(
        self,
        project: str,
        where: str | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta = timedelta(hours=1),
    ) -> Sequence[PeriodCount]:
        """Count the calls of each period of `step`; see `storage.time_counts.count_periods`."""
        with self.reading() as connection:
            return time_counts.count_periods(connection, project, where, since, until, step)

    def first_start(self, project: str, *, since: datetime) -> datetime | None:
        """Say when the first call since a time started, None without one. Index (project, id)."""
        with self.reading() as connection:
            return time_counts.find_first_start(connection, project, since)

    def start_of_newest(self, project: str, number: int) -> datetime | None:
        """Say when the `number`th newest call started, None where there are fewer.

        Index (project, id), from the end: passes over so many of its entries.
        """
        with self.reading() as connection:
            return time_counts.find_start_of_newest(connection, project, number)

    def projects(self, limit: int) -> Sequence[str]:
        """List projects that have calls, by name. Index (project, id), one look-up for each."""
        names: list[str] = []
        first = select(func.min(call.c.project))
        with self.reading() as connection:
            while len(names) < limit:
                name = connection.scalar(
                    first.where(call.c.project > names[-1]) if names else first
                )
                if name is None:
                    break
                names.append(name)
        return names

    def sides(self, project: str) -> dict[Side, SideCount]:
        """Count the groups and calls of each side. Scans the project's calls."""
        with self.reading() as connection:
            return group_counts.count_sides(connection, project)

    def largest_groups(self, project: str, limit: int) -> Sequence[GroupSize]:
        """List the groups with the most calls, largest first. Scans the project's calls."""
        with self.reading() as connection:
            return group_counts.list_largest(connection, project, limit)

    def withheld(self, project: str, time_holdout: TimeRange | None = None) -> Withheld:
        """Find the groups on train and val that must not leave there (storage.withheld)."""
        with self.reading() as connection:
            return withheld.find_withheld(connection, project, time_holdout)

    def test_sets(self, project: str) -> Sequence[TargetedSet]:
        """List the targeted test sets of a project, by name. Scans their calls."""
        with self.reading() as connection:
            return withheld.list_test_sets(connection, project)

    def test_set_calls(self, project: str, name: str) -> Sequence[str]:
        """List the ids that were chosen for a targeted set, by id; some may be erased since."""
        with self.reading() as connection:
            return withheld.list_test_set_calls(connection, project, name)

    def scores(self, call_ids: Sequence[str]) -> dict[str, tuple[Score, ...]]:
        """Read the scores of calls, oldest first; nothing for a call without. As label_rows."""
        with self.reading() as connection:
            return label_rows.read_scores(connection, call_ids)

    def labels(self, call_ids: Sequence[str]) -> dict[str, tuple[Label, ...]]:
        """Read the labels of calls, oldest first, rejected ones too. As label_rows."""
        with self.reading() as connection:
            return label_rows.read_labels(connection, call_ids)

    def policy(self, project: str) -> Policy | None:
        """Read the split policy in force, None before the project's first call. Primary key."""
        with self.reading() as connection:
            return reservation.find_policy(connection, project)

    def writers(self) -> dict[str, Writer]:
        """Read how far each writer's spool is stored, by writer. Scans a row per worker run."""
        with self.reading() as connection:
            rows = connection.execute(select(spool_checkpoint)).all()
        return {row.writer: _writer_of(row) for row in rows}

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Read where to go on in each writer's spool. Scans a row per worker run."""
        return {name: writer.checkpoint for name, writer in self.writers().items()}

    def ledger_totals(self) -> LedgerTotals:
        """Add up the writers' counts. Scans a row per worker run."""
        writers = self.writers().values()
        tallies = [writer.tally for writer in writers if writer.tally is not None]
        dropped = dict.fromkeys(DropReason, 0)
        for tally in tallies:
            for reason, count in tally.dropped.items():
                dropped[reason] += count
        return LedgerTotals(
            stored=sum(writer.stored for writer in writers),
            poisoned=sum(writer.poisoned for writer in writers),
            closed=Tally(
                accepted=sum(tally.accepted for tally in tallies),
                spooled=sum(tally.spooled for tally in tallies),
                sampled_out=sum(tally.sampled_out for tally in tallies),
                opted_out=sum(tally.opted_out for tally in tallies),
                dropped=dropped,
            ),
        )


def _calls(
    project: str, where: str | None, side: Side | None = None, *columns: ColumnElement[Any]
) -> _Query:
    return select(*CALL_COLUMNS, *columns).where(*conditions(project, where, side))


def _pages(connection: Connection, query: _Query) -> Iterator[Sequence[_Found]]:
    """Yield the rows of a query as they come, PAGE_ROWS at a time."""
    result = connection.execute(query, execution_options={"yield_per": PAGE_ROWS})
    with closing(result):  # whoever reads them may have had enough
        yield from result.partitions()


def _with_tags(connection: Connection, page: Sequence[_Found]) -> list[CallRow]:
    """Make the rows of a page. The tags are one query more, on their primary key."""
    tags: dict[str, dict[str, str]] = {found.id: {} for found in page}
    query = select(tag).where(tag.c.call_id.in_(tags)).order_by(tag.c.call_id, tag.c.key)
    for call_id, key, value in connection.execute(query):
        tags[call_id][key] = value
    return [row_of(found, tags[found.id]) for found in page]


def _parts(rows: Sequence[CallRow], sizes: Sequence[int]) -> Iterator[Sequence[CallRow]]:
    """Divide a page so that the bodies of a part stay below BODIES_BYTES_MAX together."""
    part: list[CallRow] = []
    part_bytes = 0
    for row, size in zip(rows, sizes, strict=True):
        if part and part_bytes + size > BODIES_BYTES_MAX:
            yield part
            part, part_bytes = [], 0
        part.append(row)
        part_bytes += size
    if part:
        yield part


def _writer_of(row: _Found) -> Writer:
    closed = row.closed_at is not None
    return Writer(
        Checkpoint(row.writer, row.segment, row.offset, row.opened),
        row.stored,
        row.poisoned,
        Tally(
            accepted=row.accepted,
            spooled=row.stored + row.poisoned,
            sampled_out=row.sampled_out,
            opted_out=row.opted_out,
            dropped=_decode_dropped(row.dropped),
        )
        if closed
        else None,
        time_of(row.closed_at) if closed else None,
    )
