"""What SQLite leaves behind in the free space of its pages, overwritten with zeros.

`PRAGMA secure_delete` overwrites what is deleted, where it stands. But when SQLite rebuilds a page
of a b-tree to balance it, cells move and their old bytes stay between the page's cell pointers
and its content: copies that no later deletion reaches. Of a hundred users erased one after the
other, one could still be read there. VACUUM would take them along by writing the whole file
again, twice; this reads the file once and writes where it is not zero.

How that is safe, although SQLite does not know of it. Slice by slice, the log is emptied (a
checkpoint that truncates it) and the write lock taken: while it is held and the log is empty,
nobody else writes to the file, and readers do not look at free space. What is free is read from
the page under that lock. An ordinary commit ends each slice, which makes every other connection
forget the pages it has in memory. A kill at any moment leaves a sound file.

Closing a file takes away all locks that the process has on it (POSIX), SQLite's too. So this must
run in a process that has no other connection to the store; storage.scrub starts one.

Limits: SLICE_BYTES under one lock, some 50 ms. A reader that stays in one transaction for longer
than LOG_SECONDS keeps the log from being emptied: LogInUse, try again. A file whose pages do not
tell what they are (auto_vacuum, or more than PAGES_MAX of them) raises UnknownPages.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

SLICE_BYTES: Final = 32 * 2**20
LOG_SECONDS: Final = 5.0
BUSY_SECONDS: Final = 0.5  # a checkpoint that waits for readers keeps writers waiting, too
PAUSE_SECONDS: Final = 0.01  # between slices, for who waits to write
# The first byte of a page that is no b-tree's is the highest of another page's number.
PAGES_MAX: Final = 2 * 2**24

_HEADER_BYTES: Final = 100  # of the file, on its first page
# Flags of b-tree pages, and where their cell pointers begin: interior ones have a child more.
_POINTERS_AT: Final = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}


class LogInUse(Exception):
    """A reader keeps the log from being emptied, so that bytes of it stay."""


class UnknownPages(Exception):
    """The file is not built as shalt builds it: its pages cannot be told apart."""


def clear_free_space(path: Path) -> int:
    """Empty the log, and overwrite what is free in b-tree pages; return how many had anything.

    Raise LogInUse where the log cannot be emptied, UnknownPages where only VACUUM helps, OSError
    and sqlite3.Error. Reads the whole file; mind the process (see the module).
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with closing(_connect(path)) as connection:
            page_bytes = _page_bytes(file)
            step = SLICE_BYTES // page_bytes * page_bytes
            count = at = 0
            while at < os.fstat(file).st_size:
                with _alone(connection, path):
                    count += _clear_slice(file, at, step, page_bytes)
                    os.fdatasync(file)
                at += step
                time.sleep(PAUSE_SECONDS)
            _empty_log(connection)
            return count
    finally:
        os.close(file)  # the connection is closed: there are no locks to lose


def rewrite(path: Path) -> None:
    """Write the whole file anew, where it raises UnknownPages: VACUUM. Nobody writes meanwhile.

    Raise LogInUse where others keep the log from being emptied, or the file from being written.
    """
    with closing(_connect(path)) as connection:
        try:
            connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise LogInUse("somebody else writes to the store") from error
        _empty_log(connection)


def free_range(page: bytes, at: int) -> tuple[int, int] | None:
    """Say where a b-tree page is free, between its cell pointers and its cells.

    `at` is where its header stands: 0, and 100 on the first page. None where it is no b-tree's.
    Source: https://www.sqlite.org/fileformat2.html, section 1.6.
    """
    pointers_at = _POINTERS_AT.get(page[at])
    if pointers_at is None:
        return None
    cell_count = int.from_bytes(page[at + 3 : at + 5], "big")
    cells_at = int.from_bytes(page[at + 5 : at + 7], "big") or 65_536
    start = at + pointers_at + 2 * cell_count
    return (start, cells_at) if start <= cells_at <= len(page) else None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _page_bytes(file: int) -> int:
    header = os.pread(file, _HEADER_BYTES, 0)
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    has_maps = header[52:56] != bytes(4)  # auto_vacuum: pages that map others look like b-trees
    too_many = page_bytes and os.fstat(file).st_size // page_bytes >= PAGES_MAX
    if page_bytes < 512 or has_maps or too_many:
        raise UnknownPages("auto_vacuum is on, or there are too many pages")
    return page_bytes


@contextmanager
def _alone(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Hold the write lock while the log is empty; make others forget their pages at the end."""
    log = path.with_name(path.name + "-wal")
    until = time.monotonic() + LOG_SECONDS
    while True:
        _empty_log(connection)
        if _begin(connection):
            if not log.exists() or log.stat().st_size == 0:
                break
            connection.execute("ROLLBACK")  # somebody was quicker
        if time.monotonic() > until:
            raise LogInUse("there is always something new in the log of the store")
    try:
        yield
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")  # the same: what counts is a commit
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True


def _empty_log(connection: sqlite3.Connection) -> None:
    until = time.monotonic() + LOG_SECONDS
    while True:
        try:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:  # another checkpoint is going on
            if "locked" not in str(error):
                raise
            busy = 1
        if not busy:
            return
        if time.monotonic() > until:
            raise LogInUse("a reader or a writer keeps the log of the store from being emptied")
        time.sleep(PAUSE_SECONDS)


def _clear_slice(file: int, at: int, length: int, page_bytes: int) -> int:
    """Overwrite what is free in the pages of a part of the file; return how many had anything."""
    data = os.pread(file, length, at)
    count = 0
    for offset in range(0, len(data) - page_bytes + 1, page_bytes):
        first = at + offset == 0
        page = data[offset : offset + page_bytes]
        found = free_range(page, _HEADER_BYTES if first else 0)
        if found is None:
            continue
        start, end = found
        if page.count(0, start, end) < end - start:
            os.pwrite(file, bytes(end - start), at + offset + start)
            count += 1
    return count
