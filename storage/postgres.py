"""The store in a PostgreSQL database, 15 or newer: what only PostgreSQL needs.

Any number of hosts may record into one database. A transaction that writes is READ COMMITTED:
the first commit wins, and the others see what it has written; what must not run beside itself
takes an advisory lock (`lock`). One that reads is REPEATABLE READ and read-only. A commit is on
the server's disk when it returns, whatever the database's `synchronous_commit` says.

Rows come by binary COPY, straight into tables where they cannot be yet, else into a temporary
table and from there with ON CONFLICT DO NOTHING. A connection is direct, or through a pooler
that keeps sessions: temporary tables and time-outs live as long as one.

Statements are planned anew each time: a plan for any call would lock the partitions of all.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from operator import itemgetter

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Engine,
    Float,
    FromClause,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    any_,
    bindparam,
    create_engine,
    event,
    exc,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, UUID
from sqlalchemy.dialects.postgresql import insert as insert_or_pass
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.dml import Insert

from storage.column_types import NO_ID, CallId, is_id
from storage.sqlite import Row
from storage.store_errors import RowRejected, StoreError, StoreUnavailable, not_ready, shown

VERSION_MIN = 15
CONNECT_SECONDS = 10
LOCK_SECONDS = 10  # as long as SQLite waits for another writer
STATEMENT_SECONDS = 600  # longer than any batch or export takes to its first row
# A host that is frozen in the middle of a batch lets go of its locks after this.
IDLE_WRITER_SECONDS = 60
UNACKNOWLEDGED_SECONDS = 30  # after so long without a sign of life a connection is given up

# What a driver's error means, by the first characters of its SQLSTATE: trying again may help…
_PASSING = (
    "08",  # connection
    "25",  # a standby that is read-only, an idle transaction that was ended
    "28", "3D", "42501",  # password, database, privilege: an operator's to mend
    "40",  # serialisation failure, deadlock
    "53", "55", "57", "58", "XX",  # resources, locks, shutdown and time-outs, disk, corruption
    "23505",  # the row has come from elsewhere since we looked
    "23514",  # the partition has gone since we looked
)  # fmt: skip
# … or it is the row that is wrong.
_OF_THE_ROW = ("22", "23", "54")


def open_engine(url: URL) -> Engine:
    """Make the engine; nothing is opened yet.

    The query of the URL is libpq's: sslmode, target_session_attrs, options, ….
    """
    defaults = {
        "lock_timeout": f"{LOCK_SECONDS}s",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "timezone": "UTC",
        "jit": "off",  # our queries are of many partitions and few rows: it took a second of 1.1
        "client_encoding": "UTF8",
    }
    given = url.query.get("options", "")
    assert isinstance(given, str) or len(given) > 0
    options = " ".join(f"-c {name}={value}" for name, value in defaults.items())
    options = " ".join([options, given if isinstance(given, str) else " ".join(given)]).strip()
    keywords = {
        "connect_timeout": str(CONNECT_SECONDS),
        "keepalives_idle": str(UNACKNOWLEDGED_SECONDS),
        "tcp_user_timeout": str(UNACKNOWLEDGED_SECONDS * 1000),
        "application_name": "shalt",
        **url.query,
        "options": options,
    }
    engine = create_engine(
        url.set(drivername="postgresql+psycopg", query=keywords),
        hide_parameters=True,  # values never stand in error messages: they are what users said
        pool_pre_ping=True,  # a server that was started again is noticed before, not by, a query
        connect_args={"prepare_threshold": None},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def refuse_missing(_engine: Engine) -> None:
    """Do nothing: connecting to a database that is not there creates none."""


def for_reading(engine: Engine) -> Engine:
    """Return the engine for transactions that only read, and see one state."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write."""
    return engine.execution_options(isolation_level="READ COMMITTED", writes=True)


def prepare(engine: Engine) -> None:
    """Refuse a server that cannot hold the store. The database itself must be there."""
    with engine.connect() as connection:
        version = connection.dialect.server_version_info or (0,)
        if int(version[0]) < VERSION_MIN:
            number = ".".join(map(str, version))
            raise StoreError(
                f"the store {shown(engine.url)} is on PostgreSQL {number}: shalt needs "
                f"{VERSION_MIN} or newer"
            )
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise StoreError(
                f"the database of the store {shown(engine.url)} is encoded in {encoding}: create "
                "one with ENCODING 'UTF8' TEMPLATE template0"
            )


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """Open a writing transaction in which nobody else upgrades. It may take as long as it needs."""
    with for_writing(engine).begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        lock(connection, "upgrade")
        yield connection


def lock(connection: Connection, *what: str, shared: bool = False) -> None:
    """Wait until nobody else holds this lock; hold it until the transaction ends.

    Those who hold it `shared` do not wait for one another.
    """
    digest = hashlib.sha256("\0".join(("shalt", *what)).encode("utf-8", "surrogatepass")).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    connection.execute(text(f"SELECT {function}(:key)"), {"key": key})


def named(url: URL, error: Exception) -> StoreError | None:
    """Make ours of a driver's error, by what the caller can do about it; None if it is none."""
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if isinstance(error, psycopg.Error):
        return _named_by_state(url, error)
    if isinstance(error, exc.TimeoutError):
        return StoreUnavailable(f"the store {shown(url)} cannot be used now: {error}")
    if isinstance(error, UnicodeEncodeError | OverflowError):
        # Raised by the driver before the database saw the row.
        return RowRejected(f"the database cannot hold a row: {type(error).__name__}")
    return None


def among(column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
    """Say that a text, or the id of a call, is one of many, which are one parameter."""
    if isinstance(column.type, CallId):
        values = list(filter(is_id, values))
        return column == any_(bindparam(None, values, ARRAY(UUID(as_uuid=False))))
    return column == any_(bindparam(None, list(values), ARRAY(TEXT)))


def listed(values: Sequence[str]) -> FromClause:
    """Make a table of texts, in the column `value`; they are one parameter."""
    array = bindparam(None, list(values), ARRAY(TEXT))
    return func.unnest(array).table_valued("value").render_derived()


def insert_new(target: Table) -> Insert:
    """Make an insert that passes over rows whose primary key is there already."""
    return insert_or_pass(target).on_conflict_do_nothing()


def insert_rows(connection: Connection, target: Table, rows: Sequence[Row]) -> None:
    """Insert rows with values for the same columns, by binary COPY."""
    if rows:
        _copy(connection, target, target.name, rows)


def insert_missing(connection: Connection, target: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Insert the rows whose primary key is not there; return those that were new.

    One that somebody else is inserting is waited for: it is there if that is committed.
    """
    if not rows:
        return rows
    staging = f"staging_{target.name}"
    quote = connection.dialect.identifier_preparer.quote
    keys = [column.name for column in target.primary_key]
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE {quote(target.name)}) "
        "ON COMMIT DELETE ROWS"
    )
    _copy(connection, target, staging, rows)
    columns, key = ", ".join(map(quote, rows[0])), ", ".join(map(quote, keys))
    # They lie nearly in the order of their keys there. What is inserted quite in order fills the
    # pages of an index: without it they took 14 bytes a call more.
    returned = connection.exec_driver_sql(
        f"INSERT INTO {quote(target.name)} ({columns}) SELECT {columns} FROM {staging} "  # noqa: S608  names of the schema
        f"ORDER BY {key} ON CONFLICT DO NOTHING RETURNING {key}"
    )
    new = {tuple(key) for key in returned}
    return [row for row in rows if tuple(row[key] for key in keys) in new]


def _copy(connection: Connection, target: Table, into: str, rows: Sequence[Row]) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    names = tuple(rows[0])
    sql, types = _copy_statement(target, into, names)
    values = itemgetter(*names)
    with raw.cursor() as cursor, cursor.copy(sql) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(values(row))


@lru_cache(maxsize=32)
def _copy_statement(
    target: Table, into: str, names: tuple[str, ...]
) -> tuple[psycopg.sql.Composed, Sequence[str]]:
    identifiers = [psycopg.sql.Identifier(name) for name in names]
    statement = psycopg.sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        psycopg.sql.Identifier(into), psycopg.sql.SQL(", ").join(identifiers)
    )
    return statement, [_type_name(target, name) for name in names]


def _type_name(target: Table, name: str) -> str:
    """Name the PostgreSQL type of a column: a binary COPY converts nothing."""
    for kind, type_name in (
        (BigInteger, "int8"),  # this and the next before Integer, which they are kinds of
        (SmallInteger, "int2"),
        (Integer, "int4"),
        (Boolean, "bool"),
        (Float, "float8"),
        (LargeBinary, "bytea"),
        (CallId, "uuid"),  # a kind of the next
        (String, "text"),
    ):
        if isinstance(target.c[name].type, kind):
            return type_name
    raise AssertionError(f"no type for {target.name}.{name}")


class _IdLoader(Loader):
    """Reads a uuid as 32 digits."""

    def load(self, data: Buffer) -> str:
        return bytes(data).replace(b"-", b"").decode()


class _IdDumper(Dumper):
    """Writes what `_IdLoader` reads, for a binary COPY."""

    format = psycopg.pq.Format.BINARY
    oid = psycopg.postgres.types["uuid"].oid

    def dump(self, obj: str) -> bytes:
        if obj != "" and not is_id(obj):
            raise psycopg.DataError("the id of a call is not 32 hexadecimal digits")
        return bytes.fromhex(obj or NO_ID)


def _prepare_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    raw = connection.driver_connection if hasattr(connection, "driver_connection") else connection
    assert isinstance(raw, psycopg.Connection)
    raw.adapters.register_loader("uuid", _IdLoader)
    raw.adapters.register_dumper(None, _IdDumper)
    # A segment of the spool is deleted once its calls are committed: that must mean on disk.
    # A stronger setting than "on" is left as it is.
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.close()
    connection.commit()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(
            f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_WRITER_SECONDS}s'"
        )


def _named_by_state(url: URL, error: psycopg.Error) -> StoreError:
    # Details and context are left out: they quote the row.
    state = error.sqlstate or ""
    message = " ".join(str(error.diag.message_primary or error).split())  # for a line of a log
    reason = f"{type(error).__name__}: {message}"
    if state == "42P01":
        return not_ready(url, "has no tables")
    if state.startswith(_PASSING) or not state and isinstance(error, psycopg.OperationalError):
        return StoreUnavailable(f"the store {shown(url)} cannot be used now: {reason}")
    if state.startswith(_OF_THE_ROW) or isinstance(error, psycopg.DataError):
        return RowRejected(f"the database refused a row: {reason}")
    return StoreUnavailable(f"the store {shown(url)} cannot be used: {reason}")
