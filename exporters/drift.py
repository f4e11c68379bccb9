"""Compare two windows of calls: did the traffic leave the reference, where, and by how much?

Every feature of `exporters.measures` is tested (`exporters.findings` says how). The verdict is
`drift` if any feature has a change whose corrected p-value is below alpha and whose effect is
beyond its floor, by its lower bound.

`ALPHA` is 0.001 for the whole report: comparing unchanged traffic every hour gives one false
alarm in 42 days at worst. benchmarks/drift_power.py measures the rate, and the power, beside it.

Fewer than `GROUPS_MIN` groups on either side is `insufficient`, which is not `quiet`. Values the
reference never had are listed all the same: the first call with a new tool set is a fact.

Drift is no loss of quality; it says that the reference no longer speaks for the traffic. Not here:
languages, topics, JSON validity, and weekly cycles: compare like weeks with like weeks.
"""

from typing import Literal

import msgspec

from exporters.findings import Distribution, Effect, Finding, Unseen, find, find_unseen, varies
from exporters.measures import FEATURES, Kind, Side
from exporters.windows import Measured, Window

REPORT_VERSION = 2
ALPHA = 0.001
GROUPS_MIN = 200  # with fewer, a tenth of the traffic could change unnoticed

Verdict = Literal["quiet", "drift", "insufficient"]


class FeatureVersionError(Exception):
    """The calls of two windows were measured by different versions of the features."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one feature. `note` says why it was not tested, else it is empty.

    `effect` is the feature's largest (see `Finding.effect`), beyond chance or not; None where it
    was not tested. `distribution` is what a chart of it shows.
    """

    feature: str
    side: Side
    kind: Kind
    p_adjusted: float
    drift: bool
    note: str
    effect: Effect | None = None
    floor: float = 0.0
    distribution: Distribution | None = None


class WindowSummary(msgspec.Struct, frozen=True):
    """`calls` that qualified, and of how many groups one call each was compared.

    `compared`: groups left where hours were matched with hours. `sampled`: of those, how many have
    terms. The times are those of the first and the last call, in µs; 0 where there is none.
    """

    label: str
    calls: int
    groups: int
    compared: int = 0
    sampled: int = 0
    first_started_at: int = 0
    last_started_at: int = 0


class Classifier(msgspec.Struct, frozen=True):
    """How well a classifier tells current calls from reference calls it was not trained on.

    `auc`: 0.5 not at all, 1 always. `novel`: so large a share, 0..1, of the current calls at least
    (95 %) is unlike all of the reference. `scores` is what a histogram of both sides shows.
    """

    side: Side
    auc: Effect
    novel: float
    scores: Distribution


class SelfCheck(msgspec.Struct, frozen=True):
    """Train against test of one export: nothing changed between them, so it ought to be quiet."""

    verdict: Verdict
    why: str
    alpha: float
    train_groups: int
    test_groups: int


class ScoreShift(msgspec.Struct, frozen=True):
    """A score in both windows: of how many calls, the means, the difference (current less
    reference) with its 95 % interval; None where a side has fewer than two."""

    name: str
    reference_calls: int
    current_calls: int
    reference_mean: float
    current_mean: float
    difference: Effect | None = None


class DriftReport(msgspec.Struct, frozen=True):
    """A whole comparison. `exporters.report` writes it as JSON, with these names, and as text.

    `shared_groups` are in both windows: they can only make them look more alike. `hours` says what
    was done so that like hours of the week are compared. `notes`: what a reader should know of the
    data, a sentence each. `scores`: what was said of the answers, for drift is not a loss of
    quality.
    """

    version: int
    verdict: Verdict
    why: str
    alpha: float
    feature_version: int
    reference: WindowSummary
    current: WindowSummary
    shared_groups: int
    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...]
    outcomes: tuple[Outcome, ...]
    classifiers: tuple[Classifier, ...] = ()
    self_check: SelfCheck | None = None
    hours: str = ""
    notes: tuple[str, ...] = ()
    scores: tuple[ScoreShift, ...] = ()


def compare(reference: Window, current: Window, *, alpha: float = ALPHA) -> DriftReport:
    """Compare the current window with the reference, feature by feature.

    `alpha`, 0..1, is the chance of a verdict `drift` where nothing changed. Findings come drift
    first, then by how many times their effect's bound is the floor. Raises FeatureVersionError
    where calls were measured differently. Pure. Cost: 0.2 s for two windows of 10,000 groups.
    """
    feature_version = _feature_version((*reference.rows, *current.rows))
    enough = min(len(reference.rows), len(current.rows)) >= GROUPS_MIN
    findings, outcomes = _test_all(reference, current, alpha) if enough else ([], [])
    findings.sort(key=lambda finding: (not finding.drift, -finding.effect.bound / finding.floor))
    drifted = [outcome.feature for outcome in outcomes if outcome.drift]
    tested = sum(not outcome.note for outcome in outcomes)
    if not enough:
        verdict: Verdict = "insufficient"
        why = (
            f"a window has fewer than {GROUPS_MIN} groups: too few calls to tell drift from chance"
        )
    elif drifted:
        verdict = "drift"
        why = f"{len(drifted)} of {tested} features changed: {', '.join(drifted)}"
    else:
        verdict = "quiet"
        why = f"none of {tested} features changed by more than chance and the floors allow"
    unseen = (find_unseen(feature, reference.rows, current.rows) for feature in FEATURES)
    return DriftReport(
        version=REPORT_VERSION,
        verdict=verdict,
        why=why,
        alpha=alpha,
        feature_version=feature_version,
        reference=_summary(reference),
        current=_summary(current),
        shared_groups=len(_groups(reference) & _groups(current)),
        findings=tuple(findings),
        unseen=tuple(values for values in unseen if values),
        outcomes=tuple(outcomes),
    )


def _test_all(
    reference: Window, current: Window, alpha: float
) -> tuple[list[Finding], list[Outcome]]:
    """Test what varies. A constant says nothing either way, so it need not cost the others."""
    findings: list[Finding] = []
    outcomes: list[Outcome] = []
    varying = [feature for feature in FEATURES if varies(feature, reference.rows, current.rows)]
    for feature in FEATURES:
        p_adjusted, note = 1.0, "the same for every call of both windows"
        found: list[Finding] = []
        if feature in varying:
            p_adjusted, found = find(feature, reference.rows, current.rows, alpha, len(varying))
            note = ""
        findings += found
        drift = any(finding.drift for finding in found)
        outcomes.append(Outcome(feature.name, feature.side, feature.kind, p_adjusted, drift, note))
    return findings, outcomes


def _feature_version(rows: tuple[Measured, ...]) -> int:
    versions = sorted({row.features.feature_version for row in rows})
    if len(versions) > 1:
        raise FeatureVersionError(
            f"calls were measured by versions {versions} of the features, which do not compare: "
            "choose windows of one version, or export the reference again"
        )
    return versions[0] if versions else 0


def _summary(window: Window) -> WindowSummary:
    return WindowSummary(window.label, window.call_count, len(window.rows))


def _groups(window: Window) -> set[str]:
    return {row.group_id for row in window.rows}
