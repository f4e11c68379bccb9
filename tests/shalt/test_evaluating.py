"""Tests of shalt.evaluating: what one evaluation of a monitor finds, and what goes wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from exporters.dataset import export
from exporters.drift import Classifier, DriftReport, Outcome, WindowSummary
from exporters.findings import Distribution, Effect, Unseen
from exporters.request import ExportRequest
from shalt.evaluating import Evaluation, window_state
from shalt.monitor_state import Evaluated, Reason
from shalt.monitors import Monitor
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.drift_reports import find_drift_report
from storage.store import TraceStore
from tests.monitored import captured, filled


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TraceStore]:
    """Of yesterday 400 calls of 2023; of the last hour 250, two in five of 2024."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("evaluating"))
    yesterday = [captured(number, 2023, hours_ago=30) for number in range(400)]
    today = [
        captured(1000 + number, 2024 if number % 5 < 2 else 2023, hours_ago=0.5)
        for number in range(250)
    ]
    with filled(settings, yesterday + today) as made:
        yield made


def evaluate(
    store: TraceStore, data_dir: Path, watched: tuple[str, ...] = (), **given: object
) -> Evaluated:
    monitor = Monitor.model_validate({"project": "default", "windows": ("1h", "1d"), **given})
    evaluation = Evaluation(Settings(data_dir=data_dir), store, "m", monitor, SystemClock())
    return evaluation.run(monitor.windows, watched)


def yesterday() -> str:
    now = datetime.now(UTC)
    return f"{(now - timedelta(hours=48)).isoformat()}..{(now - timedelta(hours=24)).isoformat()}"


def test_a_change_is_found_in_each_window(store: TraceStore, tmp_path: Path) -> None:
    found = evaluate(store, tmp_path, reference=yesterday())
    assert {name: state.verdict for name, state in found.windows.items()} == {
        "1h": "drift",
        "1d": "drift",
    }
    hour = found.windows["1h"]
    assert (hour.reference_groups, hour.current_groups) == (400, 250)
    kept = find_drift_report(store, hour.report_id)
    assert kept is not None
    assert (kept.listed.monitor, kept.listed.window, kept.listed.verdict) == ("m", "1h", "drift")
    report = msgspec.json.decode(kept.report, type=DriftReport)
    assert any("2024" in finding.sentence for finding in report.findings)
    assert "At most one false alarm in 42 days" in " ".join(report.notes)
    years = next(each for each in hour.features if each.feature == "prompt_years")
    assert years.drift
    assert 0.2 < years.lower < years.effect <= 1
    assert hour.unseen["prompt_years"] == pytest.approx(0.4)


def test_windows_share_the_alpha(store: TraceStore, tmp_path: Path) -> None:
    found = evaluate(store, tmp_path, reference=yesterday(), alpha=0.01)
    assert [state.alpha for state in found.windows.values()] == [0.005, 0.005]


def test_a_dataset_of_the_data_directory_is_a_reference_by_its_name(
    store: TraceStore, tmp_path: Path
) -> None:
    request = ExportRequest(project="default")
    export(store, request, tmp_path / "datasets" / "calls")
    by_name = evaluate(store, tmp_path, reference="calls")
    by_path = evaluate(store, tmp_path / "absent", reference=str(tmp_path / "datasets" / "calls"))
    assert by_name.reference is not None
    assert by_name.reference.dataset == "calls"
    assert len(by_name.reference.manifest_sha256) == 64
    assert by_path.windows["1h"].reference_groups == by_name.windows["1h"].reference_groups > 200


def test_the_time_before_is_a_reference(store: TraceStore, tmp_path: Path) -> None:
    found = evaluate(store, tmp_path, reference="previous")
    assert found.windows["1h"].verdict == "insufficient"
    assert (found.windows["1d"].reference_groups, found.windows["1d"].verdict) == (400, "drift")
    assert list((tmp_path / "drift" / "hours").rglob("*.parquet"))  # not to be read again


def test_a_filter_is_of_both_sides_of_a_range(store: TraceStore, tmp_path: Path) -> None:
    found = evaluate(store, tmp_path, reference=yesterday(), where="substr(id,32,1) < '8'")
    hour = found.windows["1h"]
    assert (hour.reference_groups, hour.current_groups) == (200, 122)


def test_the_values_of_watched_features_are_listed(store: TraceStore, tmp_path: Path) -> None:
    found = evaluate(store, tmp_path, ("prompt_years", "absent"), reference=yesterday())
    assert found.known == {"prompt_years": ("2023",)}


@pytest.mark.parametrize("reference", ["absent", "7d", "where:1=1", "../absent"])
def test_without_a_reference_the_whole_run_fails(
    reference: str, store: TraceStore, tmp_path: Path
) -> None:
    found = evaluate(store, tmp_path, reference=reference)
    assert found.windows == {}
    assert found.failure is not None
    assert found.failure.reason is Reason.REFERENCE


def test_a_filter_that_is_none_is_said_so(store: TraceStore, tmp_path: Path) -> None:
    found = evaluate(store, tmp_path, reference=yesterday(), where="modle = 'x'")
    assert found.failure is not None
    assert (found.failure.reason, "modle" in found.failure.message) == (Reason.FILTER, True)


@pytest.mark.parametrize("where", ["modle = ((", "1=1) or (1=1"])
def test_a_filter_is_one_by_itself_and_is_shown_as_it_was_written(
    where: str, store: TraceStore, tmp_path: Path
) -> None:
    failure = evaluate(store, tmp_path, reference=yesterday(), where=where).failure
    assert failure is not None
    assert (failure.reason, "started_at" in failure.message) == (Reason.FILTER, False)


def test_a_store_that_is_away_is_said_so(tmp_path: Path) -> None:
    away = TraceStore("postgresql://127.0.0.1:1/shalt", clock=SystemClock())
    found = evaluate(away, tmp_path, reference=yesterday())
    assert found.failure is not None
    assert found.failure.reason is Reason.STORE


def test_scores_of_any_name_are_one_feature_the_gravest() -> None:
    def outcome(name: str, lower: float, drift: bool) -> Outcome:
        effect = Effect(-lower - 0.1, -lower - 0.2, -lower)
        return Outcome(name, "answer", "number", 0.5, drift, "", effect)

    shares = Distribution((), (0.0, 1.0), (1.0,), (1.0,))
    report = DriftReport(
        version=2,
        verdict="drift",
        why="",
        alpha=0.001,
        feature_version=2,
        reference=WindowSummary("r", 1, 1),
        current=WindowSummary("c", 1, 1),
        shared_groups=0,
        findings=(),
        unseen=(Unseen("score:a", "answer", 1, (), 0.2), Unseen("score:b", "answer", 1, (), 0.1)),
        outcomes=(outcome("score:a", 0.4, False), outcome("score:b", 0.3, True)),
        classifiers=(Classifier("prompt", Effect(0.6, 0.55, 0.65), 0.1, shares),),
    )
    state = window_state(report, until=1, finished_at=2, seconds=1)
    (score,) = state.features
    assert (score.feature, score.drift) == ("score", True)
    assert score.lower == pytest.approx(0.3)
    assert score.effect == pytest.approx(0.4)
    assert state.unseen == {"score": 0.2}
    assert (state.classifiers[0].auc, state.classifiers[0].novel) == (0.6, 0.1)
