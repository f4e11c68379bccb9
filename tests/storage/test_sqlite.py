"""A SQLite file: created once, for our eyes only, durable, and named when it is not there."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from storage.capture import SystemClock
from storage.database import (
    StoreNotReady,
    StoreUnavailable,
    check,
    insert_rows,
    open_engine,
    reading,
    upgrade,
    writing,
)
from storage.schema import SCHEMA_REVISION, dropped_call
from storage.sqlite import PAGE_BYTES
from storage.store import TraceStore
from tests.storage.calls import ask, at, id_of, new_store, recorded, url_of


def test_an_upgrade_of_nothing_creates_the_store(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path))
    upgrade(engine)
    upgrade(engine)
    check(engine)
    assert ask(url_of(tmp_path), "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]
    assert ask(url_of(tmp_path), "PRAGMA journal_mode") == [("wal",)]
    assert ask(url_of(tmp_path), "PRAGMA page_size") == [(PAGE_BYTES,)]
    engine.dispose()


def test_nobody_else_may_read_what_is_stored(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path))
    upgrade(engine)
    with reading(engine):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    engine.dispose()
    assert modes == dict.fromkeys(("shalt.sqlite", "shalt.sqlite-shm", "shalt.sqlite-wal"), 0o600)


def test_a_store_in_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path / "missing"))
    with pytest.raises(StoreUnavailable, match="cannot be created: No such file"):
        upgrade(engine)


def test_connections_are_durable_and_keep_keys_and_case(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path))
    upgrade(engine)
    with reading(engine) as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("synchronous", "foreign_keys", "busy_timeout")
        ]
        assert pragmas == [2, 1, 10_000]
        assert connection.exec_driver_sql("SELECT 'A' LIKE 'a'").scalar_one() == 0
    engine.dispose()


def test_rows_go_in_by_the_names_of_their_columns(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path))
    upgrade(engine)
    rows = [{"call_id": "a", "reason": "poison"}, {"reason": "spool_full", "call_id": "b"}]
    with writing(engine) as connection:
        insert_rows(connection, dropped_call, rows)
        found = connection.execute(select(dropped_call)).all()
    assert set(found) == {("a", "poison"), ("b", "spool_full")}
    engine.dispose()


def test_a_failed_upgrade_leaves_nothing_behind(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shalt.sqlite") as connection:
        connection.execute("CREATE TABLE dataset_item (x)")  # in the way of the first revision
    connection.close()
    engine = open_engine(url_of(tmp_path))
    with pytest.raises(StoreUnavailable, match="already exists"):
        upgrade(engine)
    engine.dispose()
    tables = ask(url_of(tmp_path), "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert tables == [("dataset_item",)]


@pytest.mark.parametrize("there", ["nothing", "an empty file"])
def test_a_store_that_is_not_ready_says_so(tmp_path: Path, there: str) -> None:
    if there == "an empty file":
        (tmp_path / "shalt.sqlite").touch()
    engine = open_engine(url_of(tmp_path))
    with pytest.raises(StoreNotReady, match="`shalt serve` creates and upgrades it"):
        check(engine)
    engine.dispose()


def test_a_missing_table_is_not_ready_rather_than_an_sql_error(tmp_path: Path) -> None:
    (tmp_path / "shalt.sqlite").touch()
    engine = open_engine(url_of(tmp_path))
    with pytest.raises(StoreNotReady, match="has no tables"), reading(engine) as connection:
        connection.execute(text("SELECT 1 FROM call"))
    engine.dispose()


@pytest.mark.parametrize("content", [b"not a database " * 100, b"\0" * 5000])
def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shalt.sqlite").write_bytes(content)
    engine = open_engine(url_of(tmp_path))
    for attempt in (check, upgrade):
        with pytest.raises(StoreUnavailable):
            attempt(engine)
    engine.dispose()


def test_a_full_disk_is_unavailable_and_stores_nothing(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path))
    upgrade(engine)
    with pytest.raises(StoreUnavailable, match="full"):
        fill_up(engine)
    engine.dispose()
    assert ask(url_of(tmp_path), "SELECT count(*) FROM sqlite_master WHERE name = 'large'") == [
        (0,)
    ]


def fill_up(engine: Engine) -> None:
    """Write more than the database may hold, as if its disk were full."""
    with writing(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(1000000) AS x")


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    store = new_store(url_of(tmp_path))
    store.insert([recorded(1)], at(1))
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(StoreNotReady, match="is not there"):
        store.count("default")
    other = new_store(url_of(tmp_path))
    store.insert([recorded(2)], at(2))
    assert other.count("default") == store.count("default") == 1
    store.close()
    other.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_store_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        written = new_store(url_of(disk))
        written.insert([recorded(1)], at(1))
        written.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        store = TraceStore(url_of(disk), clock=SystemClock())
        store.check()
        assert [row.id for row in store.list("default", limit=5)] == [id_of(1)]
        with pytest.raises(StoreUnavailable, match="readonly"):
            store.insert([recorded(2)], at(2))
        store.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
