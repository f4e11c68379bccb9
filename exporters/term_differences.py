"""Which words, pairs of words and fields of answers are commoner in one window than in the other.

An exact test of document frequencies: how many sampled calls of each window have a term
(`exporters.exact_counts`). It finds what is in few calls (a year, a template's sentence, a topic,
a language), and it is its own explanation. No stop words and no commonest terms are left out: a
sentence added to a template is in every call.

Terms are 32-bit hashes, counted exactly, without buckets; two of 200,000 terms meet with a chance
of 1 in 20,000 each. Which words a hash stands for is read from an example call later.

Cost: 20 ms for two windows of 10,000 calls of 100 terms. Memory: 16 bytes a term of a call.
"""

from dataclasses import dataclass

import numpy as np

from exporters.comparison import (
    CONFIDENCE,
    FINDINGS_MAX,
    Comparison,
    Difference,
    effect_of,
    examples_of,
    not_tested,
    over_time,
    share_finding,
)
from exporters.exact_counts import CountTests, exact_counts
from exporters.findings import Distribution, Effect, Finding
from exporters.measures import FLOOR_SHARE, FLOOR_UNSEEN, Term
from exporters.statistics import CountArray, newcombe
from exporters.windows import HashArray, IntArray, Terms, Window

SAMPLED_MIN = 100  # of a window: with fewer calls a term cannot reach any alpha
VALUES_SHOWN_MAX = 12  # in a chart
# Of many terms below alpha these are looked at for the largest effects: a whole new language is
# fifty thousand of them, and says what its two thousand most significant say.
WEIGHED_MAX = 2_000


@dataclass(frozen=True, eq=False)
class TermCounts:
    """How many sampled calls of each window have each term that any of them has."""

    hashes: HashArray
    reference: CountArray
    current: CountArray
    totals: tuple[int, int]


def count_terms(reference: Terms, current: Terms) -> TermCounts:
    """Count the calls that have each term; a call has a term once. Sorts all terms once."""
    keys = np.concatenate(
        [
            reference.hashes.astype(np.uint64) << np.uint64(1),
            current.hashes.astype(np.uint64) << np.uint64(1) | np.uint64(1),
        ]
    )
    keys.sort()
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else keys
    starts = starts.astype(np.int64)
    counts = np.diff(starts, append=len(keys))
    met = keys[starts]
    hashes, is_current = met >> np.uint64(1), (met & np.uint64(1)).astype(bool)
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = hashes[1:] != hashes[:-1]
    number = np.cumsum(first) - 1
    sides = np.zeros((2, int(first.sum())), dtype=np.int64)
    sides[is_current.astype(np.int64), number] = counts
    totals = len(reference.rows), len(current.rows)
    return TermCounts(hashes[first].astype(np.uint32), sides[0], sides[1], totals)


def compare_terms(feature: Term, comparison: Comparison, share: float) -> Difference:
    """Test a family of terms with a share, 0..1, of alpha."""
    sides = comparison.reference.terms[feature.name], comparison.current.terms[feature.name]
    if min(len(side.rows) for side in sides) < SAMPLED_MIN:
        return not_tested(feature, f"fewer than {SAMPLED_MIN} calls of a window are in the sample")
    counts = count_terms(*sides)
    exact = exact_counts(
        counts.reference,
        counts.totals[0],
        counts.current,
        counts.totals[1],
        comparison.alpha * share,
    )
    correction = max(1, exact.test_count) / share
    chosen = _standing_out(counts, exact, comparison.alpha / correction)
    found = []
    for index in chosen[:FINDINGS_MAX]:
        p_value = float(exact.p_values[index])
        found.append(_finding(feature, counts, index, comparison, (p_value, p_value * correction)))
    difference = counts.current / counts.totals[1] - counts.reference / counts.totals[0]
    largest = int(np.abs(difference).argmax()) if len(difference) else None
    return Difference(
        feature.name,
        feature.side,
        feature.kind,
        min(1.0, exact.p_value / share),
        tuple(found),
        None if largest is None else _effect(counts, largest),
        FLOOR_SHARE,
        _distribution(counts, chosen),
    )


def varying_terms(feature: Term, comparison: Comparison) -> bool:
    """Say whether there is any term in either window."""
    sides = comparison.reference, comparison.current
    return all(feature.name in side.terms for side in sides) and any(
        len(side.terms[feature.name].hashes) for side in sides
    )


def calls_with(window: Window, family: str, term_hash: int) -> IntArray:
    """List the rows of the sampled calls that have a term. Reads all terms of the window."""
    terms = window.terms[family]
    at = np.flatnonzero(terms.hashes == term_hash)
    return terms.rows[np.searchsorted(terms.starts, at, "right") - 1].astype(np.int64)


def _standing_out(counts: TermCounts, exact: CountTests, threshold: float) -> list[int]:
    """Order the terms whose p-value is below `threshold` by the least change they stand for."""
    below = np.flatnonzero(exact.p_values < threshold)
    if len(below) > WEIGHED_MAX:
        below = below[np.argsort(exact.p_values[below], kind="stable")[:WEIGHED_MAX]]
    bounds = [_effect(counts, index).bound for index in below.tolist()]
    order = np.argsort(-np.array(bounds), kind="stable")
    return [int(index) for index in below[order]]


def _effect(counts: TermCounts, index: int) -> Effect:
    before, after = int(counts.reference[index]), int(counts.current[index])
    return effect_of(newcombe(before, counts.totals[0], after, counts.totals[1], CONFIDENCE))


def _finding(
    feature: Term,
    counts: TermCounts,
    index: int,
    comparison: Comparison,
    p_values: tuple[float, float],
) -> Finding:
    term_hash = int(counts.hashes[index])
    named = f"{term_hash:08x}"
    before, after = (
        calls_with(side, feature.name, term_hash)
        for side in (comparison.reference, comparison.current)
    )
    sampled = comparison.current.terms[feature.name].rows.astype(np.int64)
    return share_finding(
        feature,
        value=named,
        says=f"{feature.says} {named}",
        shares=(
            int(counts.reference[index]) / counts.totals[0],
            int(counts.current[index]) / counts.totals[1],
        ),
        effect=_effect(counts, index),
        floor=FLOOR_SHARE if counts.reference[index] else FLOOR_UNSEEN,
        p_values=p_values,
        examples=examples_of(comparison, before, after),
        over_time=over_time(comparison.current, after, sampled),
        term_hash=term_hash,
    )


def _distribution(counts: TermCounts, chosen: list[int]) -> Distribution | None:
    """Show the terms that changed most; there is nothing to show where none did."""
    if not chosen:
        return None
    listed = np.array(chosen[:VALUES_SHOWN_MAX])
    return Distribution(
        tuple(f"{term_hash:08x}" for term_hash in counts.hashes[listed].tolist()),
        (),
        tuple((counts.reference[listed] / counts.totals[0]).tolist()),
        tuple((counts.current[listed] / counts.totals[1]).tolist()),
    )
