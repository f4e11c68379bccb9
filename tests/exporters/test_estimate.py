"""What an export will take is known before it is made, and too much is refused."""

from pathlib import Path

import pytest

from exporters import estimate as estimates
from exporters.dataset import export
from exporters.estimate import Estimate, check_room, estimate
from exporters.planning import make_plan
from exporters.request import ExportError, ExportRequest
from storage.store import TraceStore
from tests.exporters.calls import conversation, opening, record


def test_the_estimate_is_near_what_is_written(sqlite_store: TraceStore, tmp_path: Path) -> None:
    record(
        sqlite_store,
        [call for g in range(600) for call in conversation(100 * g, opening(g), 1 + g % 4)],
    )
    plan = make_plan(sqlite_store, ExportRequest())
    (tmp_path / "scratch").mkdir()
    expected = estimate(sqlite_store, plan.rows, plan.ranges, plan.size, tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())
    manifest = export(sqlite_store, ExportRequest(), tmp_path / "out")
    rows = sum(entry.rows for entry in manifest.sides.values())
    assert expected.calls == manifest.calls == 1500
    assert 0.7 * rows < expected.rows < 1.3 * rows


def test_of_a_few_calls_their_bodies_are_the_bound(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    record(sqlite_store, conversation(0, "hi", 3))
    plan = make_plan(sqlite_store, ExportRequest())
    expected = estimate(sqlite_store, plan.rows, plan.ranges, plan.size, tmp_path)
    assert (expected.rows, expected.bytes) == (3, plan.size.body_bytes)


def test_what_does_not_fit_on_the_disk_is_refused() -> None:
    check_room(Estimate(1, 1, 10**9, 2 * 10**9))
    with pytest.raises(ExportError, match=r"need 1\.3 GB for a while, and 1\.0 GB are free"):
        check_room(Estimate(1, 1, 10**9, 10**9))


def test_nothing_is_left_of_an_export_that_does_not_fit(
    sqlite_store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(sqlite_store, conversation(0, "hi", 3))
    monkeypatch.setattr(estimates, "MARGIN_BYTES", 1 << 62)
    with pytest.raises(ExportError, match="choose another disk"):
        export(sqlite_store, ExportRequest(), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
