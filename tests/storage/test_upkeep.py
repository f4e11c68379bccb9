"""The share of time that erasing and retention may have, and what becomes of their errors."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from storage import upkeep
from storage.eraser import Eraser
from storage.erasure import Kind, Selection
from storage.receipts import request
from storage.retention import Policy, Retention
from storage.store import TraceStore
from storage.upkeep import Upkeep, UpkeepMetrics
from tests.storage.calls import START_NS, StillClock, at, id_of, new_store, recorded, url_of

CLOCK = StillClock(START_NS + 10**15)


def made(store: TraceStore, directory: Path, registry: CollectorRegistry) -> Upkeep:
    spool = directory / "spool"
    return Upkeep(
        Eraser(store, spool=spool, poison=directory / "poison", clock=CLOCK),
        Retention(store, Policy(0, 0), clock=CLOCK),
        UpkeepMetrics(registry),
    )


def test_work_is_done_and_counted_and_then_there_is_a_pause(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    registry = CollectorRegistry()
    keeping = made(sqlite_store, tmp_path, registry)
    sqlite_store.insert([recorded(1), recorded(2)], at(1))
    request(sqlite_store, "default", Selection(Kind.ID, ids=(id_of(1),)), reason="", clock=CLOCK)
    assert keeping.step()
    assert not keeping.step()  # as long as it has worked, it rests
    assert registry.get_sample_value("shalt_erasure_calls_total") == 1
    keeping.close()


def test_without_work_it_looks_seldom(
    sqlite_store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "POLL_SECONDS", 1000.0)
    keeping = made(sqlite_store, tmp_path, CollectorRegistry())
    assert not keeping.step()
    sqlite_store.insert([recorded(1)], at(1))
    request(sqlite_store, "default", Selection(Kind.ID, ids=(id_of(1),)), reason="", clock=CLOCK)
    assert not keeping.step()


def test_a_store_that_is_not_there_is_counted_and_tried_again(tmp_path: Path) -> None:
    store = new_store(url_of(tmp_path))
    (tmp_path / "shalt.sqlite").rename(tmp_path / "gone")
    registry = CollectorRegistry()
    assert not made(store, tmp_path, registry).step()
    assert registry.get_sample_value("shalt_upkeep_failures_total") == 1
    store.close()
