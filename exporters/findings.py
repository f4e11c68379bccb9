"""One feature in two windows: does it differ, by how much, and in which calls.

A number is tested by Kolmogorov-Smirnov; a category by chi-square over all its values and by an
exact test of each; a term by an exact test of each. A difference beyond chance is a `Finding`. It
is drift only if the lower bound of its effect passes a floor too: with a million calls
everything differs.

Limits: the `VALUES_TESTED_MAX` commonest values of a feature have a test of their own (the
chi-square sees them all), common being counted over both windows together, which favours
neither; `UNSEEN_MAX` unseen values are listed; `EXAMPLES_MAX` calls are named.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from exporters import statistics
from exporters.measures import Category, Feature, Kind, Number, Set, Side
from exporters.statistics import CountArray, FloatArray, Interval, bonferroni
from exporters.windows import Measured

CONFIDENCE = 0.95  # of the interval of an effect
FLOOR_NUMBER = 0.05  # of the KS distance: one call in twenty lies elsewhere
FLOOR_SHARE = 0.01  # of the calls have the value now, or have it no longer
# What the reference never had is another matter than a share that moved: the model was never
# shown it. Half the floor, so that a new tool set on 1 % of the calls can pass it at all.
FLOOR_UNSEEN = 0.005
EXAMPLES_MAX = 5
UNSEEN_MAX = 20
VALUES_TESTED_MAX = 1_000  # a system prompt for each user would otherwise be a test for each user
SHOWN_CHARS_MAX = 60

Rows = Sequence[Measured]


class Effect(msgspec.Struct, frozen=True):
    """How much changed, with its 95 % interval: see `Finding.effect` for the unit."""

    estimate: float
    lower: float
    upper: float

    @property
    def bound(self) -> float:
        """The least change, whichever its direction, that the interval holds."""
        return max(self.lower, -self.upper, 0.0)


class Slice(msgspec.Struct, frozen=True):
    """One of equal spans of the current window: from when (µs), its calls, the share of them."""

    started_at: int
    calls: int
    share: float


class Action(msgspec.Struct, frozen=True):
    """What may be done about a finding (exporters.advice).

    `advice` says it. `where` chooses the calls, in the language of filters; `command` exports them.
    `calls`: at least so many are to be added to training; 0 where adding helps nothing.
    """

    advice: str
    where: str = ""
    command: str = ""
    calls: int = 0


class Finding(msgspec.Struct, frozen=True):
    """A change beyond chance. `drift`: the bound of its effect also passes `floor`.

    `reference` and `current` are shares, 0..1, of the calls that have `value`: a category, a member
    of a set, a term; for a number "> 24" or "<= 24", where the windows differ most; the values that
    gained, joined by commas, where a category moved without one value standing out; for a
    classifier and for embeddings the calls that read like the current window (`value` is empty).
    `term_hash` is set for a term, whose `value` is that hash in hex until somebody reads the word
    from an example call. The examples are current calls that have it, newest first (a classifier's:
    most typical first), or reference calls where none has it any more.

    `effect`: the KS distance of a number; by how much the share grew, of a value or a term; the AUC
    of a classifier less 0.5; for embeddings the distance of the means, in standard deviations.
    """

    feature: str
    side: Side
    kind: Kind
    value: str
    sentence: str
    reference: float
    current: float
    effect: Effect
    floor: float
    p_value: float
    p_adjusted: float
    unseen: bool
    drift: bool
    example_call_ids: tuple[str, ...]
    term_hash: int | None = None
    over_time: tuple[Slice, ...] = ()
    also: tuple[str, ...] = ()  # other terms and values that say the same (exporters.naming)
    action: Action | None = None


class Distribution(msgspec.Struct, frozen=True):
    """What a chart of a feature shows: the share of each side's calls in each bar.

    Of a number, bar i holds what is at least `edges[i]` and below `edges[i + 1]` (the last bar its
    upper edge too); `labels` is empty. Of the others, bar i holds `labels[i]`, commonest first, and
    `edges` is empty; shares of a set or of terms need not add up to 1.
    """

    labels: tuple[str, ...]
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


class UnseenValue(msgspec.Struct, frozen=True):
    """A value no reference call has, and the share, 0..1, of the current calls that have it."""

    value: str
    ratio: float
    example_call_ids: tuple[str, ...]


class Unseen(msgspec.Struct, frozen=True):
    """The `value_count` values of a feature no reference call has; the commonest are listed.

    `ratio`: the share, 0..1, of the current calls that have any of them.
    """

    feature: str
    side: Side
    value_count: int
    values: tuple[UnseenValue, ...]
    ratio: float = 0.0


def varies(feature: Feature, reference: Rows, current: Rows) -> bool:
    """Say whether any two calls differ in the feature, over both windows together."""
    first = feature.read(reference[0])
    return any(feature.read(row) != first for rows in (reference, current) for row in rows)


def find(
    feature: Feature, reference: Rows, current: Rows, alpha: float, feature_count: int
) -> tuple[float, list[Finding]]:
    """Test one feature of `feature_count`; return its corrected p-value and what was found.

    The p-values are corrected by Bonferroni for every test of every feature, and a finding is
    what stays below `alpha`. Neither window may be empty. Pure.
    """
    if isinstance(feature, Number):
        return _find_number(feature, reference, current, alpha, feature_count)
    return _find_values(feature, reference, current, alpha, feature_count)


def find_unseen(feature: Feature, reference: Rows, current: Rows) -> Unseen | None:
    """List the values no reference call has; None if there are none. No test: one call is enough.

    Numbers have no such values.
    """
    if isinstance(feature, Number):
        return None
    known = {value for row in reference for value in feature.read(row)}
    counts = Counter(value for row in current for value in feature.read(row) if value not in known)
    if not counts:
        return None
    listed = tuple(
        UnseenValue(value, counts[value] / len(current), _examples(feature, {value}, current))
        for value in _commonest(counts)[:UNSEEN_MAX]
    )
    having = sum(not known.issuperset(feature.read(row)) for row in current)
    return Unseen(feature.name, feature.side, len(counts), listed, having / len(current))


def _find_number(
    feature: Number, reference: Rows, current: Rows, alpha: float, feature_count: int
) -> tuple[float, list[Finding]]:
    before, after = _numbers(feature, reference), _numbers(feature, current)
    test = statistics.ks_two_sample(before, after, CONFIDENCE)
    p_adjusted = bonferroni(test.p_value, feature_count)
    if p_adjusted >= alpha:
        return p_adjusted, []
    beyond = np.greater if test.rises else np.less_equal
    ids = [row.call_id for row, far in zip(current, beyond(after, test.at), strict=True) if far]
    shares = float(beyond(before, test.at).mean()), float(beyond(after, test.at).mean())
    finding = _finding(
        feature,
        value=f"{'>' if test.rises else '<='} {test.at:.0f}",
        says=f"{feature.subject} have {'more than' if test.rises else 'at most'}"
        f" {test.at:.0f} {feature.unit}",
        shares=shares,
        interval=test.distance,
        floor=FLOOR_NUMBER,
        p_values=(test.p_value, p_adjusted),
        example_call_ids=_newest(ids),
    )
    return p_adjusted, [finding]


def _find_values(
    feature: Category | Set, reference: Rows, current: Rows, alpha: float, feature_count: int
) -> tuple[float, list[Finding]]:
    before, after = _count(feature, reference), _count(feature, current)
    values = _commonest(before + after)
    counts = _array(before, values), _array(after, values)
    # A category has two tests, of all values together and of each value; a term the second only.
    correction = feature_count * (2 if isinstance(feature, Category) else 1)
    exact = statistics.exact_counts(
        counts[0][:VALUES_TESTED_MAX],
        len(reference),
        counts[1][:VALUES_TESTED_MAX],
        len(current),
        alpha / correction,
    )
    found = []
    for value, p_value in zip(values, exact.p_values.tolist(), strict=False):
        p_adjusted = bonferroni(p_value, exact.test_count * correction)
        if exact.test_count and p_adjusted < alpha:
            says = f"{feature.says} {shown(value)}"
            p_values = p_value, p_adjusted
            found.append(_grown(feature, {value}, value, says, reference, current, p_values))
    p_least = exact.p_value
    if isinstance(feature, Category):
        p_all = statistics.chi_square(*counts)
        p_least = min(p_least, p_all)
        if bonferroni(p_all, correction) < alpha and not any(finding.drift for finding in found):
            found += _find_spread(feature, values, reference, current, p_all, correction)
    return bonferroni(p_least, correction), found


def _find_spread(
    feature: Category,
    values: Sequence[str],
    reference: Rows,
    current: Rows,
    p_value: float,
    correction: int,
) -> list[Finding]:
    """Find how much of the traffic moved between values where no single one stands out.

    Which values gained is read off every second call, and how much they gained off the others:
    counted on the same calls, chance alone would make some gain.
    """
    before, after = _count(feature, reference[::2]), _count(feature, current[::2])
    gained = {
        value
        for value in values
        if after[value] * len(reference[::2]) > before[value] * len(current[::2])
    }
    named = [value for value in values if value in gained]
    says = f"{feature.says} one of {len(named)} values that gained ({shown(', '.join(named))})"
    p_values = p_value, bonferroni(p_value, correction)
    finding = _grown(
        feature,
        gained,
        ",".join(named[:UNSEEN_MAX]),
        says,
        reference[1::2],
        current[1::2],
        p_values,
    )
    return [finding] if finding.drift else []


def _grown(
    feature: Category | Set,
    values: set[str],
    named: str,
    says: str,
    reference: Rows,
    current: Rows,
    p_values: tuple[float, float],
) -> Finding:
    """Describe by how much the share of the calls that have one of `values` grew."""
    before, after = (
        sum(not values.isdisjoint(feature.read(row)) for row in rows)
        for rows in (reference, current)
    )
    return _finding(
        feature,
        value=named,
        says=says,
        shares=(before / len(reference), after / len(current)),
        interval=statistics.newcombe(before, len(reference), after, len(current), CONFIDENCE),
        floor=FLOOR_SHARE if before else FLOOR_UNSEEN,
        p_values=p_values,
        example_call_ids=_examples(feature, values, current)
        or _examples(feature, values, reference),
    )


def _finding(
    feature: Feature,
    *,
    value: str,
    says: str,
    shares: tuple[float, float],
    interval: Interval,
    floor: float,
    p_values: tuple[float, float],
    example_call_ids: tuple[str, ...],
) -> Finding:
    effect = Effect(interval.estimate, interval.lower, interval.upper)
    return Finding(
        feature=feature.name,
        side=feature.side,
        kind=feature.kind,
        value=value,
        sentence=f"{percent(shares[1])} of {says}; {percent(shares[0])} of the reference did.",
        reference=shares[0],
        current=shares[1],
        effect=effect,
        floor=floor,
        p_value=p_values[0],
        p_adjusted=p_values[1],
        unseen=shares[0] == 0 and not isinstance(feature, Number),
        drift=effect.bound > floor,
        example_call_ids=example_call_ids,
    )


def percent(share: float) -> str:
    """Write a share, 0..1, for a person; what is not nought or all never looks like it."""
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    if 0.9995 <= share < 1:
        return "more than 99.9 %"
    return f"{share * 100:.1f}".removesuffix(".0") + " %"


def shown(value: str) -> str:
    """Make a value fit for a sentence: a client may send line ends or escapes as a model name."""
    text = "".join(character if character.isprintable() else "?" for character in value)
    if len(text) > SHOWN_CHARS_MAX:
        text = text[: SHOWN_CHARS_MAX - 1] + "…"
    return text or "none"


def _numbers(feature: Number, rows: Rows) -> FloatArray:
    return np.fromiter((feature.read(row) for row in rows), dtype=np.float64, count=len(rows))


def _count(feature: Category | Set, rows: Rows) -> Counter[str]:
    return Counter(value for row in rows for value in feature.read(row))


def _array(counts: Counter[str], values: Iterable[str]) -> CountArray:
    return np.array([counts[value] for value in values], dtype=np.int64)


def _commonest(counts: Counter[str]) -> list[str]:
    """Order values by count; among equals by name, so that the same windows read the same."""
    return sorted(counts, key=lambda value: (-counts[value], value))


def _examples(feature: Category | Set, values: set[str], rows: Rows) -> tuple[str, ...]:
    return _newest([row.call_id for row in rows if not values.isdisjoint(feature.read(row))])


def _newest(call_ids: Sequence[str]) -> tuple[str, ...]:
    """Take the last of ids in order of time."""
    return tuple(reversed(call_ids[-EXAMPLES_MAX:]))
