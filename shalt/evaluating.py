"""One evaluation of a drift monitor: each of its windows against its reference.

Windows end at the same time. The alpha of the monitor is the chance that any of its windows says
drift where nothing changed, so each has an equal share of it.

What goes wrong with one window is said of that window, and the others are evaluated all the same;
without a reference there is none. Nothing is kept here but the report, in the store.
"""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exporters.drift import DriftReport, FeatureVersionError, compare
from exporters.loading import load_window
from exporters.periods import (
    PREVIOUS,
    Between,
    Exported,
    Matching,
    before,
    parse_range,
    range_filter,
    range_text,
)
from exporters.windows import MANIFEST_FILE, Window, WindowError
from shalt.embedding import Embedded, embedded
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
from shalt.settings import Settings
from shalt.unseen import VALUES_MAX
from storage.capture import Clock
from storage.filter_syntax import FilterError
from storage.store import TraceStore
from storage.store_errors import StoreError

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")  # of a dataset: shalt.dataset_jobs


class Evaluation:
    """Evaluates one monitor. `datasets` holds those that can be named as a reference.

    With `settings` that name a model, prompts are embedded (shalt.embedding).
    """

    def __init__(
        self,
        store: TraceStore,
        name: str,
        monitor: Monitor,
        *,
        datasets: Path,
        clock: Clock,
        settings: Settings | None = None,
    ) -> None:
        self._store = store
        self._name = name
        self._monitor = monitor
        self._datasets = datasets
        self._clock = clock
        self._settings = settings
        self._until = datetime.fromtimestamp(int(clock.wall_ns() / 1e9), UTC)

    def run(self, windows: Sequence[str], watched: Sequence[str]) -> Evaluated:
        """Evaluate some windows, none perhaps; find what is known of the `watched` features.

        Never raises: what fails is counted by its reason.
        """
        states: dict[str, WindowState] = {}
        failed: dict[str, Failure] = {}
        try:
            fixed = self._fixed_reference()
            # The one before the longest window stands for those before the others.
            longest = max(self._monitor.windows, key=duration_seconds)
            reference = fixed or self._load(before(self._between(longest)))
        except Exception as error:  # noqa: BLE001  without a reference, no window is evaluated
            return Evaluated(failure=_failure(error, Reason.REFERENCE))
        for window in windows:
            try:
                states[window] = self._evaluate(window, fixed)
            except Exception as error:  # noqa: BLE001  the other windows are to be evaluated
                failed[window] = _failure(error, Reason.VERSIONS)
        return Evaluated(
            reference=self._describe(reference),
            known=_known(reference, watched),
            windows=states,
            failed=failed,
        )

    def _evaluate(self, window: str, fixed: Window | None) -> WindowState:
        began = time.monotonic()
        span = self._between(window)
        reference = fixed or self._load(before(span))
        current = self._load(span)
        alpha = self._monitor.alpha / len(self._monitor.windows)
        vectors = Embedded()
        if self._settings is not None:
            windows = reference, current
            vectors = embedded(
                self._settings,
                self._store,
                windows,
                project=self._monitor.project,
                clock=self._clock,
            )
        report = compare(
            reference, current, alpha=alpha, embeddings=vectors.embeddings, notes=vectors.notes
        )
        return window_state(
            report,
            until=self._until.timestamp(),
            finished_at=self._clock.wall_ns() / 1e9,
            seconds=time.monotonic() - began,
        )

    def _fixed_reference(self) -> Window | None:
        """Load what every window is compared with; None where each has the time before it."""
        text = self._monitor.reference
        if text == PREVIOUS:
            return None
        named = self._datasets / text
        if _NAME.fullmatch(text) and (named / MANIFEST_FILE).is_file():
            return load_window(self._store, self._monitor.project, Exported(named))
        if (bounds := parse_range(text)) is not None:
            return self._load(bounds)
        if (Path(text) / MANIFEST_FILE).is_file():
            return load_window(self._store, self._monitor.project, Exported(Path(text)))
        raise WindowError(
            f"{text!r} is no reference: name the directory of an export, a dataset of this data "
            f"directory, a range of UTC times FROM..TO, or {PREVIOUS}"
        )

    def _load(self, span: Between) -> Window:
        conditions = (f"({each})" for each in (self._monitor.where, range_filter(span)) if each)
        spec = Matching(" and ".join(conditions)) if self._monitor.where else span
        found = load_window(self._store, self._monitor.project, spec)
        return replace(found, label=range_text(span))

    def _between(self, window: str) -> Between:
        return Between(self._until - timedelta(seconds=duration_seconds(window)), self._until)

    def _describe(self, reference: Window) -> ReferenceState:
        newest = int(reference.started_at.max()) if len(reference) else 0
        return ReferenceState(
            dataset=Path(reference.label).name,
            created_at=newest / 1e6,
            manifest_sha256="",
            feature_version=reference.feature_version,
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
        name = outcome.feature.partition(":")[0]
        estimate, lower = min(abs(effect.estimate), 1.0), min(effect.bound, 1.0)
        each = FeatureState(outcome.side, name, estimate, lower, outcome.drift)
        so_far = features.get((outcome.side, name))
        if so_far is None or (each.drift, each.lower) > (so_far.drift, so_far.lower):
            features[outcome.side, name] = each
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
        unseen={each.feature: each.ratio for each in report.unseen},
        report_id=report_id,
    )


def _known(reference: Window, watched: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Find every value that the reference has of some features, of those that it has at all."""
    found: dict[str, tuple[str, ...]] = {}
    for feature in watched:
        column = reference.categories.get(feature) or reference.sets.get(feature)
        if column is not None and len(column.values) <= VALUES_MAX:
            found[feature] = column.values
    return found


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
    return Failure(reason, str(error) or type(error).__name__)
