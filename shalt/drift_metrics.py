"""Drift monitors for Prometheus, as of their last evaluations.

The console reads two small files at each scrape and computes nothing: what is shown was computed by
the process that watches, and says when (`*_timestamp_seconds`). A monitor that is removed has no
series any more. Labels are from closed lists: names of monitors and windows, sides, features,
reasons; no ids, words or hashes but that of the manifest.

Cost: 3 ms of a scrape for a monitor of three windows, 40 ms for MONITORS_MAX of them; most of it is
writing some 600 series each as text (benchmarks/watch_limits.py).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shalt.monitor_list import Asked, MonitorList, MonitorsUnreadable
from shalt.monitor_state import (
    MonitorState,
    Reason,
    WindowState,
    definition_of,
    new_state,
    read_state,
)

_CACHED = "As of the last evaluation, not computed at the scrape."


class DriftCollector(Collector):
    """Shows what the state of the monitors says, of those that there are."""

    def __init__(self, monitors: MonitorList, state: Path) -> None:
        self._monitors = monitors
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Read both files now."""
        try:
            asked = self._monitors.all()
        except MonitorsUnreadable:
            asked = self._monitors.of_settings()
        known = read_state(self._state).monitors
        states: dict[str, MonitorState] = {}
        for name, each in asked.items():
            state = known.get(name)
            # One of another definition is of a monitor that had this name before.
            is_its = state is not None and state.definition == definition_of(each.monitor)
            states[name] = state if state is not None and is_its else new_state(each.monitor)
        yield from _windows(states)
        yield from _features(states)
        yield from _monitors(asked, states)
        yield from _counters(states)


def _evaluated(states: Mapping[str, MonitorState]) -> Iterator[tuple[list[str], WindowState]]:
    for name, state in states.items():
        for window, found in state.windows.items():
            yield [name, window], found


def _windows(states: Mapping[str, MonitorState]) -> Iterator[Metric]:
    """What there is one of for each window."""
    labels = ["monitor", "window"]
    detected = GaugeMetricFamily(
        "shalt_drift_detected",
        f"1 if the window differs from the reference beyond chance and floors, else 0. {_CACHED}",
        labels=labels,
    )
    groups = GaugeMetricFamily(
        "shalt_drift_window_traces",
        f"Groups compared, one call of each: reference or current. {_CACHED}",
        labels=[*labels, "dataset"],
    )
    evaluated_at = GaugeMetricFamily(
        "shalt_drift_last_evaluation_timestamp_seconds",
        "When the last evaluation that succeeded ended, seconds since 1970.",
        labels=labels,
    )
    seconds = GaugeMetricFamily(
        "shalt_drift_evaluation_duration_seconds",
        "How long the last evaluation that succeeded took.",
        labels=labels,
    )
    for where, found in _evaluated(states):
        detected.add_metric(where, float(found.verdict == "drift"))
        groups.add_metric([*where, "reference"], found.reference_groups)
        groups.add_metric([*where, "current"], found.current_groups)
        evaluated_at.add_metric(where, found.finished_at)
        seconds.add_metric(where, found.seconds)
    yield from (detected, groups, evaluated_at, seconds)


def _features(states: Mapping[str, MonitorState]) -> Iterator[Metric]:
    """What there is one of for each feature, or each side, of a window."""
    labels = ["monitor", "window", "side"]
    detected = GaugeMetricFamily(
        "shalt_drift_feature_detected",
        f"1 if the feature drifted, all tests of the report corrected for, else 0. {_CACHED}",
        labels=[*labels, "feature"],
    )
    effect = GaugeMetricFamily(
        "shalt_drift_feature_effect_ratio",
        f"Effect, 0 to 1: KS distance of a number, change of share of a value or word. {_CACHED}",
        labels=[*labels, "feature"],
    )
    lower = GaugeMetricFamily(
        "shalt_drift_feature_effect_lower_ratio",
        f"The least effect that its 95 percent interval allows, 0 to 1. {_CACHED}",
        labels=[*labels, "feature"],
    )
    auc = GaugeMetricFamily(
        "shalt_drift_domain_classifier_auc_ratio",
        f"How well held-out calls are told from the reference: 0.5 not at all, 1 always. {_CACHED}",
        labels=labels,
    )
    novel = GaugeMetricFamily(
        "shalt_drift_novel_traffic_lower_ratio",
        f"So large a share of the calls at least is unlike all of the reference. {_CACHED}",
        labels=labels,
    )
    unseen = GaugeMetricFamily(
        "shalt_drift_unseen_category_ratio",
        "Share of calls with a value the reference never had: the last evaluation's, and those "
        "looked at since, some seconds ago.",
        labels=["monitor", "window", "feature"],
    )
    for where, found in _evaluated(states):
        for each in found.features:
            of_feature = [*where, each.side, each.feature]
            detected.add_metric(of_feature, float(each.drift))
            effect.add_metric(of_feature, each.effect)
            lower.add_metric(of_feature, each.lower)
        for side in found.classifiers:
            auc.add_metric([*where, side.side], side.auc)
            novel.add_metric([*where, side.side], side.novel)
    for name, state in states.items():
        for window, ratios in state.unseen.items():
            for feature, ratio in ratios.items():
                unseen.add_metric([name, window, feature], ratio)
    yield from (detected, effect, lower, auc, novel, unseen)


def _monitors(asked: Mapping[str, Asked], states: Mapping[str, MonitorState]) -> Iterator[Metric]:
    """What there is one of for each monitor."""
    interval = GaugeMetricFamily(
        "shalt_drift_evaluation_interval_seconds",
        "Time between two evaluations that the monitor asks for.",
        labels=["monitor"],
    )
    created_at = GaugeMetricFamily(
        "shalt_drift_reference_created_timestamp_seconds",
        "When the newest call of the reference started, seconds since 1970.",
        labels=["monitor"],
    )
    reference = GaugeMetricFamily(
        "shalt_drift_reference_info",
        "1, with what the reference is: its manifest, where it is an export.",
        labels=["monitor", "manifest_sha256", "dataset", "feature_version"],
    )
    for name, each in asked.items():
        interval.add_metric([name], each.monitor.every_seconds)
        found = states[name].reference
        if found is not None:
            created_at.add_metric([name], found.created_at)
            version = str(found.feature_version)
            reference.add_metric([name, found.manifest_sha256, found.dataset, version], 1)
    yield from (interval, created_at, reference)


def _counters(states: Mapping[str, MonitorState]) -> Iterator[Metric]:
    """Counts; each series is there from the start, or its first step would not be an increase."""
    evaluations = CounterMetricFamily(
        "shalt_drift_evaluations",
        "Evaluations that succeeded.",
        labels=["monitor", "window"],
    )
    failures = CounterMetricFamily(
        "shalt_drift_evaluation_failures",
        "Evaluations that failed, by why.",
        labels=["monitor", "window", "reason"],
    )
    for name, state in states.items():
        for window, tally in state.tallies.items():
            evaluations.add_metric([name, window], tally.evaluations)
            for reason in Reason:
                failures.add_metric([name, window, reason], tally.failures.get(reason, 0))
    yield evaluations
    yield failures
