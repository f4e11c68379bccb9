"""Tests of storage.ledger; how it adds up over recordings is tested in test_recorder."""

from pathlib import Path

from storage.capture import DropReason, SystemClock
from storage.counters import Tally
from storage.ledger import LedgerReader, is_balanced, read_ledger
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from storage.store import TraceStore
from tests.storage.calls import at, capture_of, new_store, recorded, url_of


def test_without_a_store_all_that_was_spooled_is_backlog(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool", limits=SpoolLimits(), clock=SystemClock())
    writer.counters.add("accepted", 2)
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    store = TraceStore(f"sqlite:///{tmp_path / 'none.sqlite'}", clock=SystemClock())
    ledger = read_ledger(tmp_path / "spool", store)
    assert (ledger.accepted, ledger.backlog, ledger.in_flight) == (2, 1, 1)
    assert not ledger.store_ready
    writer.close()


def test_while_the_store_is_away_nothing_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "shalt.sqlite"
    store = TraceStore(f"sqlite:///{path}", clock=SystemClock())
    store.upgrade()
    store.close_writer("a" * 32, Tally(7, 0, 3, 4, {}))
    writer = SpoolWriter(tmp_path / "spool", limits=SpoolLimits(), clock=SystemClock())
    writer.counters.add("accepted", 2)
    reader = LedgerReader(tmp_path / "spool", store)
    assert reader.read().accepted == 9
    path.rename(tmp_path / "away")
    writer.counters.add("accepted")
    ledger = reader.read()
    assert (ledger.accepted, ledger.in_flight, is_balanced(ledger)) == (10, 3, True)
    assert (ledger.store_ready, "is not there" in ledger.store_error) == (False, True)
    (tmp_path / "away").rename(path)
    assert reader.read().store_ready
    writer.close()
    store.close()


def test_a_store_of_a_newer_shalt_is_not_ready_and_says_why(tmp_path: Path) -> None:
    store = TraceStore(f"sqlite:///{tmp_path / 'shalt.sqlite'}", clock=SystemClock())
    store.upgrade()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    ledger = read_ledger(tmp_path / "spool", store)
    assert (ledger.store_ready, "run the newer shalt" in ledger.store_error) == (False, True)
    store.close()


def test_of_a_writer_elsewhere_what_was_taken_counts_as_accepted(tmp_path: Path) -> None:
    store = new_store(url_of(tmp_path))
    store.insert([recorded(1), recorded(2)], at(1), poisoned=1)
    ledger = read_ledger(tmp_path / "spool", store)
    assert (ledger.accepted, ledger.stored, ledger.backlog) == (3, 2, 0)
    assert is_balanced(ledger)
    store.close()


def test_writers_of_the_past_count_for_ever(tmp_path: Path) -> None:
    store = TraceStore(f"sqlite:///{tmp_path / 'shalt.sqlite'}", clock=SystemClock())
    store.upgrade()
    store.close_writer("a" * 32, Tally(7, 0, 1, 2, {DropReason.SPOOL_FULL: 4}))
    store.close_writer("b" * 32, Tally(3, 0, 0, 3, {}))
    ledger = read_ledger(tmp_path / "spool", store)
    assert (ledger.accepted, ledger.sampled_out, ledger.opted_out) == (10, 1, 5)
    assert ledger.dropped[DropReason.SPOOL_FULL] == 4
    store.close()
