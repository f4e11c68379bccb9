"""A copy is one state of the store, and the store is that again when it is put back."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from storage import backup as module
from storage.backup import BackupError, StoreInTheWay, backup, restore
from storage.database import StoreNotReady, StoreTooNew
from storage.schema import SCHEMA_REVISION
from storage.store import TraceStore
from tests.postgres import Server
from tests.storage.calls import StillClock, ask, at, id_of, new_store, recorded
from tests.storage.saying import label, score

CALLS = [recorded(number, tags={"n": str(number)}) for number in range(50)]


def test_a_restored_store_is_what_it_was_when_copied(store: TraceStore, tmp_path: Path) -> None:
    store.insert(CALLS[:20], at(20), said=[score(60, 1), label(61, 1)])
    backup(store.engine, tmp_path / "copy")
    store.insert(CALLS[20:], at(50), said=[score(62, 1, 0.0)])
    store.close()
    assert restore(store.engine, tmp_path / "copy", force=True) == SCHEMA_REVISION
    assert [each.capture for each in store.scan("default")] == [each.capture for each in CALLS[:20]]
    assert store.scores([id_of(1)]) == {id_of(1): (score(60, 1),)}
    assert store.labels([id_of(1)]) == {id_of(1): (label(61, 1),)}
    assert store.insert(CALLS, at(50)) == 30


def test_a_copy_is_for_our_eyes_only_and_nothing_is_left_beside_it(
    store: TraceStore, tmp_path: Path
) -> None:
    (tmp_path / "copies").mkdir()
    copy = tmp_path / "copies" / "copy"
    backup(store.engine, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_recording_goes_on_while_the_store_is_copied(
    sqlite_store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGES_AT_ONCE", 5)
    store = sqlite_store
    store.insert(CALLS[:20], at(20))
    reports: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        reports.append((done, total))
        if len(reports) == 2:
            writer = threading.Thread(target=store.insert, args=(CALLS[20:], at(50)))
            writer.start()
            writer.join()

    backup(store.engine, tmp_path / "copy", progress)
    assert store.count("default") == 50
    copied = ask(f"sqlite:///{tmp_path / 'copy'}", "SELECT count(*) FROM call")
    assert copied == [(20,)]
    done, total = reports[-1]
    assert done == total
    assert [each[0] for each in reports] == sorted(each[0] for each in reports)


def test_a_copy_overwrites_nothing(store: TraceStore, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(BackupError, match="is there already"):
        backup(store.engine, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_named(store: TraceStore, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file or directory"):
        backup(store.engine, tmp_path / "absent" / "copy")


def test_a_store_that_is_not_there_cannot_be_copied(empty_url: str, tmp_path: Path) -> None:
    store = TraceStore(empty_url, clock=StillClock())
    with pytest.raises(StoreNotReady):
        backup(store.engine, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.close()


def test_a_store_is_replaced_only_by_force(store: TraceStore, tmp_path: Path) -> None:
    store.insert(CALLS[:3], at(3))
    backup(store.engine, tmp_path / "copy")
    store.insert(CALLS, at(50))
    store.close()
    with pytest.raises(StoreInTheWay, match="--force"):
        restore(store.engine, tmp_path / "copy")
    assert store.count("default") == 50


def test_a_copy_goes_where_there_is_no_store(
    store: TraceStore, empty_url: str, tmp_path: Path
) -> None:
    store.insert(CALLS, at(50))
    backup(store.engine, tmp_path / "copy")
    elsewhere = TraceStore(
        f"{empty_url}2" if empty_url.startswith("sqlite") else empty_url, clock=StillClock()
    )
    if store.engine.dialect.name == elsewhere.engine.dialect.name:
        restore(elsewhere.engine, tmp_path / "copy")
        assert elsewhere.count("default") == 50
    else:
        with pytest.raises(BackupError, match="dump of PostgreSQL, and the store is"):
            restore(elsewhere.engine, tmp_path / "copy")
    elsewhere.close()


def test_what_is_no_copy_is_refused(sqlite_store: TraceStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing of the kind" * 10)
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE x (y)")
    connection.close()
    for name, match in (("text", "no SQLite"), ("other", "no such table"), ("absent", "No such")):
        with pytest.raises(BackupError, match=match):
            restore(sqlite_store.engine, tmp_path / name, force=True)
    sqlite_store.check()


def test_a_copy_of_a_newer_shalt_is_refused(
    store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(store.engine, tmp_path / "copy")
    monkeypatch.setattr(module, "SCHEMA_REVISION", "0001")
    with pytest.raises(
        StoreTooNew, match=f"revision {SCHEMA_REVISION}, this shalt knows up to 0001"
    ):
        restore(store.engine, tmp_path / "copy", force=True)


def test_half_a_dump_replaces_nothing(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url(postgres.create("migrated"))
    store = new_store(url)
    store.insert(CALLS, at(50))
    backup(store.engine, tmp_path / "copy")
    whole = (tmp_path / "copy").read_bytes()
    (tmp_path / "copy").write_bytes(whole[: len(whole) - 2_000])
    store.close()
    with pytest.raises(BackupError):
        restore(store.engine, tmp_path / "copy", force=True)
    assert store.count("default") == 50
    store.close()
    postgres.drop(url)


def test_a_store_that_others_use_is_not_replaced(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url(postgres.create("migrated"))
    one, other = new_store(url), new_store(url)
    backup(one.engine, tmp_path / "copy")
    one.close()
    with pytest.raises(BackupError, match="connections of shalt are open"):
        restore(one.engine, tmp_path / "copy", force=True)
    one.close()
    other.close()
    postgres.drop(url)


def test_a_missing_program_is_named(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url(postgres.create("migrated"))
    store = new_store(url)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(BackupError, match="pg_dump is not installed"):
        backup(store.engine, tmp_path / "copy")
    store.close()
    postgres.drop(url)
