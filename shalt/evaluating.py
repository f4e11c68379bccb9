"""One evaluation of a drift monitor: each of its windows against its reference.

Windows end at the same time. The alpha of the monitor is the chance that any of its windows says
drift where nothing changed, so each has an equal share of it.

What goes wrong with one window is said of that window, and the others are evaluated all the same;
without a reference there is none. The report of each window is explained and kept in the store.
"""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exporters.alarms import alarms_sentence, window_alpha
from exporters.drift import (
    DriftReport,
    FeatureVersionError,
    SelfCheck,
    check_itself,
    compare,
    known_values,
)
from exporters.explanation import explained
from exporters.exported import load_reference
from exporters.loading import load_window
from exporters.manifest_reading import MANIFEST_FILE
from exporters.periods import (
    PREVIOUS,
    Between,
    before,
    parse_range,
    range_text,
)
from exporters.report import report_json
from exporters.rollups import Rollups
from exporters.windows import Window, WindowError
from shalt.embedding import embedded
from shalt.invocation import options_of
from shalt.monitor_state import (
    ClassifierState,
    Evaluated,
    Failure,
    FeatureState,
    Reason,
    ReferenceState,
    Side,
    WindowState,
)
from shalt.monitors import Monitor, duration_seconds
from shalt.places import Places
from shalt.settings import Settings
from shalt.unseen import VALUES_MAX
from storage.capture import Clock
from storage.drift_reports import NewReport, ReportTooLarge, add_drift_report
from storage.filter_syntax import FilterError
from storage.filters import compile_filter
from storage.store import TraceStore
from storage.store_errors import StoreError

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")  # of a dataset: shalt.dataset_jobs


@dataclass(frozen=True, eq=False)
class _Reference:
    """What windows are compared with; of an export where it lies, and what its manifest says."""

    window: Window
    export: Path | None = None
    manifest_sha256: str = ""
    self_check: SelfCheck | None = None


class Evaluation:
    """Evaluates one monitor, whose project is filled in."""

    def __init__(
        self, settings: Settings, store: TraceStore, name: str, monitor: Monitor, clock: Clock
    ) -> None:
        self._settings = settings
        self._store = store
        self._name = name
        self._monitor = monitor
        self._clock = clock
        self._rollups = Rollups(
            store,
            Places(settings.data_dir).rollups,
            monitor.project,
            monitor.where or None,
            clock=clock,
            terms_days=settings.drift_terms_days,
        )
        self._until = datetime.fromtimestamp(int(clock.wall_ns() / 1e9), UTC)

    def run(self, windows: Sequence[str], watched: Sequence[str]) -> Evaluated:
        """Evaluate some windows, none perhaps; find what is known of the `watched` features.

        Never raises: what fails is counted by its reason.
        """
        states: dict[str, WindowState] = {}
        failed: dict[str, Failure] = {}
        try:
            if self._monitor.where:
                compile_filter(self._monitor.where)  # by itself, for it becomes part of others
            fixed = self._fixed_reference(is_checked=bool(windows))
            # The one before the longest window stands for those before the others.
            longest = max(self._monitor.windows, key=duration_seconds)
            reference = fixed or _Reference(self._load(before(self._between(longest))))
            known = known_values(reference.window)
        except Exception as error:  # noqa: BLE001  without a reference, no window is evaluated
            return Evaluated(failure=_failure(error, Reason.REFERENCE))
        for window in windows:
            try:
                states[window] = self._evaluate(window, fixed)
            except Exception as error:  # noqa: BLE001  the other windows are to be evaluated
                failed[window] = _failure(error, Reason.VERSIONS)
        listed = {each: tuple(sorted(known[each])) for each in watched if each in known}
        return Evaluated(
            reference=_described(reference),
            known={each: values for each, values in listed.items() if len(values) <= VALUES_MAX},
            windows=states,
            failed=failed,
        )

    def _evaluate(self, window: str, fixed: _Reference | None) -> WindowState:
        began = time.monotonic()
        span = self._between(window)
        reference = fixed or _Reference(self._load(before(span)))
        windows = reference.window, self._load(span)
        project, monitor = self._monitor.project, self._monitor
        vectors = embedded(self._settings, self._store, windows, project=project, clock=self._clock)
        count, every_hours = len(monitor.windows), monitor.every_seconds / 3600
        report = compare(
            *windows,
            alpha=window_alpha(monitor.alpha, count),
            embeddings=vectors.embeddings,
            self_check=reference.self_check,
            notes=(
                *vectors.notes,
                *dict.fromkeys(note for each in windows for note in each.notes),
                alarms_sentence(monitor.alpha, every_hours, count),
            ),
        )
        report = explained(
            report,
            self._store,
            project,
            windows,
            export=reference.export,
            where=monitor.where,
            options=options_of(self._settings),
        )
        return window_state(
            report,
            until=self._until.timestamp(),
            finished_at=self._clock.wall_ns() / 1e9,
            seconds=time.monotonic() - began,
            report_id=self._keep(window, report),
        )

    def _keep(self, window: str, report: DriftReport) -> str:
        """Keep a report in the store; return its id, empty where it is too large to be kept."""
        new = NewReport(
            project=self._monitor.project,
            monitor=self._name,
            window=window,
            verdict=report.verdict,
            reference=self._monitor.reference,
            report=report_json(report),
        )
        try:
            return add_drift_report(self._store, new, clock=self._clock)
        except ReportTooLarge as error:
            log.warning("drift report not kept monitor=%s error=%s", self._name, error)
            return ""

    def _fixed_reference(self, *, is_checked: bool) -> _Reference | None:
        """Load what every window is compared with; None where each has the time before it.

        `is_checked`: whether an export is compared with itself too, train with test.
        """
        text = self._monitor.reference
        if text == PREVIOUS:
            return None
        named = Places(self._settings.data_dir).datasets / text
        is_named = _NAME.fullmatch(text) and (named / MANIFEST_FILE).is_file()
        if not is_named and (bounds := parse_range(text)) is not None:
            return _Reference(self._load(bounds))
        export = named if is_named else Path(text)
        if not (export / MANIFEST_FILE).is_file():
            raise WindowError(
                f"{text!r} is no reference: name the directory of an export, a dataset of this "
                f"data directory, a range of UTC times FROM..TO, or {PREVIOUS}"
            )
        found = load_reference(export)
        check = check_itself(found.train, found.test) if is_checked else None
        return _Reference(found.train, export, found.manifest_sha256, check)

    def _load(self, span: Between) -> Window:
        """Read the calls of a time that the monitor's filter matches too, by rolled-up hours."""
        if span.start is not None and span.end is not None:
            return self._rollups.load(span)
        asked = replace(span, where=self._monitor.where)
        found = load_window(self._store, self._monitor.project, asked)
        return replace(found, label=range_text(span))

    def _between(self, window: str) -> Between:
        return Between(self._until - timedelta(seconds=duration_seconds(window)), self._until)


def _described(reference: _Reference) -> ReferenceState:
    window = reference.window
    newest = int(window.started_at.max()) if len(window) else 0
    name = window.label if reference.export is None else reference.export.absolute().name
    return ReferenceState(
        dataset=name,
        created_at=newest / 1e6,
        manifest_sha256=reference.manifest_sha256,
        feature_version=window.feature_version,
    )


def window_state(
    report: DriftReport, *, until: float, finished_at: float, seconds: float, report_id: str = ""
) -> WindowState:
    """Take of a report what metrics show. Names of scores are the user's: they are one feature."""
    features: dict[tuple[Side, str], FeatureState] = {}
    for outcome in report.outcomes:
        effect = outcome.effect
        if effect is None:
            continue
        name = _label(outcome.feature)
        estimate, lower = min(abs(effect.estimate), 1.0), min(effect.bound, 1.0)
        each = FeatureState(outcome.side, name, estimate, lower, outcome.drift)
        so_far = features.get((outcome.side, name))
        if so_far is None or (each.drift, each.lower) > (so_far.drift, so_far.lower):
            features[outcome.side, name] = each
    unseen: dict[str, float] = {}
    for found in report.unseen:
        name = _label(found.feature)
        unseen[name] = max(found.ratio, unseen.get(name, 0.0))
    return WindowState(
        verdict=report.verdict,
        why=report.why,
        alpha=report.alpha,
        until=until,
        finished_at=finished_at,
        seconds=seconds,
        reference_groups=report.reference.groups,
        current_groups=report.current.groups,
        features=tuple(features.values()),
        classifiers=tuple(
            ClassifierState(each.side, each.auc.estimate, each.novel) for each in report.classifiers
        ),
        unseen=unseen,
        report_id=report_id,
    )


def _label(feature: str) -> str:
    """Name a feature as metrics do: `score:helpful` is `score`."""
    return feature.partition(":")[0]


def _failure(error: Exception, of_window: Reason) -> Failure:
    """Say in one word why an evaluation failed; `of_window`: what it is of a window."""
    reasons = {
        FilterError: Reason.FILTER,
        StoreError: Reason.STORE,
        FeatureVersionError: Reason.VERSIONS,
        MemoryError: Reason.MEMORY,
        WindowError: of_window,
    }
    reason = next((each for kind, each in reasons.items() if isinstance(error, kind)), Reason.ERROR)
    if reason is Reason.ERROR:
        log.error("evaluation failed", exc_info=error)
    if reason is Reason.MEMORY:
        message = "it needs more memory than it may have: choose shorter windows, or a filter"
    else:
        message = str(error) or type(error).__name__
    return Failure(reason, message)
