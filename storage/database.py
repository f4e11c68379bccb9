"""The database under the store: its engine, its errors, its revision. SQLite now.

What a connection promises: SQLite in WAL mode with `synchronous=FULL` (a committed row survives
a power cut), foreign keys on, LIKE minding case as PostgreSQL does, and at most BUSY_SECONDS of
waiting for another writer. A writing transaction takes the write lock when it begins, so what it
reads cannot change before it writes. A reading transaction sees one state from start to end.

All that differs between databases is here: the pragmas, the write lock and `insert_new`.
Reading never creates a database file; only `upgrade` does.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    exc,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import column, table
from sqlalchemy.sql.dml import Insert

from storage.schema import SCHEMA_REVISION

BUSY_SECONDS = 10.0  # longer than the longest transaction, a batch of 64 MiB bodies
CACHE_KIB = 32 * 1024  # SQLite's default of 2 MB does not hold the inner pages of seven indexes
PAGE_BYTES = 8192  # 6 % less on disk than 4096 for rows of our size
POLL_SECONDS = 0.05  # between two looks at a database that is not there yet, or locked

_REVISIONS = table("alembic_version", column("version_num"))


class StoreError(Exception):
    """Something is wrong with the store; the message says what, and what to do."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is locked, or its disk is full: try again later."""


class StoreNotReady(StoreUnavailable):
    """The database or its tables are not there yet, or are older than this code."""


class StoreTooNew(StoreError):
    """The database was written by a newer shalt."""


class RowRejected(StoreError):
    """The database refuses a row for what is in it. Trying again will not help."""


def open_engine(url: str) -> Engine:
    """Make the engine for a store; nothing is opened yet.

    `?timeout=SECONDS` in the URL is how long to wait for another writer.
    Raise StoreError where the URL names no SQLite file.
    """
    rule = "write it as sqlite:////absolute/path/to/shalt.sqlite"
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        # Not shown: what is no URL may be a password.
        raise StoreError(f"the store is not given as a URL: {rule}") from None
    is_sqlite = parsed.drivername in ("sqlite", "sqlite+pysqlite")
    if not is_sqlite or parsed.database in (None, "", ":memory:"):
        raise StoreError(f"the store {parsed.render_as_string()} is not a SQLite file: {rule}")
    if "timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"timeout": str(BUSY_SECONDS)})
    # Values never stand in error messages: they are what users said.
    engine = create_engine(parsed, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a reading transaction: one state of the database until it ends.

    Raise StoreNotReady where there is no database, StoreUnavailable where it cannot be read.
    """
    _refuse_missing_file(engine)
    with _named_errors(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction, committed at the end unless something is raised.

    Raise what `reading` raises, and RowRejected where a row is refused for what is in it.
    """
    _refuse_missing_file(engine)
    with _named_errors(engine), _write_lock(engine).begin() as connection:
        yield connection


def insert_new(connection: Connection, target: Table) -> Insert:
    """Make an insert that passes over rows whose primary key is there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(target).on_conflict_do_nothing()
    return sqlite.insert(target).on_conflict_do_nothing()


def upgrade(engine: Engine) -> None:
    """Bring the database to this code's revision, creating it where it is not there.

    Several processes may call this at once: one does the work while the others wait for its
    write lock. Raise StoreTooNew where a newer shalt has been here.
    """
    with _named_errors(engine):
        _create_file(engine)
        with engine.connect() as connection:
            _set_permanent_pragmas(engine, connection)
        with _migrating(engine) as connection:
            found = _revision(connection)
            _refuse_newer(engine, found)
            if found != SCHEMA_REVISION:
                # Half a second of imports that only this one moment in a store's life needs.
                from storage.migration import run_migrations  # noqa: PLC0415

                run_migrations(connection)


def check(engine: Engine, wait_seconds: float = 0.0) -> None:
    """Make sure that the tables are there and are this code's, waiting so long for them.

    Raise StoreNotReady when they are still missing or older, StoreTooNew when they are newer.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with reading(engine) as connection:
                found = _revision(connection)
            _refuse_newer(engine, found)
            if found == SCHEMA_REVISION:
                return
            raise _not_ready(engine, f"is at revision {found or 'none'}, not {SCHEMA_REVISION}")
        except StoreUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transactions begin too late and never for a SELECT: `_begin_sqlite` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA case_sensitive_like = ON")
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_lock(engine: Engine) -> Engine:
    return engine.execution_options(writes=True)


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction in which SQLite lets a table be replaced that others refer to."""
    with _write_lock(engine).connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.execute("PRAGMA foreign_keys = OFF")  # has no effect once a transaction has begun
        try:
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                assert broken is None, f"a row is left without what it refers to: {broken}"
        finally:
            raw.execute("PRAGMA foreign_keys = ON")


def _create_file(engine: Engine) -> None:
    """Create an empty database for our eyes only: it will hold what users said."""
    try:
        Path(str(engine.url.database)).touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"the store {_shown(engine)} cannot be created: {error.strerror}"
        ) from error


def _set_permanent_pragmas(engine: Engine, connection: Connection) -> None:
    """Set what SQLite keeps in the file. Not possible inside a transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                raw.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                raw.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.DatabaseError as error:
            # Changing the journal does not wait for others as everything else does.
            waits = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
            if not waits or time.monotonic() >= deadline:
                raise StoreUnavailable(
                    f"the store {_shown(engine)} cannot be opened: {type(error).__name__}: {error}"
                ) from error
        time.sleep(POLL_SECONDS)


def _revision(connection: Connection) -> str:
    """Return the revision of the tables, empty where there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found: str | None = connection.scalar(select(_REVISIONS.c.version_num))
    return found or ""


def _refuse_newer(engine: Engine, found: str) -> None:
    # Revisions are numbered 0001, 0002, …, so they compare as text.
    if found > SCHEMA_REVISION:
        raise StoreTooNew(
            f"the store {_shown(engine)} is at revision {found}, this shalt knows "
            f"up to {SCHEMA_REVISION}: run the newer shalt that upgraded it"
        )


def _refuse_missing_file(engine: Engine) -> None:
    if not Path(str(engine.url.database)).exists():
        raise _not_ready(engine, "is not there")


def _not_ready(engine: Engine, what: str) -> StoreNotReady:
    return StoreNotReady(
        f"the store {_shown(engine)} {what}: `shalt serve` creates and upgrades it"
    )


@contextmanager
def _named_errors(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours, by what the caller can do about them."""
    try:
        yield
    except (exc.OperationalError, exc.InternalError, exc.TimeoutError) as error:
        reason = _reason(error)
        if "no such table" in reason:
            raise _not_ready(engine, "has no tables") from error
        raise StoreUnavailable(
            f"the store {_shown(engine)} cannot be used now: {reason}"
        ) from error
    except exc.DBAPIError as error:
        if type(error) is exc.DatabaseError:  # "file is not a database", "image is malformed"
            raise StoreUnavailable(
                f"the store {_shown(engine)} cannot be used: {_reason(error)}"
            ) from error
        raise RowRejected(f"the database refused a row: {_reason(error)}") from error


def _shown(engine: Engine) -> str:
    return engine.url.set(query={}).render_as_string()


def _reason(error: exc.SQLAlchemyError) -> str:
    original: Any = getattr(error, "orig", None)
    return f"{type(original).__name__}: {original}" if original is not None else str(error)
