"""Compare two windows of calls: did the traffic leave the reference, where, and by how much?

Each number is tested by Kolmogorov-Smirnov, each category by chi-square and an exact test of each
value, each set and each family of hashed terms by exact tests, the texts of prompts and of answers
by a classifier on calls it has not seen, and by their embeddings where there are any
(`exporters.number_differences`, `value_differences`, `term_differences`, `text_differences`).

The verdict is `drift` if any of them has a change whose corrected p-value is below alpha and whose
effect is beyond its floor, by its lower bound. Alpha is shared by
families (`exporters.measures.FAMILY_SHARES`), within one by its features, then by its tests:
Bonferroni throughout, so the whole report alarms by chance with at most alpha, whatever depends on
what. `ALPHA` is 0.001: unchanged traffic compared every hour gives one false alarm in 42 days at
worst (`exporters.alarms`). benchmarks/drift_power.py measures the rate, and the power, beside it.

Fewer than `GROUPS_MIN` groups on either side is `insufficient`, which is not `quiet`. Values the
reference never had are listed all the same: the first call with a new tool set is a fact. Like
hours of the week are compared with like hours where the reference has them (`exporters.cycles`).

Drift is no loss of quality; it says that the reference no longer speaks for the traffic.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from exporters.comparison import Comparison, Difference, not_tested
from exporters.cycles import Matched, match_hours
from exporters.findings import Distribution, Effect, Finding, Unseen
from exporters.measures import (
    FAMILY_SHARES,
    Category,
    Family,
    Kind,
    Number,
    Set,
    Side,
    Term,
    features_of,
)
from exporters.number_differences import compare_numbers, varying_numbers
from exporters.term_differences import compare_terms, varying_terms
from exporters.text_differences import (
    Embeddings,
    compare_embeddings,
    compare_texts,
    compare_wording,
    score_distribution,
    varying_texts,
)
from exporters.value_differences import (
    Values,
    compare_values,
    find_unseen,
    known_of,
    values_of,
)
from exporters.windows import Window, with_sample_bits

REPORT_VERSION = 2
ALPHA = 0.001
NAMED_MAX = 8  # features that the verdict names; the findings name all
GROUPS_MIN = 200  # with fewer, a tenth of the traffic could change unnoticed

Verdict = Literal["quiet", "drift", "insufficient"]

_TEXT_SIDES: tuple[Side, ...] = ("prompt", "answer")


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
    `facts`: what else is to be known of it, of an export its manifest's hash.
    """

    label: str
    calls: int
    groups: int
    compared: int = 0
    sampled: int = 0
    first_started_at: int = 0
    last_started_at: int = 0
    facts: dict[str, str] = {}


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


def compare(
    reference: Window,
    current: Window,
    *,
    alpha: float = ALPHA,
    embeddings: Embeddings | None = None,
    self_check: SelfCheck | None = None,
    notes: tuple[str, ...] = (),
) -> DriftReport:
    """Compare the current window with the reference, feature by feature.

    `alpha`, 0..1, is the chance of a verdict `drift` where nothing changed. `embeddings` are those
    of texts of the windows, `self_check` what comparing the reference with itself gave, `notes`
    what else the report is to say. Findings come drift first, then by how many times their effect's
    bound is the floor. Raises FeatureVersionError where calls were measured differently. Pure.
    Cost: 0.2 s of CPU for two windows of 10,000 groups.
    """
    feature_version = _feature_version(reference, current)
    bits = max(reference.sample_bits, current.sample_bits)
    reference, current = (with_sample_bits(window, bits) for window in (reference, current))
    enough = min(len(reference), len(current)) >= GROUPS_MIN
    values = _all_values(Comparison(reference, current, alpha))
    unseen = [found for each in values.values() if (found := find_unseen(each))]
    matched = match_hours(reference, current) if enough else Matched(reference, current, "")
    comparison = Comparison(matched.reference, matched.current, alpha)
    if matched.reference is not reference:
        values = _all_values(comparison)
    tests = _Tests(comparison, values, embeddings)
    tested = tests.run() if enough else []
    verdict, why = _verdict(tested, enough)
    findings = [finding for each in tested for finding in each.findings]
    findings.sort(key=lambda finding: (not finding.drift, -finding.effect.bound / finding.floor))
    return DriftReport(
        version=REPORT_VERSION,
        verdict=verdict,
        why=why,
        alpha=alpha,
        feature_version=feature_version,
        reference=_summary(reference, comparison.reference),
        current=_summary(current, comparison.current),
        shared_groups=len({*reference.group_ids} & {*current.group_ids}),
        findings=tuple(findings),
        unseen=tuple(unseen),
        outcomes=tuple(_outcome(each) for each in tested),
        classifiers=tuple(tests.classifiers),
        self_check=self_check,
        hours=matched.says,
        notes=notes,
    )


def check_itself(train: Window, test: Window, *, alpha: float = ALPHA) -> SelfCheck:
    """Compare train with test of one export: sides are drawn by lot, so they ought to be alike.

    If they are not, the export's filter or its groups are at fault, and no comparison with it
    means much.
    """
    report = compare(train, test, alpha=alpha)
    return SelfCheck(report.verdict, report.why, alpha, len(train), len(test))


def known_values(reference: Window) -> Mapping[str, frozenset[str]]:
    """Name the values of each category and set that any call of the reference has.

    A feature of which new values mean nothing by themselves is not in it: a language, which one
    short text in a hundred is taken for, and what has new ones all the time in the reference.
    """
    return {
        feature.name: known
        for feature in features_of(reference, reference)
        if isinstance(feature, Category | Set) and feature.unseen_from == 0
        if (known := known_of(reference, feature)) is not None
    }


class _Tests:
    """All tests of a comparison, each with its share of alpha.

    What is the same for every call of both windows says nothing and need not cost the others. That
    is seen on both windows together, where nothing tells which call is of which.
    """

    def __init__(
        self, comparison: Comparison, values: Mapping[str, Values], embeddings: Embeddings | None
    ) -> None:
        self._comparison = comparison
        self._values = values
        self._embeddings = embeddings
        self.classifiers: list[Classifier] = []
        self._features = features_of(comparison.reference, comparison.current)
        numbers = [feature for feature in self._features if isinstance(feature, Number)]
        varying = varying_numbers(numbers, comparison)
        varying |= {name for name, each in values.items() if each.varies}
        varying |= {
            feature.name
            for feature in self._features
            if isinstance(feature, Term) and varying_terms(feature, comparison)
        }
        self._varying = [feature for feature in self._features if feature.name in varying]
        self._sides = [side for side in _TEXT_SIDES if varying_texts(side, comparison)]

    def run(self) -> list[Difference]:
        numbers = [feature for feature in self._varying if isinstance(feature, Number)]
        tested = {
            each.name: each
            for each in compare_numbers(numbers, self._comparison, self._share("number"))
        }
        for feature in self._varying:
            if isinstance(feature, Category | Set):
                share = self._share(feature.kind)
                share *= feature.weight if isinstance(feature, Category) else 1.0
                tested[feature.name] = compare_values(
                    self._values[feature.name], self._comparison, share
                )
            elif isinstance(feature, Term):
                share = self._share("term")
                tested[feature.name] = compare_terms(feature, self._comparison, share)
        same = "the same for every call of both windows"
        every = [
            tested.get(feature.name) or not_tested(feature, same) for feature in self._features
        ]
        for side in self._sides:
            every.append(compare_wording(side, self._comparison, self._share("wording")))
            each, judged = compare_texts(side, self._comparison, self._share("classifier"))
            every.append(each)
            if judged is not None:
                auc = Effect(judged.auc.estimate, judged.auc.lower, judged.auc.upper)
                self.classifiers.append(
                    Classifier(side, auc, judged.novel, score_distribution(judged))
                )
        if self._embeddings is not None:
            share = self._share("embedding")
            every.append(compare_embeddings(self._embeddings, self._comparison, share))
        return every

    def _share(self, family: Family) -> float:
        """Divide alpha among families that have something to test, then among their features.

        This is the part of a feature whose weight is 1.
        """
        weights: dict[Family, float] = {
            "wording": len(self._sides),
            "classifier": len(self._sides),
            "embedding": int(self._embeddings is not None),
        }
        for feature in self._varying:
            weight = feature.weight if isinstance(feature, Category) else 1.0
            weights[feature.kind] = weights.get(feature.kind, 0.0) + weight
        if not weights.get(family):
            return 1.0  # of nothing
        whole = sum(FAMILY_SHARES[each] for each, weight in weights.items() if weight)
        return FAMILY_SHARES[family] / whole / weights[family]


def _all_values(comparison: Comparison) -> dict[str, Values]:
    return {
        feature.name: values_of(feature, comparison)
        for feature in features_of(comparison.reference, comparison.current)
        if isinstance(feature, Category | Set)
    }


def _verdict(tested: list[Difference], enough: bool) -> tuple[Verdict, str]:
    if not enough:
        return "insufficient", (
            f"a window has fewer than {GROUPS_MIN} groups: too few calls to tell drift from chance"
        )
    count = sum(not each.note for each in tested)
    drifted = [each.name for each in tested if each.drift]
    if drifted:
        more = len(drifted) - NAMED_MAX
        named = ", ".join(drifted[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
        return "drift", f"{len(drifted)} of {count} features changed: {named}"
    return "quiet", f"none of {count} features changed by more than chance and the floors allow"


def _outcome(tested: Difference) -> Outcome:
    return Outcome(
        tested.name,
        tested.side,
        tested.kind,
        tested.p_adjusted,
        tested.drift,
        tested.note,
        tested.effect,
        tested.floor,
        tested.distribution,
    )


def _feature_version(reference: Window, current: Window) -> int:
    versions = sorted({window.feature_version for window in (reference, current) if len(window)})
    if len(versions) > 1:
        raise FeatureVersionError(
            f"calls were measured by versions {versions} of the features, which do not compare: "
            "choose windows of one version, export the reference again, or run `shalt db rederive`"
        )
    return versions[0] if versions else 0


def _summary(window: Window, compared: Window) -> WindowSummary:
    times = window.started_at
    terms = compared.terms.get("prompt_terms")
    return WindowSummary(
        window.label,
        window.call_count,
        len(window),
        len(compared),
        len(terms.rows) if terms else 0,
        int(times.min()) if len(times) else 0,
        int(times.max()) if len(times) else 0,
    )
