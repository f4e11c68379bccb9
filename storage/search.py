"""Full-text search: an index of the words of calls, opt-in, in the store's own database.

It is there once it was created (`search = true`, or `shalt db search --build`), and a call's words
enter it in the transaction that stores the call. Calls from before are indexed by `build`. What
counts as a word, what of a call is read, and the language of searches: storage.search_words.

The index is divided by weeks of call ids, a table each, so that a call found in it is the newest
there is and removed words can be scrubbed without writing all of it anew. It keeps no text that can
be read, but its words can: `forget` takes a call out in the caller's transaction, after which
nothing finds it. Its words are nowhere in the database's pages once the weeks are written anew from
which calls were taken out: in SQLite `scrub` does it, in PostgreSQL who asks `begin_rewriting`.

What is found are ids; whether they may be shown is for the caller to check, on `call`.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    update,
)

from storage import search_postgres, search_sqlite
from storage.database import insert_new
from storage.id_range import ALL_IDS, IdRange
from storage.partitions import FIRST, LAST, WEEK_MS
from storage.postgres import lock
from storage.reservation import IN_MAX
from storage.schema import call
from storage.search_words import Entry, Search, SearchError

_metadata = MetaData()
_week = Table(
    "search_week",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("forgotten", Boolean, nullable=False),  # calls were taken out since it was scrubbed
    Column("scrubbing", Boolean, nullable=False),
)
_IS_DIRTY = _week.c.forgotten | _week.c.scrubbing
_progress = Table(
    "search_progress",
    _metadata,
    Column("project", Text, primary_key=True),
    Column("built_to", Text, nullable=False),  # the last id that an unfinished build has seen
)


class SearchNotBuilt(SearchError):
    """There is no index of words in this store; the message says how to make one."""


class _Kind(Protocol):
    """What a module for one kind of database has."""

    metadata: MetaData

    def create_week(self, connection: Connection, week: int) -> None: ...
    def drop_week(self, connection: Connection, week: int) -> None: ...
    def unknown(self, connection: Connection, week: int, call_ids: Sequence[str]) -> set[str]: ...
    def add(self, connection: Connection, week: int, entries: Sequence[Entry]) -> None: ...
    def remove(self, connection: Connection, week: int, call_ids: Sequence[str]) -> int: ...
    def count(self, connection: Connection, weeks: Iterable[int]) -> int: ...
    def find(
        self,
        connection: Connection,
        week: int,
        project: str,
        search: Search,
        ids: IdRange,
        newest_first: bool,
    ) -> Iterator[Sequence[str]]: ...
    def condition(
        self,
        connection: Connection,
        weeks: Sequence[int],
        project: str,
        search: Search,
        ids: IdRange,
        newest_first: bool,
    ) -> ColumnElement[bool] | None: ...


_KINDS: Final[dict[str, _Kind]] = {"sqlite": search_sqlite, "postgresql": search_postgres}


def exists(connection: Connection) -> bool:
    """Tell whether there is an index."""
    return inspect(connection).has_table(_week.name)


def create(connection: Connection) -> None:
    """Make an empty index, unless there is one."""
    _lock(connection)
    _metadata.create_all(connection)
    _kind(connection).metadata.create_all(connection)


def drop(connection: Connection) -> None:
    """Take the index away, if there is one."""
    _lock(connection)
    if exists(connection):
        for week in _weeks(connection):
            _kind(connection).drop_week(connection, week)
        _kind(connection).metadata.drop_all(connection)
        _metadata.drop_all(connection)


def add(connection: Connection, entries: Sequence[Entry]) -> int:
    """Add calls to the index, in the transaction in which they are stored; return how many.

    Those that are in it already are passed over. Nothing happens where there is no index.
    """
    if not entries or not exists(connection):
        return 0
    kind = _kind(connection)
    weeks = set(_weeks(connection))
    count = 0
    ordered = sorted(entries, key=lambda entry: entry.id)
    for week, of_week in groupby(ordered, key=lambda entry: _week_of(entry.id)):
        if week not in weeks:
            _create_week(connection, week)
        some = list(of_week)
        for start in range(0, len(some), IN_MAX):
            part = some[start : start + IN_MAX]
            missing = kind.unknown(connection, week, [entry.id for entry in part])
            kind.add(connection, week, [entry for entry in part if entry.id in missing])
            count += len(missing)
    return count


def forget(connection: Connection, call_ids: Iterable[str]) -> int:
    """Take calls out of the index, in the caller's transaction; return how many were in it.

    Nothing finds them from then on. Their words are gone from the database's pages once `scrub` and
    `begin_rewriting` have nothing more to do.
    """
    if not exists(connection):
        return 0
    kind = _kind(connection)
    weeks = set(_weeks(connection))
    count = 0
    for week, of_week in groupby(sorted(call_ids), key=_week_of):
        if week not in weeks:
            continue
        some = list(of_week)
        removed = sum(
            kind.remove(connection, week, some[start : start + IN_MAX])
            for start in range(0, len(some), IN_MAX)
        )
        if removed:
            changed = update(_week).where(_week.c.number == week)
            connection.execute(changed.values(forgotten=True))
            count += removed
    return count


def replace(connection: Connection, entries: Sequence[Entry]) -> int:
    """Write the words of calls anew that are in the index, in the caller's transaction.

    Return how many there are. What is not found any more is scrubbed as if it had been forgotten.
    """
    if not entries or not exists(connection):
        return 0
    unknown = _unknown(connection, sorted(entry.id for entry in entries))
    known = [entry for entry in entries if entry.id not in unknown]
    forget(connection, [entry.id for entry in known])
    return add(connection, known)


def scrub(connection: Connection) -> bool:
    """Do a part of making removed words unreadable in SQLite's pages; tell whether more is to do.

    Call it until it says False, each time in a writing transaction of its own: a tenth of a second.
    """
    if connection.dialect.name != "sqlite" or not exists(connection):
        return False
    columns = _week.c
    dirty = select(columns.number, columns.forgotten, columns.scrubbing).where(_IS_DIRTY)
    found = connection.execute(dirty.order_by(columns.number).limit(1)).first()
    if found is None:
        return False
    # What is forgotten from here on is for another round.
    begun = found.scrubbing
    more = search_sqlite.scrub(connection, found.number, begun)
    values = {"scrubbing": more, "forgotten": found.forgotten and begun}
    connection.execute(update(_week).where(columns.number == found.number).values(values))
    return True


def begin_rewriting(connection: Connection, call_ids: Iterable[str]) -> Sequence[str]:
    """Name the tables that PostgreSQL must write anew to make these calls' words unreadable.

    Of the weeks that the ids are of, those from which calls were taken out. Say `end_rewriting`
    when it is done: until then they are named again.
    """
    if connection.dialect.name != "postgresql" or not exists(connection):
        return ()
    weeks = sorted({_week_of(id) for id in call_ids})
    dirty = select(_week.c.number).where(_IS_DIRTY, _week.c.number.in_(weeks))
    found = connection.scalars(dirty.order_by(_week.c.number)).all()
    # What is forgotten from here on is for another round.
    values = {"scrubbing": True, "forgotten": False}
    connection.execute(update(_week).where(_week.c.number.in_(found)).values(values))
    return [search_postgres.table_of(week) for week in found]


def end_rewriting(connection: Connection, tables: Iterable[str]) -> None:
    """Take note that these tables have been written anew."""
    names = set(tables)
    weeks = [week for week in _weeks(connection) if search_postgres.table_of(week) in names]
    connection.execute(update(_week).where(_week.c.number.in_(weeks)).values(scrubbing=False))


def build(connection: Connection, project: str, entries: Sequence[Entry], last_id: str) -> int:
    """Index stored calls of a project, those up to an id; return how many were new.

    A call that has been erased since it was read is left out.
    """
    _lock(connection)
    ids = [entry.id for entry in entries]
    assert len(ids) <= IN_MAX
    # The lock on the row keeps PostgreSQL from erasing a call between this look and its entry.
    stored = select(call.c.id).where(call.c.id.in_(ids)).with_for_update(key_share=True)
    present = set(connection.scalars(stored))
    count = add(connection, [entry for entry in entries if entry.id in present])
    connection.execute(insert_new(connection, _progress).values(project=project, built_to=""))
    progress = update(_progress).where(_progress.c.project == project)
    connection.execute(progress.values(built_to=last_id))
    return count


def built_to(connection: Connection, project: str) -> str:
    """Say up to which id an unfinished build has come; empty where there is none."""
    query = select(_progress.c.built_to).where(_progress.c.project == project)
    return connection.scalar(query) or ""


def built(connection: Connection, project: str) -> None:
    """Note that a build has come to its end: the next one looks at all calls again."""
    connection.execute(delete(_progress).where(_progress.c.project == project))


def missing(connection: Connection, project: str, after: str) -> tuple[Sequence[str], set[str]]:
    """List the next IN_MAX calls of a project after an id, and say which are not in the index.

    Index (project, id).
    """
    query = select(call.c.id).where(call.c.project == project, call.c.id > after)
    ids = connection.scalars(query.order_by(call.c.id).limit(IN_MAX)).all()
    return ids, _unknown(connection, ids)


def _unknown(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Say which of some calls, IN_MAX at most and in order, are not in the index."""
    weeks = set(_weeks(connection))
    unknown: set[str] = set()
    for week, of_week in groupby(ids, key=_week_of):
        some = list(of_week)
        unknown |= _kind(connection).unknown(connection, week, some) if week in weeks else set(some)
    return unknown


def count(connection: Connection) -> int:
    """Count the calls in the index, of all projects. Scans an index of it."""
    if not exists(connection):
        return 0
    return _kind(connection).count(connection, _weeks(connection))


def find(
    connection: Connection,
    project: str,
    search: Search,
    ids: IdRange = ALL_IDS,
    *,
    newest_first: bool = True,
) -> Generator[Sequence[str]]:
    """Yield the ids of calls that a search finds, in order, some hundred at a time.

    Some may be of no call, or of another project's. Raise SearchNotBuilt where there is no index.
    """
    _refuse_missing(connection)
    if set(search.wanted) & set(search.unwanted):
        return  # or every call with the words would be looked at in vain
    weeks = _weeks_of(connection, ids)
    for week in reversed(weeks) if newest_first else weeks:
        yield from _kind(connection).find(connection, week, project, search, ids, newest_first)


def condition(
    connection: Connection,
    project: str,
    search: Search,
    ids: IdRange = ALL_IDS,
    *,
    newest_first: bool = True,
) -> ColumnElement[bool] | None:
    """Say in SQL, of a row of `call`, that a search finds it; None where `find` is quicker.

    For calls that are found by something else. Raise SearchNotBuilt where there is no index.
    """
    _refuse_missing(connection)
    if set(search.wanted) & set(search.unwanted):
        return None
    weeks = _weeks_of(connection, ids)
    return _kind(connection).condition(connection, weeks, project, search, ids, newest_first)


def _refuse_missing(connection: Connection) -> None:
    if not exists(connection):
        raise SearchNotBuilt(
            "there is no index to search in: `shalt db search --build` makes one of the calls that "
            "are stored, search = true in the settings keeps it up to date"
        )


def _weeks_of(connection: Connection, ids: IdRange) -> Sequence[int]:
    """List the weeks in which there may be calls of a range, in order."""
    first, last = map(_week_at, ids.milliseconds())
    return [week for week in _weeks(connection) if first <= week <= last]


def _create_week(connection: Connection, week: int) -> None:
    _lock(connection)
    if week not in _weeks(connection):
        _kind(connection).create_week(connection, week)
        connection.execute(insert(_week).values(number=week, forgotten=False, scrubbing=False))


def _weeks(connection: Connection) -> Sequence[int]:
    """List the weeks that have a table, in order. Scans a row per week."""
    return connection.scalars(select(_week.c.number).order_by(_week.c.number)).all()


def _week_of(id: str) -> int:
    return _week_at(int(id[:12], 16))


def _week_at(milliseconds: int) -> int:
    """Number the weeks as partitions do: what no clock can mean shares a table at either end."""
    return min(max(milliseconds // WEEK_MS, FIRST - 1), LAST)


def _kind(connection: Connection) -> _Kind:
    return _KINDS[connection.dialect.name]


def _lock(connection: Connection) -> None:
    """Keep other hosts from making the same table. In SQLite a writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        lock(connection, "search")
