"""The process that makes the database's bytes unreadable; the rest of it is in test_eraser."""

import sqlite3
from contextlib import closing
from pathlib import Path

from storage.scrub import TRY_AGAIN, Order, start
from storage.store import TraceStore
from tests.storage.calls import ask, at, new_store, recorded, url_of

SAID = b"words that were said once"


def test_it_ends_well_when_the_bytes_are_gone(sqlite_store: TraceStore, tmp_path: Path) -> None:
    sqlite_store.insert([recorded(1, request=SAID)], at(1))
    for table in ("body", "tag", "call"):
        ask(sqlite_store, f"DELETE FROM {table}")
    sqlite_store.close()
    assert start(Order(url_of(tmp_path), ())).wait(60) == 0
    assert SAID not in b"".join(path.read_bytes() for path in tmp_path.glob("shalt.sqlite*"))


def test_it_asks_to_be_tried_again_when_somebody_reads(tmp_path: Path) -> None:
    store = new_store(url_of(tmp_path))
    with closing(sqlite3.connect(tmp_path / "shalt.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM call").fetchone()
        store.insert([recorded(1)], at(1))
        assert start(Order(url_of(tmp_path), ())).wait(60) == TRY_AGAIN
    store.close()
