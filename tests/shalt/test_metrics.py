"""Tests of shalt.metrics."""

import os
import resource
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.mmap_dict import MmapedDict

from shalt.metrics import (
    FILE_BYTES,
    LimitCollector,
    RestartCollector,
    reserve_metric_files,
    trim_metric_files,
)
from shalt.settings import Settings


def test_restarts_are_read_at_every_scrape(tmp_path: Path) -> None:
    restarts = tmp_path / "restarts.json"
    restarts.write_text('{"worker": 0}')
    registry = CollectorRegistry()
    registry.register(RestartCollector(restarts))
    restarts.write_text('{"worker": 2}')
    text = generate_latest(registry).decode()
    assert 'shalt_supervisor_restarts_total{process="worker"} 2.0' in text


def test_restarts_that_could_not_be_written_are_left_out(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(RestartCollector(tmp_path / "restarts.json"))
    assert "shalt_supervisor_restarts_total{" not in generate_latest(registry).decode()


def test_the_room_for_metrics_is_taken_before_the_first(tmp_path: Path) -> None:
    reserve_metric_files(tmp_path)
    (path,) = tmp_path.glob("counter_*.db")
    assert path.stat().st_blocks * 512 >= FILE_BYTES
    counted = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    counted.write_value("a", 1.0, 0.0)  # type: ignore[no-untyped-call]
    counted.close()  # type: ignore[no-untyped-call]
    assert path.stat().st_size == FILE_BYTES


def test_nobody_finds_a_file_of_metrics_that_has_no_room_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Path] = []
    fill = os.posix_fallocate

    def look_and_fill(file: int, offset: int, size: int) -> None:
        found.extend(path for path in tmp_path.glob("*.db") if not path.stat().st_size)
        fill(file, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", look_and_fill)
    reserve_metric_files(tmp_path)
    assert found == []
    assert len(list(tmp_path.glob("*.db"))) == len(list(tmp_path.iterdir())) > 0


def test_without_room_a_process_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES // 2, before[1]))
    try:
        reserve_metric_files(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert values.ValueClass is values.MutexValue
    assert list(tmp_path.iterdir()) == []


def test_limits_are_shown_so_that_an_alert_can_tell_how_near_they_are() -> None:
    registry = CollectorRegistry()
    registry.register(LimitCollector(Settings.model_validate({"spool_bytes_max": "1 GiB"})))
    assert "shalt_spool_limit_bytes 1.073741824e+09" in generate_latest(registry).decode()


def test_a_process_that_has_ended_leaves_its_counts_and_no_room_that_it_did_not_use(
    tmp_path: Path,
) -> None:
    reserve_metric_files(tmp_path)
    path = tmp_path / f"counter_{os.getpid()}.db"
    counts = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    counts.write_value("calls", 3.0, 0.0)  # type: ignore[no-untyped-call]
    counts.close()  # type: ignore[no-untyped-call]
    trim_metric_files(tmp_path, os.getpid())
    assert path.stat().st_size < 200
    read = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    assert [value[:2] for value in read] == [("calls", 3.0)]
    for unused in tmp_path.glob("gauge*"):
        assert unused.stat().st_size == 8
        assert list(MmapedDict.read_all_values_from_file(str(unused))) == []  # type: ignore[no-untyped-call]
    trim_metric_files(tmp_path, 1)
