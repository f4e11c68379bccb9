"""Tests of storage.metrics."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from storage.capture import SystemClock
from storage.metrics import RecorderMetrics, SpoolCollector, oldest_seconds
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from storage.store import TraceStore
from tests.storage.calls import capture_of, recorded


def test_only_listed_models_become_labels() -> None:
    registry = CollectorRegistry()
    metrics = RecorderMetrics(registry, ["small-1"])
    spans = [recorded(1).span, recorded(2, request_model="made up by a client").span]
    metrics.stored(spans, seconds=0.1, now_ns=SystemClock().wall_ns())
    text = generate_latest(registry).decode()
    tokens = 'shalt_recorder_tokens_total{kind="input",model="%s",upstream="openai"} 7.0'
    assert tokens % "small-1" in text
    assert tokens % "other" in text
    assert "made up" not in text


def test_the_collector_tells_of_what_waits(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool", limits=SpoolLimits(), clock=SystemClock())
    writer.counters.add("accepted")
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    store = TraceStore(f"sqlite:///{tmp_path / 'shalt.sqlite'}", clock=SystemClock())
    store.upgrade()
    registry = CollectorRegistry()
    registry.register(SpoolCollector(tmp_path / "spool", store))
    text = generate_latest(registry).decode()
    assert "shalt_ledger_accepted_total 1.0" in text
    assert "shalt_ledger_backlog 1.0" in text
    assert 'shalt_ledger_dropped_total{reason="poison"} 0.0' in text
    assert "shalt_store_up 1.0" in text
    assert oldest_seconds(tmp_path / "spool", store.checkpoints()) > 0
    writer.close()
    store.close()
