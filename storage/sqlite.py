"""The store in a SQLite file: what only SQLite needs.

What a connection promises: WAL mode with `synchronous=FULL` (a committed row survives a power
cut), foreign keys on, LIKE minding case as PostgreSQL does, and at most BUSY_SECONDS of waiting
for another writer. A writing transaction takes the write lock when it begins, so what it reads
cannot change before it writes. Reading never creates a database file; only `prepare` does. A file
that may not be written is read all the same. One that was replaced is opened anew: connections
that are open would go on with the old one, which has no name any more.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    FromClause,
    Table,
    create_engine,
    event,
    exc,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert as insert_or_pass
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.dml import Insert

from storage.store_errors import (
    RowRejected,
    StoreError,
    StoreUnavailable,
    not_ready,
    shown,
)

BUSY_SECONDS = 10.0  # longer than the longest transaction, a batch of 64 MiB bodies
# Of each connection: the inner pages of the indexes of a million calls. With 32 MB a row costs the
# recorder no less at 300,000 calls: the system has the other pages in its own cache.
CACHE_KIB = 4 * 1024
# Pages of indexes are written again by every batch: tidying the log four times less often spares a
# twentieth of the recorder's time. The log takes 32 MB for it.
CHECKPOINT_PAGES = 4096
PAGE_BYTES = 8192  # 6 % less on disk than 4096 for rows of our size
POLL_SECONDS = 0.05  # between two tries to change the journal

Row = Mapping[str, object]  # values by column

# Which file an engine has opened: device and inode.
_files: WeakKeyDictionary[Engine, tuple[int, int]] = WeakKeyDictionary()


def open_engine(url: URL) -> Engine:
    """Make the engine; nothing is opened yet.

    `?timeout=SECONDS` in the URL is how long to wait for another writer.
    """
    if "timeout" not in url.query:
        url = url.update_query_dict({"timeout": str(BUSY_SECONDS)})
    # Values never stand in error messages: they are what users said.
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "do_connect", _connect_read_only)
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def refuse_missing(engine: Engine) -> None:
    """Raise StoreNotReady where there is no file: opening it would create it."""
    try:
        found = os.stat(str(engine.url.database))
    except OSError:
        raise not_ready(engine.url, "is not there") from None
    file = (found.st_dev, found.st_ino)
    if _files.setdefault(engine, file) != file:
        _files[engine] = file
        engine.dispose()


def for_reading(engine: Engine) -> Engine:
    """Return the engine for transactions that only read."""
    return engine


def for_writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write."""
    return engine.execution_options(writes=True)


def prepare(engine: Engine) -> None:
    """Create the file where there is none, and set what SQLite keeps in it."""
    _create_file(engine)
    with engine.connect() as connection:
        _set_permanent_pragmas(engine, connection)


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction in which SQLite lets a table be replaced that others refer to."""
    with for_writing(engine).connect() as connection:
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


def named(url: URL, error: Exception) -> StoreError | None:
    """Make ours of a driver's error, by what the caller can do about it; None if it is none."""
    if isinstance(error, exc.OperationalError | exc.InternalError | exc.TimeoutError):
        reason = _reason(error)
        if "no such table" in reason:
            return not_ready(url, "has no tables")
        return StoreUnavailable(f"the store {shown(url)} cannot be used now: {reason}")
    if isinstance(error, exc.DBAPIError):
        if type(error) is exc.DatabaseError:  # "file is not a database", "image is malformed"
            return StoreUnavailable(f"the store {shown(url)} cannot be used: {_reason(error)}")
        return RowRejected(f"the database refused a row: {_reason(error)}")
    if isinstance(error, UnicodeEncodeError | OverflowError):
        # Raised by the driver before the database saw the row.
        return RowRejected(f"the database cannot hold a row: {type(error).__name__}")
    return None


def among(column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
    """Say that a text is one of many, which are one parameter."""
    return column.in_(select(listed(values).c.value))


def listed(values: Sequence[str]) -> FromClause:
    """Make a table of texts, in the column `value`; they are one parameter."""
    return func.json_each(json.dumps(values)).table_valued("value")


def insert_new(target: Table) -> Insert:
    """Make an insert that passes over rows whose primary key is there already."""
    return insert_or_pass(target).on_conflict_do_nothing()


def insert_rows(connection: Connection, target: Table, rows: Sequence[Row]) -> None:
    """Insert rows with values for the same columns, in one call of the driver.

    It goes past SQLAlchemy, whose executemany builds every row's parameters anew: 57 microseconds
    of CPU a call so, 43 this way; insertmanyvalues takes 58.
    """
    if rows:
        columns = tuple(rows[0])
        if all(tuple(row) == columns for row in rows):
            written = [tuple(row.values()) for row in rows]  # a third of looking up each column
        else:
            written = [tuple([row[name] for name in columns]) for row in rows]
        statement = _insert_statement(target, connection.dialect, columns)
        connection.exec_driver_sql(statement, written)


def insert_missing(connection: Connection, target: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Insert rows that the caller has looked for and not found; return those that are new: all.

    The write lock is held, so that nobody has inserted since.
    """
    insert_rows(connection, target, rows)
    return rows


def _connect_read_only(
    _dialect: Dialect,
    _entry: ConnectionPoolEntry,
    arguments: Sequence[str],
    parameters: Mapping[str, Any],
) -> sqlite3.Connection | None:
    """Connect to a file that may not be written; None, for the usual way, where it may be.

    SQLite wants to write beside a database even to read it, unless told that nobody writes. With
    a log that was not written back it cannot be told so, and says that it cannot open the file.
    """
    path = Path(arguments[0])
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return None
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    opened: sqlite3.Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}", uri=True, **parameters
    )
    return opened


def _prepare_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transactions begin too late and never for a SELECT: `_begin` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA case_sensitive_like = ON")
    # What is deleted is overwritten (storage.pages does the rest): Debian's default, not SQLite's.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_file(engine: Engine) -> None:
    """Create an empty database for our eyes only: it will hold what users said."""
    try:
        Path(str(engine.url.database)).touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"the store {shown(engine.url)} cannot be created: {error.strerror}"
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
                    f"the store {shown(engine.url)} cannot be opened: "
                    f"{type(error).__name__}: {error}"
                ) from error
        time.sleep(POLL_SECONDS)


@lru_cache(maxsize=32)
def _insert_statement(target: Table, dialect: Dialect, columns: tuple[str, ...]) -> str:
    """Write an insert that takes values for these columns, in their order."""
    preparer = dialect.identifier_preparer
    named = ", ".join(map(preparer.quote, columns))
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {preparer.format_table(target)} ({named}) VALUES ({marks})"  # noqa: S608


def _reason(error: exc.SQLAlchemyError) -> str:
    original: object = getattr(error, "orig", None)
    return f"{type(original).__name__}: {original}" if original is not None else str(error)
