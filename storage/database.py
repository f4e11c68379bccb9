"""The database under the store: its engine, its errors, its revision. SQLite or PostgreSQL.

A reading transaction sees one state of the database from start to end. A writing transaction is
whole or did not happen. What differs between the databases is in storage.sqlite and
storage.postgres, behind the same functions; the errors of both are those of storage.store_errors.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Table,
    exc,
    inspect,
    make_url,
    select,
)
from sqlalchemy.sql import column, table
from sqlalchemy.sql.dml import Insert

from storage import postgres, sqlite
from storage.schema import SCHEMA_REVISION
from storage.sqlite import Row
from storage.store_errors import (
    RowRejected,
    StoreError,
    StoreNotReady,
    StoreTooNew,
    StoreUnavailable,
    not_ready,
    shown,
)

__all__ = [
    "RowRejected",
    "StoreError",
    "StoreNotReady",
    "StoreTooNew",
    "StoreUnavailable",
    "among",
    "check",
    "insert_missing",
    "insert_new",
    "insert_rows",
    "listed",
    "open_engine",
    "reading",
    "revision_of",
    "upgrade",
    "writing",
]

POLL_SECONDS = 0.05  # between two looks at a database that is not there yet

_REVISIONS = table("alembic_version", column("version_num"))
_RULE = (
    "write it as sqlite:////absolute/path/to/shalt.sqlite "
    "or postgresql://user:password@host:5432/database"
)


class _Kind(Protocol):
    """What a module for one kind of database has; each says in its own words what it promises."""

    def open_engine(self, url: URL) -> Engine: ...
    def refuse_missing(self, engine: Engine) -> None: ...
    def for_reading(self, engine: Engine) -> Engine: ...
    def for_writing(self, engine: Engine) -> Engine: ...
    def prepare(self, engine: Engine) -> None: ...
    def migrating(self, engine: Engine) -> AbstractContextManager[Connection]: ...
    def named(self, url: URL, error: Exception) -> StoreError | None: ...
    def among(self, column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]: ...
    def listed(self, values: Sequence[str]) -> FromClause: ...
    def insert_new(self, target: Table) -> Insert: ...
    def insert_rows(self, connection: Connection, target: Table, rows: Sequence[Row]) -> None: ...
    def insert_missing(
        self, connection: Connection, target: Table, rows: Sequence[Row]
    ) -> Sequence[Row]: ...


_KINDS: Final[dict[str, _Kind]] = {"sqlite": sqlite, "postgresql": postgres}


def open_engine(url: str) -> Engine:
    """Make the engine for a store; nothing is opened yet.

    Raise StoreError where the URL names neither a SQLite file nor a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # Not shown: what is no URL may be a password.
        raise StoreError(f"the store is not given as a URL: {_RULE}") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite" if parsed.database not in (None, "", ":memory:"):
            return sqlite.open_engine(parsed)
        case "postgresql" | "postgresql+psycopg" if parsed.database:
            return postgres.open_engine(parsed)
    raise StoreError(
        f"the store {shown(parsed)} is neither a SQLite file nor a PostgreSQL database: {_RULE}"
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a reading transaction: one state of the database until it ends.

    Raise StoreNotReady where there is no database, StoreUnavailable where it cannot be read.
    """
    kind = _kind(engine)
    kind.refuse_missing(engine)
    with _named_errors(engine), kind.for_reading(engine).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction, committed at the end unless something is raised.

    Raise what `reading` raises, and RowRejected where a row is refused for what is in it.
    """
    kind = _kind(engine)
    kind.refuse_missing(engine)
    with _named_errors(engine), kind.for_writing(engine).begin() as connection:
        yield connection


def among(
    connection: Connection, column: ColumnElement[str], values: Sequence[str]
) -> ColumnElement[bool]:
    """Say that a text is one of many. They are one parameter: an IN is compiled for each number.

    A tenth of the time of an IN with a thousand values.
    """
    return _kind(connection.engine).among(column, values)


def listed(connection: Connection, values: Sequence[str]) -> FromClause:
    """Make a table of texts, in the column `value`. They are one parameter, as in `among`."""
    return _kind(connection.engine).listed(values)


def insert_new(connection: Connection, target: Table) -> Insert:
    """Make an insert that passes over rows whose primary key is there already."""
    return _kind(connection.engine).insert_new(target)


def insert_rows(connection: Connection, target: Table, rows: Sequence[Row]) -> None:
    """Insert rows with values for the same columns, the fastest way there is.

    None of them can be there already: they belong to a call that `insert_missing` has inserted.
    """
    _kind(connection.engine).insert_rows(connection, target, rows)


def insert_missing(connection: Connection, target: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Insert rows that the caller has looked for and not found; return those that are new.

    Where several hosts write, another may have inserted the rest since: the first commit wins.
    Rows are locked in the order given: sort them, so that two writers cannot wait for each other.
    """
    return _kind(connection.engine).insert_missing(connection, target, rows)


def upgrade(engine: Engine, progress: Callable[[str], None] = lambda _done: None) -> None:
    """Bring the database to this code's revision, creating it where it is not there.

    `progress` is told each revision that is done.

    Several processes may call this at once: one does the work while the others wait for its
    lock. Raise StoreTooNew where a newer shalt has been here.
    """
    kind = _kind(engine)
    with _named_errors(engine):
        kind.prepare(engine)
        with kind.migrating(engine) as connection:
            found = revision(connection)
            _refuse_newer(engine, found)
            if found != SCHEMA_REVISION:
                # Half a second of imports that only this one moment in a store's life needs.
                from storage.migration import run_migrations  # noqa: PLC0415

                run_migrations(connection, progress=progress)


def check(engine: Engine, wait_seconds: float = 0.0) -> None:
    """Make sure that the tables are there and are this code's, waiting so long for them.

    Raise StoreNotReady when they are still missing or older, StoreTooNew when they are newer.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with reading(engine) as connection:
                found = revision(connection)
            _refuse_newer(engine, found)
            if found == SCHEMA_REVISION:
                return
            what = f"is at revision {found or 'none'}, not {SCHEMA_REVISION}"
            raise not_ready(engine.url, what)
        except StoreUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)


def revision_of(engine: Engine) -> str:
    """Return the revision of a database's tables, empty where there are none. Creates nothing."""
    try:
        with reading(engine) as connection:
            return revision(connection)
    except StoreNotReady:
        return ""


def revision(connection: Connection) -> str:
    """Return the revision of the tables, empty where there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found: str | None = connection.scalar(select(_REVISIONS.c.version_num))
    return found or ""


def _kind(engine: Engine) -> _Kind:
    return _KINDS[engine.dialect.name]


def _refuse_newer(engine: Engine, found: str) -> None:
    # Revisions are numbered 0001, 0002, …, so they compare as text.
    if found > SCHEMA_REVISION:
        raise StoreTooNew(
            f"the store {shown(engine.url)} is at revision {found}, this shalt knows "
            f"up to {SCHEMA_REVISION}: run the newer shalt that upgraded it"
        )


@contextmanager
def _named_errors(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours, by what the caller can do about them."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        ours = _kind(engine).named(engine.url, error)
        if ours is None:
            raise
        raise ours from (error if _kind(engine) is sqlite else None)
