"""How the texts of two windows differ as a whole: classifier, words in sum, embeddings.

The classifier reads the sampled calls' terms and the numbers of the same side
(`exporters.domain_classifier`); the sum over all terms sees a little of very many words
(`exporters.term_sum`); embeddings, where there are any, are compared by their maximum mean
discrepancy (`exporters.mean_discrepancy`). They find what no single word says: another model
behind the same name, a topic that grows. Their examples are the current calls that are least like
the reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporters import measures
from exporters.comparison import CONFIDENCE, EXAMPLES_MAX, Comparison, Difference, effect_of
from exporters.domain_classifier import JUDGED_MAX, Judged, Texts, first_half, tell_apart
from exporters.findings import Distribution, Effect, Finding
from exporters.mean_discrepancy import (
    Discrepancy,
    EmbeddingError,
    VectorArray,
    mean_discrepancy,
)
from exporters.measures import Kind, Side
from exporters.number_differences import distribution_of
from exporters.statistics import Interval
from exporters.term_sum import TermSum, term_sum
from exporters.windows import IntArray, Terms, Window

TEXTS_MAX = 2 * JUDGED_MAX  # of a side: a classifier reads so many in each half
# Of the AUC less 0.5: at 0.02 four per cent of one side could be told from the other for certain.
FLOOR_CLASSIFIER = 0.02
# Of the distance of the mean wordings, in that of a call from the mean: a topic like the others
# that grows by a twentieth of the traffic moves it by 0.004, one unlike them by 0.017.
FLOOR_WORDING = 0.001
# Of the distance of the means, which is about the share of the traffic that is somewhere else.
FLOOR_EMBEDDING = 0.02
SHOWN_STANDARD_DEVIATIONS = 6.0  # scores beyond are drawn at the edge of a histogram

_FAMILIES: dict[Side, tuple[str, ...]] = {
    "prompt": ("prompt_terms",),
    "answer": ("answer_terms", "answer_fields"),
}
_NAMES: dict[Side, str] = {"prompt": "prompts", "answer": "answers"}


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A vector for each of some texts of both windows, `float32[n, d]` and `float32[m, d]`.

    The call ids say whose text each is of; without them there are no examples, and the texts of
    calls that matching hours left out stay in.
    """

    reference: VectorArray
    current: VectorArray
    side: Side = "prompt"
    reference_call_ids: tuple[str, ...] = ()
    current_call_ids: tuple[str, ...] = ()


def varying_texts(side: Side, comparison: Comparison) -> bool:
    """Say whether both windows have terms of a side."""
    windows = comparison.reference, comparison.current
    return all(
        any(len(window.terms[name].hashes) for name in _FAMILIES[side] if name in window.terms)
        for window in windows
    )


def compare_texts(
    side: Side, comparison: Comparison, share: float
) -> tuple[Difference, Judged | None]:
    """Train a classifier on a side's texts, with a share, 0..1, of alpha."""
    name = f"{side}_classifier"
    numbers = _numbers(side, comparison)
    chosen = [_chosen(side, each) for each in (comparison.reference, comparison.current)]
    reference = _texts(side, comparison.reference, chosen[0], numbers)
    current = _texts(side, comparison.current, chosen[1], numbers)
    judged = tell_apart(reference, current, CONFIDENCE)
    if judged is None:
        return _skipped(
            name, side, "classifier", "too few calls of a window are in the sample"
        ), None
    auc = judged.auc
    says = (
        f"A classifier tells the {_NAMES[side]} of now from those of the reference: AUC "
        f"{auc.estimate:.2f} ({auc.lower:.2f} to {auc.upper:.2f}), where 0.5 is chance."
    )
    rows = _sampled(side, comparison.current).rows[chosen[1][list(judged.typical)]]
    examples = tuple(comparison.current.call_ids[row] for row in rows.tolist())
    effect = Interval(auc.estimate - 0.5, auc.lower - 0.5, auc.upper - 0.5)
    tested = _whole(
        _Whole(name, side, "classifier", says, judged.shares, effect, FLOOR_CLASSIFIER, examples),
        (judged.p_value, judged.p_value / share),
        comparison.alpha,
        score_distribution(judged),
    )
    return tested, judged


def compare_wording(side: Side, comparison: Comparison, share: float) -> Difference:
    """Compare all words of a side's texts in sum, with a share, 0..1, of alpha."""
    name = f"{side}_wording"
    before, after = (_sampled(side, each) for each in (comparison.reference, comparison.current))
    found = term_sum(before, after, CONFIDENCE)
    if found is None:
        return _skipped(name, side, "embedding", "too few calls of a window are in the sample")
    distance = found.distance
    says = (
        f"The {_NAMES[side]} of now use other words than those of the reference: their means are "
        f"{distance.estimate:.3f} apart ({distance.lower:.3f} to {distance.upper:.3f}), where 1 is "
        "how far a call is from the mean."
    )
    rows = after.rows[_least_alike(found)]
    examples = tuple(comparison.current.call_ids[row] for row in rows.tolist())
    return _whole(
        _Whole(name, side, "embedding", says, _above(found), distance, FLOOR_WORDING, examples),
        (found.p_value, found.p_value / share),
        comparison.alpha,
        distribution_of(found.witness),
    )


def compare_embeddings(embeddings: Embeddings, comparison: Comparison, share: float) -> Difference:
    """Compare embeddings, with a share, 0..1, of alpha; not tested where they say nothing."""
    side, name = embeddings.side, f"{embeddings.side}_embedding"
    reference, _ = _kept(embeddings.reference, embeddings.reference_call_ids, comparison.reference)
    current, call_ids = _kept(embeddings.current, embeddings.current_call_ids, comparison.current)
    if min(len(reference), len(current)) < 2:
        return _skipped(name, side, "embedding", "no texts of a window have embeddings")
    try:
        found = mean_discrepancy(reference, current, CONFIDENCE)
    except EmbeddingError as error:
        return _skipped(name, side, "embedding", str(error))
    says = (
        f"The {_NAMES[side]} of now mean something else than those of the reference: their "
        f"embeddings' means are {found.distance.estimate:.2f} apart "
        f"({found.distance.lower:.2f} to {found.distance.upper:.2f})."
    )
    examples = tuple(call_ids[row] for row in _least_alike(found).tolist()) if call_ids else ()
    return _whole(
        _Whole(
            name, side, "embedding", says, _above(found), found.distance, FLOOR_EMBEDDING, examples
        ),
        (found.p_value, found.p_value / share),
        comparison.alpha,
        distribution_of(found.witness),
    )


def score_distribution(judged: Judged) -> Distribution:
    """Draw the scores of both sides, in standard deviations of the reference's."""
    edge = SHOWN_STANDARD_DEVIATIONS
    before, after = (np.clip(side, -edge, edge) for side in judged.scores)
    return distribution_of((before, after))


@dataclass(frozen=True)
class _Whole:
    """What is found of all texts of a side together."""

    name: str
    side: Side
    kind: Kind
    says: str
    shares: tuple[float, float]
    effect: Interval
    floor: float
    examples: tuple[str, ...]


def _whole(
    whole: _Whole,
    p_values: tuple[float, float],
    alpha: float,
    distribution: Distribution,
) -> Difference:
    effect: Effect = effect_of(whole.effect)
    p_adjusted = min(1.0, p_values[1])
    finding = Finding(
        feature=whole.name,
        side=whole.side,
        kind=whole.kind,
        value="",
        sentence=whole.says,
        reference=whole.shares[0],
        current=whole.shares[1],
        effect=effect,
        floor=whole.floor,
        p_value=p_values[0],
        p_adjusted=p_adjusted,
        unseen=False,
        drift=effect.lower > whole.floor,
        example_call_ids=whole.examples,
    )
    findings = (finding,) if p_adjusted < alpha else ()
    return Difference(
        whole.name, whole.side, whole.kind, p_adjusted, findings, effect, whole.floor, distribution
    )


def _skipped(name: str, side: Side, kind: Kind, note: str) -> Difference:
    return Difference(name, side, kind, note=note)


def _numbers(side: Side, comparison: Comparison) -> list[str]:
    """Name the numbers of a text that a window has; tokens and scores are no part of the text."""
    windows = comparison.reference, comparison.current
    return [
        feature.name
        for feature in measures.FEATURES
        if feature.kind == "number"
        and feature.name.startswith(f"{side}_")
        and all(feature.name in window.numbers for window in windows)
    ]


def _sampled(side: Side, window: Window) -> Terms:
    return window.terms[_FAMILIES[side][0]]


def _chosen(side: Side, window: Window) -> IntArray:
    """Choose the sampled calls that a classifier reads, evenly over them: their places there."""
    count = len(_sampled(side, window).rows)
    if count <= TEXTS_MAX:
        return np.arange(count)
    return np.linspace(0, count - 1, TEXTS_MAX).astype(np.int64)


def _texts(side: Side, window: Window, chosen: IntArray, numbers: Sequence[str]) -> Texts:
    rows = _sampled(side, window).rows[chosen]
    columns = [window.numbers[name][rows] for name in numbers]
    families = [window.terms[name] for name in _FAMILIES[side] if name in window.terms]
    hashes = [
        family.hashes[family.starts[place] : family.starts[place + 1]]
        for place in chosen.tolist()
        for family in families
    ]
    lengths = np.array([len(each) for each in hashes]).reshape(len(chosen), -1).sum(axis=1)
    return Texts(
        np.concatenate(([0], np.cumsum(lengths))),
        np.concatenate(hashes) if hashes else np.zeros(0, np.uint32),
        np.column_stack(columns) if columns else np.zeros((len(rows), 0)),
        first_half([window.call_ids[row] for row in rows]),
    )


def _kept(
    vectors: VectorArray, call_ids: tuple[str, ...], window: Window
) -> tuple[VectorArray, tuple[str, ...]]:
    """Leave out the vectors of calls that are not compared."""
    if not call_ids:
        return vectors, ()
    compared = set(window.call_ids)
    kept = [number for number, call_id in enumerate(call_ids) if call_id in compared]
    return vectors[kept], tuple(call_ids[number] for number in kept)


def _least_alike(found: Discrepancy | TermSum) -> IntArray:
    """Number the current texts that are least like the reference."""
    order = np.argsort(-found.witness[1], kind="stable")[:EXAMPLES_MAX]
    return found.rows[1][order]


def _above(found: Discrepancy | TermSum) -> tuple[float, float]:
    """Give the share of each side whose witness is above the common median."""
    median = float(np.median(np.concatenate(found.witness)))
    before, after = (float((side > median).mean()) for side in found.witness)
    return before, after
