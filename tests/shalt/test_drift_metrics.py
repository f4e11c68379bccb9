"""Tests of shalt.drift_metrics: what Prometheus is shown."""

import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shalt.drift_metrics import DriftCollector
from shalt.monitor_list import MonitorList
from shalt.monitor_state import (
    ClassifierState,
    Failure,
    FeatureState,
    MonitorState,
    Reason,
    ReferenceState,
    WatchState,
    WindowState,
    encode_state,
    new_state,
)
from shalt.monitors import Monitor
from shalt.settings import Settings
from tests.timed import least_seconds

MONITOR = Monitor(reference="a", project="default")
FEATURES = tuple(FeatureState("prompt", f"feature_{each}", 0.3, 0.2, False) for each in range(60))


def evaluated(monitor: Monitor = MONITOR) -> MonitorState:
    """The state of a monitor of which every window was evaluated, and drifted."""
    state = new_state(monitor)
    state.reference = ReferenceState("train", 1000.0, "ab12", 2)
    for window, tally in state.tallies.items():
        state.windows[window] = WindowState(
            verdict="drift",
            why="",
            alpha=0.001,
            until=2000.0,
            finished_at=2001.0,
            seconds=0.5,
            reference_groups=400,
            current_groups=250,
            features=(FeatureState("prompt", "prompt_years", 0.4, 0.3, True), *FEATURES),
            classifiers=(ClassifierState("prompt", 0.7, 0.25),),
            unseen={},
        )
        state.unseen[window] = {"prompt_years": 0.4}
        tally.evaluations = 3
    return state


def collector(folder: Path, state: WatchState, **given: object) -> DriftCollector:
    path = folder / "watch.json"
    path.write_bytes(encode_state(state))
    settings = Settings.model_validate(given)
    return DriftCollector(MonitorList(settings, folder / "monitors.json"), path)


def exposed(collector: DriftCollector) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


Key = tuple[str, frozenset[str]]


def of(name: str, *values: str) -> Key:
    """What a sample is known by: its name and the values of its labels, in any order."""
    return name, frozenset(values)


def samples(text: bytes) -> dict[Key, float]:
    return {
        of(sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_was_found_is_shown(tmp_path: Path) -> None:
    state = WatchState(monitors={"m": evaluated()})
    found = samples(exposed(collector(tmp_path, state, monitors={"m": MONITOR})))
    expected: dict[Key, float] = {
        of("shalt_drift_detected", "m", "1d"): 1,
        of("shalt_drift_feature_detected", "m", "1d", "prompt", "prompt_years"): 1,
        of("shalt_drift_feature_detected", "m", "1d", "prompt", "feature_0"): 0,
        of("shalt_drift_feature_effect_ratio", "m", "1d", "prompt", "prompt_years"): 0.4,
        of("shalt_drift_feature_effect_lower_ratio", "m", "1d", "prompt", "prompt_years"): 0.3,
        of("shalt_drift_domain_classifier_auc_ratio", "m", "1d", "prompt"): 0.7,
        of("shalt_drift_novel_traffic_lower_ratio", "m", "1d", "prompt"): 0.25,
        of("shalt_drift_unseen_category_ratio", "m", "1d", "prompt_years"): 0.4,
        of("shalt_drift_window_traces", "m", "1d", "reference"): 400,
        of("shalt_drift_window_traces", "m", "1d", "current"): 250,
        of("shalt_drift_last_evaluation_timestamp_seconds", "m", "1d"): 2001,
        of("shalt_drift_evaluation_duration_seconds", "m", "1d"): 0.5,
        of("shalt_drift_evaluation_interval_seconds", "m"): 3600,
        of("shalt_drift_reference_created_timestamp_seconds", "m"): 1000,
        of("shalt_drift_reference_info", "m", "ab12", "train", "2"): 1,
        of("shalt_drift_evaluations_total", "m", "1d"): 3,
        of("shalt_drift_evaluation_failures_total", "m", "1d", "store"): 0,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_failures_are_counted_by_reason_and_show_before_the_first(tmp_path: Path) -> None:
    state = evaluated()
    state.tallies["1h"].fail(Failure(Reason.MEMORY, "too much"))
    shown = collector(tmp_path, WatchState(monitors={"m": state}), monitors={"m": MONITOR})
    found = samples(exposed(shown))
    name = "shalt_drift_evaluation_failures_total"
    counts = {reason: found[of(name, "m", "1h", reason.value)] for reason in Reason}
    assert counts == {reason: float(reason is Reason.MEMORY) for reason in Reason}


def test_a_monitor_that_is_gone_has_no_series(tmp_path: Path) -> None:
    shown = collector(tmp_path, WatchState(monitors={"gone": evaluated()}))
    assert samples(exposed(shown)) == {}


def test_a_monitor_before_its_first_evaluation_shows_no_verdict(tmp_path: Path) -> None:
    found = samples(exposed(collector(tmp_path, WatchState(), monitors={"m": MONITOR})))
    names = {key[0] for key in found}
    assert "shalt_drift_detected" not in names
    assert found[of("shalt_drift_evaluations_total", "m", "1h")] == 0


def test_what_another_monitor_of_the_same_name_found_is_not_shown(tmp_path: Path) -> None:
    other = MONITOR.model_copy(update={"where": "streamed"})
    state = WatchState(monitors={"m": evaluated()})
    found = samples(exposed(collector(tmp_path, state, monitors={"m": other})))
    assert of("shalt_drift_detected", "m", "1d") not in found


def test_a_list_that_cannot_be_read_hides_only_what_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "monitors.json").write_text("{")
    state = WatchState(monitors={"m": evaluated()})
    found = samples(exposed(collector(tmp_path, state, monitors={"m": MONITOR})))
    assert found[of("shalt_drift_detected", "m", "1d")] == 1


def test_a_scrape_takes_less_than_50_ms(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(4)]  # benchmarks/watch_limits.py has the others
    state = WatchState(monitors={name: evaluated() for name in names})
    shown = collector(tmp_path, state, monitors=dict.fromkeys(names, MONITOR))
    assert least_seconds(lambda: exposed(shown)) < 0.05


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_linter_has_nothing_to_say(tmp_path: Path) -> None:
    state = WatchState(monitors={"m": evaluated()})
    text = exposed(collector(tmp_path, state, monitors={"m": MONITOR}))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
