"""How numbers differ between two windows: Kolmogorov-Smirnov on each, and how many have none.

All numbers are tested in one batch (`exporters.ks_columns`). A number that some calls lack, as a
score does, has a second test: whether as many calls of both windows have it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exporters.comparison import (
    CONFIDENCE,
    Comparison,
    Difference,
    effect_of,
    examples_of,
    not_tested,
    over_time,
    share_finding,
)
from exporters.exact_counts import two_sided
from exporters.findings import Distribution, Finding
from exporters.ks_columns import KsColumn, Pair, ks_columns
from exporters.measures import FLOOR_SHARE, Number
from exporters.statistics import FloatArray, bonferroni, newcombe

VALUES_MIN = 30  # of a side: fewer say nothing of a distribution
BARS = 20
LOOKED_AT = 2_000  # values of a side, evenly over them, by which the bars are laid out
# A range of which the middle takes so small a part is drawn in steps that grow: tokens, costs.
SKEWED = 8.0


@dataclass(frozen=True)
class _Column:
    """A number in both windows: the values there are, and whether calls without one vary too."""

    feature: Number
    values: Pair
    some_lack: bool

    @property
    def enough(self) -> bool:
        return min(map(len, self.values)) >= VALUES_MIN

    @property
    def same(self) -> bool:
        reference, current = self.values
        if not (len(reference) and len(current)):
            return True
        low, high = min(reference.min(), current.min()), max(reference.max(), current.max())
        return bool(low == high)


def varying_numbers(features: Sequence[Number], comparison: Comparison) -> set[str]:
    """Name the numbers that differ between any two calls, over both windows together."""
    return {
        column.feature.name
        for column in map(_Columns(comparison).of, features)
        if column.some_lack or not column.same
    }


def compare_numbers(
    features: Sequence[Number], comparison: Comparison, share: float
) -> Iterator[Difference]:
    """Test numbers that vary, each with a share, 0..1, of alpha."""
    columns = [_Columns(comparison).of(feature) for feature in features]
    ks = iter(ks_columns([each.values for each in columns if each.enough], CONFIDENCE))
    for column in columns:
        yield _test(column, next(ks) if column.enough else None, comparison, share)


class _Columns:
    def __init__(self, comparison: Comparison) -> None:
        self._sides = comparison.reference, comparison.current

    def of(self, feature: Number) -> _Column:
        columns = [
            side.numbers.get(feature.name, np.full(len(side), np.nan)) for side in self._sides
        ]
        values = [column[np.isfinite(column)] for column in columns]
        have, rows = sum(map(len, values)), sum(map(len, columns))
        return _Column(feature, (values[0], values[1]), 0 < have < rows)


def _test(column: _Column, ks: KsColumn | None, comparison: Comparison, share: float) -> Difference:
    feature = column.feature
    if ks is None and not column.some_lack:
        return not_tested(feature, f"fewer than {VALUES_MIN} calls of a window have it")
    # Both tests have half of the share where there are two.
    share /= 2 if ks is not None and column.some_lack else 1
    p_values, found = [], []
    if ks is not None:
        p_values.append(bonferroni(ks.p_value, 1) / share)
        if p_values[-1] < comparison.alpha:
            found.append(_beyond(column, ks, comparison, p_values[-1]))
    if column.some_lack:
        finding = _lacking(column, comparison, share)
        p_values.append(finding.p_adjusted)
        found += [finding] if finding.p_adjusted < comparison.alpha else []
    return Difference(
        feature.name,
        feature.side,
        feature.kind,
        min(1.0, *p_values),
        tuple(found),
        effect_of(ks.distance) if ks else found[0].effect if found else None,
        feature.floor,
        distribution_of(column.values) if ks else None,
    )


def _beyond(column: _Column, ks: KsColumn, comparison: Comparison, p_adjusted: float) -> Finding:
    """Say which share of the calls is beyond the value where the windows are furthest apart."""
    feature = column.feature
    beyond = np.greater if ks.rises else np.less_equal
    before, after = (
        np.flatnonzero(beyond(side.numbers[feature.name], ks.at))
        for side in (comparison.reference, comparison.current)
    )
    at = _written(ks.at * feature.scale)
    counted = np.flatnonzero(np.isfinite(comparison.current.numbers[feature.name]))
    return share_finding(
        feature,
        value=f"{'>' if ks.rises else '<='} {at}",
        says=feature.says.format(f"{'more than' if ks.rises else 'at most'} {at}"),
        shares=(len(before) / len(column.values[0]), len(after) / len(column.values[1])),
        effect=effect_of(ks.distance),
        floor=feature.floor,
        p_values=(ks.p_value, p_adjusted),
        examples=examples_of(comparison, before, after),
        over_time=over_time(comparison.current, after, counted),
    )


def _lacking(column: _Column, comparison: Comparison, share: float) -> Finding:
    """Compare how many calls have no such number at all."""
    feature = column.feature
    sides = comparison.reference, comparison.current
    totals = [len(side) for side in sides]
    lacking = [
        np.flatnonzero(~np.isfinite(side.numbers.get(feature.name, np.full(len(side), np.nan))))
        for side in sides
    ]
    counts = [len(rows) for rows in lacking]
    p_value = float(two_sided(np.array(counts[:1]), totals[0], np.array(counts[1:]), totals[1])[0])
    return share_finding(
        feature,
        value="none",
        says=f"calls have no {feature.name}",
        shares=(counts[0] / totals[0], counts[1] / totals[1]),
        effect=effect_of(newcombe(counts[0], totals[0], counts[1], totals[1], CONFIDENCE)),
        floor=FLOOR_SHARE,
        p_values=(p_value, bonferroni(p_value, 1) / share),
        examples=examples_of(comparison, lacking[0], lacking[1]),
        over_time=over_time(comparison.current, lacking[1]),
    )


def distribution_of(values: Pair) -> Distribution:
    """Count both sides in BARS bars that hold all values; the outermost are open ends."""
    low, middle, high = np.quantile(
        np.concatenate([side[:: len(side) // LOOKED_AT + 1] for side in values]), (0.01, 0.5, 0.99)
    ).tolist()
    if low > 0 and high - low > SKEWED * (middle - low):
        inner = np.geomspace(low, high, BARS - 1)
    else:
        inner = np.linspace(low, high, BARS - 1)
    ends = [min(side.min() for side in values)], [max(side.max() for side in values)]
    edges = np.unique(np.concatenate([ends[0], inner, ends[1]]))
    edges = np.repeat(edges, 2) if len(edges) == 1 else edges
    return Distribution((), tuple(edges.tolist()), *(_shares(side, edges) for side in values))


def _shares(values: FloatArray, edges: FloatArray) -> tuple[float, ...]:
    bars = np.searchsorted(edges, values, "right") - 1
    counts = np.bincount(np.minimum(bars, max(0, len(edges) - 2)), minlength=len(edges) - 1)
    return tuple((counts / len(values)).tolist())


def _written(value: float) -> str:
    """Write a number for a sentence: whole, or to four digits."""
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:.0f}"
    return f"{value:.4g}"
