"""How the values of categories and of sets differ between two windows.

A category (one value for each call) is tested by chi-square over all its values and by an exact
test of each; a set (any number of values for each call) by an exact test of each. Values the
reference never had are also listed without any test: one call is enough.

Limits: the `VALUES_TESTED_MAX` commonest values of a feature have a test of their own (the
chi-square sees them all), common being counted over both windows together, which favours neither;
`UNSEEN_MAX` unseen values are listed.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exporters.comparison import (
    CONFIDENCE,
    FINDINGS_MAX,
    BoolArray,
    Comparison,
    Difference,
    effect_of,
    examples_of,
    newest,
    not_tested,
    over_time,
    share_finding,
)
from exporters.exact_counts import CountTests, exact_counts
from exporters.findings import Distribution, Effect, Finding, Unseen, UnseenValue, shown
from exporters.measures import FLOOR_UNSEEN, Category, Set
from exporters.statistics import CountArray, chi_square, newcombe
from exporters.windows import CodeArray, IntArray, Window

UNSEEN_MAX = 20
VALUES_TESTED_MAX = 1_000  # a system prompt for each user would otherwise be a test for each user
VALUES_SHOWN_MAX = 12  # in a chart
# Of a feature of which so many further calls have a value never seen before, by Good and Turing's
# estimate, a new value says nothing: documents in a system message, a seed for each call.
UNSEEN_EXPECTED_RATIO = 0.01
ONCE_MIN = 10  # values that a single call has; from fewer the estimate is a guess
MEASURED_MIN = 30  # calls of a side that have the feature at all


@dataclass(frozen=True, eq=False)
class Occurrences:
    """Where each value occurs in one window: pairs of a row and the number of a value.

    `measured`: the rows that count; a call outside of the sample has no language.
    """

    window: Window
    measured: IntArray
    rows: IntArray
    codes: CodeArray

    def having_one(self, code: int) -> IntArray:
        """List the rows that have a value."""
        rows: IntArray = self.rows[self.codes == code]
        return rows

    def having(self, chosen: BoolArray) -> IntArray:
        """List the rows, each once, that have any of the values which `chosen` marks."""
        return np.unique(self.rows[chosen[self.codes]])


@dataclass(frozen=True, eq=False)
class Values:
    """One feature in both windows; `names`: the values of either, by number."""

    feature: Category | Set
    names: tuple[str, ...]
    reference: Occurrences
    current: Occurrences

    @cached_property
    def counts(self) -> tuple[CountArray, CountArray]:
        """How many calls of each window have each value."""
        first, second = (
            np.bincount(side.codes, minlength=len(self.names))
            for side in (self.reference, self.current)
        )
        return first, second

    @cached_property
    def totals(self) -> tuple[int, int]:
        """How many calls of each window were measured."""
        return len(self.reference.measured), len(self.current.measured)

    @property
    def varies(self) -> bool:
        """Whether any two calls differ in the feature, over both windows together."""
        pooled = self.counts[0] + self.counts[1]
        return bool(((pooled > 0) & (pooled < sum(self.totals))).any())

    @cached_property
    def commonest(self) -> IntArray:
        """The numbers of the values, by count in both windows; among equals by name."""
        pooled = self.counts[0] + self.counts[1]
        order = sorted(
            np.flatnonzero(pooled).tolist(), key=lambda code: (-pooled[code], self.names[code])
        )
        return np.array(order, dtype=np.int64)


def values_of(feature: Category | Set, comparison: Comparison) -> Values:
    """Read a feature of both windows, with one numbering of its values."""
    numbers: dict[str, int] = {}
    reference, current = (
        _occurrences(feature, side, numbers) for side in (comparison.reference, comparison.current)
    )
    return Values(feature, tuple(numbers), reference, current)


def _occurrences(feature: Category | Set, window: Window, numbers: dict[str, int]) -> Occurrences:
    every = np.arange(len(window))
    if feature.kind == "category":
        column = window.categories.get(feature.name)
        if column is None:
            return Occurrences(window, every[:0], every[:0], np.zeros(0, np.int32))
        measured = np.flatnonzero(column.codes >= 0)
        return Occurrences(
            window, measured, measured, _numbering(column.values, numbers)[column.codes[measured]]
        )
    lists = window.sets.get(feature.name)
    if lists is None:
        return Occurrences(window, every[:0], every[:0], np.zeros(0, np.int32))
    rows = np.repeat(every, np.diff(lists.starts))
    return Occurrences(window, every, rows, _numbering(lists.values, numbers)[lists.codes])


def _numbering(values: tuple[str, ...], numbers: dict[str, int]) -> CodeArray:
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int32)


def compare_values(values: Values, comparison: Comparison, share: float) -> Difference:
    """Test a feature that varies, with a share, 0..1, of alpha."""
    feature = values.feature
    if min(values.totals) < MEASURED_MIN:
        return not_tested(feature, f"fewer than {MEASURED_MIN} calls of a window have it")
    tested = values.commonest[:VALUES_TESTED_MAX]
    # A category has two tests, of all values together and of each value; a set the second only.
    # So has a category of two values: what one lost the other gained, and the rarer is named.
    together = feature.kind == "category" and len(tested) > 2
    share /= 2 if together else 1
    if feature.kind == "category" and len(tested) == 2:
        tested = tested[1:]
    counts = values.counts[0][tested], values.counts[1][tested]
    exact = exact_counts(
        counts[0], values.totals[0], counts[1], values.totals[1], comparison.alpha * share
    )
    correction = max(1, exact.test_count) / share
    found = [
        _grown(values, code, comparison, (p_value, p_value * correction))
        for code, p_value in _standing_out(values, tested, exact, comparison.alpha / correction)
    ]
    p_least = exact.p_value
    if together:
        p_all = chi_square(*values.counts)
        p_least = min(p_least, p_all)
        if p_all / share < comparison.alpha and not any(finding.drift for finding in found):
            found += _spread(values, comparison, (p_all, p_all / share))
    largest = _largest(values, tested)
    return Difference(
        feature.name,
        feature.side,
        feature.kind,
        min(1.0, p_least / share),
        tuple(found),
        _effect(values, largest),
        feature.floor,
        _distribution(values),
    )


def _standing_out(
    values: Values, tested: IntArray, exact: CountTests, threshold: float
) -> list[tuple[int, float]]:
    """Choose FINDINGS_MAX values whose p-value is below `threshold`, by their effects' bounds."""
    if not exact.test_count:
        return []
    below = np.flatnonzero(exact.p_values < threshold).tolist()
    chosen = [(int(tested[index]), float(exact.p_values[index])) for index in below]
    chosen.sort(key=lambda each: -_effect(values, each[0]).bound)
    return chosen[:FINDINGS_MAX]


def _largest(values: Values, tested: IntArray) -> int:
    """Find the value whose share changed most."""
    shares = [
        side[tested] / total for side, total in zip(values.counts, values.totals, strict=True)
    ]
    return int(tested[np.abs(shares[1] - shares[0]).argmax()])


def _effect(values: Values, code: int) -> Effect:
    before, after = (int(counts[code]) for counts in values.counts)
    return effect_of(newcombe(before, values.totals[0], after, values.totals[1], CONFIDENCE))


def _distribution(values: Values) -> Distribution:
    shown_codes = values.commonest[:VALUES_SHOWN_MAX]
    return Distribution(
        tuple(_worded(values.feature, values.names[code]) for code in shown_codes),
        (),
        *(
            tuple((counts[shown_codes] / total).tolist())
            for counts, total in zip(values.counts, values.totals, strict=True)
        ),
    )


def _worded(feature: Category | Set, value: str) -> str:
    """Call a value by its name, or by the words a person has for it."""
    return feature.words.get(value, shown(value))


def _grown(
    values: Values, code: int, comparison: Comparison, p_values: tuple[float, float]
) -> Finding:
    """Describe by how much the share of the calls that have a value grew."""
    before, after = values.reference.having_one(code), values.current.having_one(code)
    name = values.names[code]
    return share_finding(
        values.feature,
        value=name,
        says=f"{values.feature.says} {_worded(values.feature, name)}",
        shares=(len(before) / values.totals[0], len(after) / values.totals[1]),
        effect=_effect(values, code),
        floor=values.feature.floor if len(before) else FLOOR_UNSEEN,
        p_values=p_values,
        examples=examples_of(comparison, before, after),
        over_time=over_time(comparison.current, after, values.current.measured),
    )


def _spread(values: Values, comparison: Comparison, p_values: tuple[float, float]) -> list[Finding]:
    """Find how much of the traffic moved between values where no single one stands out.

    Which values gained is read off every second call, and how much they gained off the others:
    counted on the same calls, chance alone would make some gain.
    """
    sides = values.reference, values.current
    size = len(values.names)
    halves = [np.bincount(side.codes[::2], minlength=size) for side in sides]
    gained = halves[1] * halves[0].sum() > halves[0] * halves[1].sum()
    others = [int(gained[side.codes[1::2]].sum()) for side in sides]
    totals = [len(side.codes[1::2]) for side in sides]
    named = [values.names[code] for code in values.commonest if gained[code]]
    after = values.current.having(gained)
    finding = share_finding(
        values.feature,
        value=",".join(named[:UNSEEN_MAX]),
        says=f"{values.feature.says} one of {len(named)} values that gained"
        f" ({shown(', '.join(named))})",
        shares=(others[0] / totals[0], others[1] / totals[1]),
        effect=effect_of(newcombe(others[0], totals[0], others[1], totals[1], CONFIDENCE)),
        floor=values.feature.floor,
        p_values=p_values,
        examples=examples_of(comparison, after[:0], after),
        over_time=over_time(comparison.current, after, values.current.measured),
    )
    return [finding] if finding.drift else []


def known_of(reference: Window, feature: Category | Set) -> frozenset[str] | None:
    """Name the values of a feature that any call of the reference has; None where new ones are
    to be expected."""
    numbers: dict[str, int] = {}
    occurrences = _occurrences(feature, reference, numbers)
    names = list(numbers)
    counts = np.bincount(occurrences.codes, minlength=len(names))
    if feature.free and _new_ones_expected(counts, len(occurrences.measured)):
        return None
    return frozenset(names[code] for code in np.unique(occurrences.codes).tolist())


def _new_ones_expected(counts: CountArray, total: int) -> bool:
    """Say whether calls like those of the reference go on having values that it does not have.

    The share of further calls with a new value is about the number of values that occur once,
    divided by that of calls (Good, "The population frequencies of species", Biometrika 1953).
    """
    once = int((counts == 1).sum())
    return once >= ONCE_MIN and once > UNSEEN_EXPECTED_RATIO * total


def find_unseen(values: Values) -> Unseen | None:
    """List the values no reference call has; None if there are none. No test: one call is enough.

    None too where the reference itself shows that new ones are to be expected. Of a feature with a
    floor (a language is a guess) only those whose share reaches it.
    """
    feature, total = values.feature, values.totals[1]
    if not all(values.totals):
        return None
    if feature.free and _new_ones_expected(values.counts[0], values.totals[0]):
        return None
    new = (values.counts[0] == 0) & (values.counts[1] > 0)
    new &= values.counts[1] >= feature.unseen_from * total
    codes = [code for code in values.commonest.tolist() if new[code]]
    if not codes:
        return None
    listed = []
    for code in codes[:UNSEEN_MAX]:
        rows = values.current.having_one(code)
        listed.append(
            UnseenValue(values.names[code], len(rows) / total, newest(values.current.window, rows))
        )
    ratio = len(values.current.having(new)) / total
    return Unseen(feature.name, feature.side, len(codes), tuple(listed), ratio)
