"""Free space of a SQLite file, overwritten while others read and write."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage import pages
from storage.pages import LogInUse, UnknownPages, clear_free_space, free_range, rewrite

LEAF, POINTERS = 0x0A, 8


def page_of(cell_count: int, cells_at: int, *, flag: int = LEAF, at: int = 0) -> bytes:
    header = bytes([flag]) + b"\0\0" + cell_count.to_bytes(2, "big") + cells_at.to_bytes(2, "big")
    return bytes(at) + header + b"\xff" * (4096 - at - len(header))


@pytest.mark.parametrize(
    ("flag", "at", "start"), [(0x0A, 0, 14), (0x0D, 0, 14), (0x02, 0, 18), (0x05, 100, 118)]
)
def test_free_is_what_lies_between_pointers_and_cells(flag: int, at: int, start: int) -> None:
    assert free_range(page_of(3, 4000, flag=flag, at=at), at) == (start, 4000)


@pytest.mark.parametrize("page", [bytes(4096), page_of(3, 5000), page_of(3000, 100)])
def test_what_is_no_page_of_a_tree_has_nothing_free(page: bytes) -> None:
    assert free_range(page, 0) is None


def test_copies_left_by_balancing_are_overwritten_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "balanced.sqlite"
    planted = fill(path)
    assert planted in path.read_bytes()
    with closing(sqlite3.connect(path)) as other:
        rows = other.execute("SELECT count(*) FROM t").fetchone()
        assert clear_free_space(path) > 0
        assert other.execute("SELECT count(*) FROM t").fetchone() == rows
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert planted not in path.read_bytes()
    assert clear_free_space(path) == 0


def test_a_connection_with_old_pages_in_memory_does_not_write_them_back(tmp_path: Path) -> None:
    path = tmp_path / "cached.sqlite"
    planted = fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("SELECT count(*), max(name) FROM t").fetchone()
        clear_free_space(path)
        other.execute("UPDATE t SET name = name || '!' WHERE id % 7 = 0")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert planted not in path.read_bytes()


def test_a_reader_that_stays_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LOG_SECONDS", 0.1)
    monkeypatch.setattr(pages, "BUSY_SECONDS", 0.05)
    path = tmp_path / "read.sqlite"
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        with closing(sqlite3.connect(path)) as writer:
            writer.execute("DELETE FROM t WHERE id = 1")
            writer.commit()
        with pytest.raises(LogInUse):
            clear_free_space(path)


def test_a_file_whose_pages_cannot_be_told_apart_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mapped.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with pytest.raises(UnknownPages):
        clear_free_space(path)
    rewrite(path)


def fill(path: Path) -> bytes:
    """Make a file in which the free space of a page holds a text that no row has."""
    planted = b"a text that was said once and is to be forgotten"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO t (name) VALUES (?)", [("x" * 50,)] * 500)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    for offset in range(page_bytes, len(data), page_bytes):
        free = free_range(bytes(data[offset : offset + page_bytes]), 0)
        if free is not None and free[1] - free[0] > len(planted):
            data[offset + free[0] : offset + free[0] + len(planted)] = planted
    path.write_bytes(data)
    return planted
