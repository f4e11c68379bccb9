"""Tests of shalt.metrics."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from shalt.metrics import RestartCollector


def test_restarts_are_read_at_every_scrape(tmp_path: Path) -> None:
    restarts = tmp_path / "restarts.json"
    restarts.write_text('{"worker": 0}')
    registry = CollectorRegistry()
    registry.register(RestartCollector(restarts))
    restarts.write_text('{"worker": 2}')
    text = generate_latest(registry).decode()
    assert 'shalt_supervisor_restarts_total{process="worker"} 2.0' in text
