"""A copy of the store in one file, made while recording goes on, and put back.

SQLite: the online backup of one state of the database, a database itself. PostgreSQL: what its
own pg_dump writes (format custom), of one state too. A copy is verified before it has its name,
and readable by this user alone: it holds what users said.

Restoring puts the copy in the place of the store, whole or not at all. Whoever calls `restore`
makes sure that nothing records meanwhile. What was erased after the copy was made is back then:
erase it again.
"""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, select, text

from storage import database
from storage.database import StoreError, StoreTooNew
from storage.schema import SCHEMA_REVISION, call, metadata
from storage.store_errors import shown

PAGES_AT_ONCE: Final = 2_000  # 16 MB between two reports of progress
# A dump begins with this; of a SQLite file the first bytes are these.
_DUMP_MAGIC: Final = b"PGDMP"
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_REVISION: Final = re.compile(r"^(\d{4})$", re.MULTILINE)

_STOP: Final = ("--set=ON_ERROR_STOP=1",)
Progress = Callable[[int, int], None]  # done, of how many; pages


class BackupError(StoreError):
    """A copy cannot be made, or is not what it should be; the message says why."""


class StoreInTheWay(StoreError):
    """There is a store already where a copy is to be restored."""


def backup(engine: Engine, copy: Path, progress: Progress = lambda _done, _total: None) -> None:
    """Copy the store to a file that must not exist yet.

    Raise BackupError where it cannot be, StoreNotReady where there is no store. `progress` is
    told in SQLite only.
    """
    database.check(engine)
    with _aside(copy) as unfinished:
        if engine.dialect.name == "postgresql":
            _dump(engine, unfinished)
        else:
            _copy_file(engine, unfinished, progress)


def restore(engine: Engine, copy: Path, *, force: bool = False) -> str:
    """Put a copy in the place of the store; return its revision (`upgrade` may be needed).

    Raise StoreInTheWay where there is a store and `force` is not given, BackupError for a file
    that is no copy of a store, StoreTooNew for one of a newer shalt.
    """
    is_dump = _magic(copy).startswith(_DUMP_MAGIC)
    if is_dump != (engine.dialect.name == "postgresql"):
        kind = "a dump of PostgreSQL" if is_dump else "no dump of PostgreSQL"
        raise BackupError(f"{copy} is {kind}, and the store is {shown(engine.url)}")
    revision = _revision_of_dump(copy) if is_dump else _revision_of_file(copy)
    if revision > SCHEMA_REVISION:
        raise StoreTooNew(
            f"{copy} is at revision {revision}, this shalt knows up to {SCHEMA_REVISION}: restore "
            "it with the newer shalt"
        )
    if is_dump:
        _restore_dump(engine, copy, force)
    else:
        _restore_file(engine, copy, force)
    return revision


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Write a file under another name first; it has its own once it is whole and on disk."""
    if path.exists():
        raise BackupError(f"{path} is there already: choose another file")
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _copy_file(engine: Engine, copy: Path, progress: Progress) -> None:
    try:
        with (
            closing(sqlite3.connect(str(engine.url.database))) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            # One state from the first page to the last: otherwise each write begins it anew.
            source.execute("BEGIN")
            (count,) = source.execute("SELECT count(*) FROM call").fetchone()
            source.backup(
                target,
                pages=PAGES_AT_ONCE,
                progress=lambda _status, remaining, total: progress(total - remaining, total),
                sleep=0.0,
            )
            source.execute("ROLLBACK")
            target.execute("PRAGMA journal_mode = DELETE")  # a file alone, without its log
            _verify_file(target, copy)
            (copied,) = target.execute("SELECT count(*) FROM call").fetchone()
    except sqlite3.Error as error:
        raise BackupError(
            f"the store {shown(engine.url)} cannot be copied: {type(error).__name__}: {error}"
        ) from error
    if copied != count:
        raise BackupError(f"{copied:,} calls of {count:,} were copied: the copy is thrown away")


def _verify_file(connection: sqlite3.Connection, path: Path) -> None:
    (complaint,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if complaint != "ok":
        raise BackupError(f"{path} is damaged: {complaint}")


def _revision_of_file(copy: Path) -> str:
    if _magic(copy) != _SQLITE_MAGIC:
        raise BackupError(f"{copy} is no copy of a store: it is no SQLite database")
    try:
        with closing(
            sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            _verify_file(connection, copy)
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{copy} is no copy of a store: {error}") from error
    return str(found[0])


def _restore_file(engine: Engine, copy: Path, force: bool) -> None:
    place = Path(str(engine.url.database))
    if place.exists() and not force:
        raise StoreInTheWay(f"{place} is there already: --force replaces it")
    unfinished = place.with_name(place.name + ".unfinished")
    try:
        unfinished.touch(mode=0o600)
        with copy.open("rb") as source, unfinished.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
            os.fsync(target.fileno())
        # The log of the store before must go first: it would be taken for the copy's.
        for ending in ("-wal", "-shm"):
            place.with_name(place.name + ending).unlink(missing_ok=True)
        unfinished.rename(place)
        _sync(place.parent)
    except OSError as error:
        raise BackupError(f"{place} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _dump(engine: Engine, copy: Path) -> None:
    with database.reading(engine) as connection:
        tables = _tables(connection)
    _run(
        engine, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={copy}",
        *(f"--table={name}" for name in tables),
    )  # fmt: skip
    _revision_of_dump(copy)  # it can be read back


def _tables(connection: Connection) -> list[str]:
    """Name our tables that are there, with their partitions. Others may share the database."""
    query = text(
        "SELECT name::regclass::text FROM (SELECT to_regclass(name) AS name"
        " FROM unnest(CAST(:ours AS text[])) AS name) AS named WHERE name IS NOT NULL"
        " UNION SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE relkind = 'r' AND inhparent = ANY (SELECT to_regclass(name)"
        " FROM unnest(CAST(:ours AS text[])) AS name)"
        " UNION SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
        " AND relname ~ '^search_' AND pg_table_is_visible(oid) ORDER BY 1"
    )
    return list(connection.scalars(query, {"ours": [*metadata.tables, "alembic_version"]}))


def _revision_of_dump(copy: Path) -> str:
    listing = _run(
        None, "pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(copy)
    )
    found = _REVISION.search(listing)
    if found is None:
        raise BackupError(f"{copy} is no copy of a store: it has no revision")
    return found[1]


def _restore_dump(engine: Engine, copy: Path, force: bool) -> None:
    with database.reading(engine) as connection:
        others = connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database() AND application_name = 'shalt'"
            )
        )
        tables = _tables(connection)
        filled = "call" in tables and connection.scalar(select(call.c.id).limit(1)) is not None
    if others:
        raise BackupError(
            f"{others} connections of shalt are open to {shown(engine.url)}: stop it on every host"
        )
    if filled and not force:
        raise StoreInTheWay(f"{shown(engine.url)} holds calls already: --force replaces them")
    engine.dispose()
    drop = f"--command=DROP TABLE IF EXISTS {', '.join(tables)} CASCADE" if tables else "--command="
    reading = subprocess.Popen(
        [_program("pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(copy)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # One transaction: what was there stays unless all of the copy is.
    writing = subprocess.Popen(
        [_program("psql"), "--no-psqlrc", "--quiet", "--single-transaction", *_STOP, drop,
         "--file=-", f"--dbname={_address(engine)}"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=_environment(engine),
    )  # fmt: skip
    with reading, writing:
        assert reading.stdout is not None
        assert reading.stderr is not None
        assert writing.stdin is not None
        assert writing.stderr is not None
        try:
            shutil.copyfileobj(reading.stdout, writing.stdin, 2**20)
        except BrokenPipeError:
            reading.kill()
        else:
            if reading.wait() != 0:
                writing.kill()  # it would take the half for the whole
                raise BackupError(f"{copy} cannot be read: {reading.stderr.read().decode()}")
            writing.stdin.close()
        complaint = writing.stderr.read().decode().strip()
    if writing.returncode != 0:
        raise BackupError(f"{shown(engine.url)} cannot be restored: {complaint}")


def _run(engine: Engine | None, name: str, *arguments: str) -> str:
    """Run a program of PostgreSQL's, for a database or for a file alone; return what it prints."""
    command = [_program(name), *arguments]
    if engine is not None:
        command.append(f"--dbname={_address(engine)}")
    run = subprocess.run(
        command,
        env=_environment(engine) if engine is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise BackupError(f"{name} failed: {run.stderr.strip() or run.returncode}")
    return run.stdout


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"{name} is not installed: it is one of PostgreSQL's client programs "
            "(apt-get install postgresql-client)"
        )
    return found


def _address(engine: Engine) -> str:
    """Write a URL as libpq has it, without the password: other users see arguments."""
    given = _parameters(engine)
    left_out = ("password", "options")
    return psycopg.conninfo.make_conninfo(
        **{name: value for name, value in given.items() if name not in left_out}
    )


def _environment(engine: Engine) -> dict[str, str]:
    password = _parameters(engine).get("password")
    given = {} if password is None else {"PGPASSWORD": password}
    return {**os.environ, **given}  # noqa: TID251  passed on, not read


def _parameters(engine: Engine) -> dict[str, str]:
    parts = engine.url.translate_connect_args(username="user", database="dbname")
    return {name: str(value) for name, value in {**parts, **engine.url.query}.items()}


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
