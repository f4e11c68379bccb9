"""The charts of a dataset's page: pictures as SVG, drawn by Altair, that need no script.

    counts_svg   how many calls are left at each step, or went under each reason: bars
    lifts_svg    how slices of the kept calls compare with all: 1 is not at all, 0.5 the limit
    apart_svg    how far means of kept and dropped calls lie apart, with the limit on either side

As in a drift report (exporters.report_charts) colours are those of the page, and nothing of a
call's text enters a picture: counts are named by words of ours, slices and numbers by their place
in the table beside. Limit: ROWS_MAX rows. Cost: 0.6 s for the first picture of a process, 40 ms for
each further one.
"""

from collections.abc import Mapping, Sequence

import altair as alt

from exporters.findings import Effect
from exporters.report_charts import CURRENT, REFERENCE, svg_of
from exporters.selection_report import LIFT_MIN, SMD_MAX

ROWS_MAX = 20
WIDTH = 420
ROW_HEIGHT = 18
LIFT_SHOWN_MIN, LIFT_SHOWN_MAX = 0.1, 10.0  # beyond, a point stands at the edge


def counts_svg(counts: Mapping[str, int]) -> str:
    """Draw counts as bars, in their order, each with its number."""
    values = [
        {"name": name, "count": count, "says": f"{count:,}"}
        for name, count in list(counts.items())[:ROWS_MAX]
    ]
    names = alt.Y("name:N", sort=None, title=None, axis=_names_axis())
    most = max((count for count in counts.values()), default=0) or 1
    scale = alt.Scale(domain=[0, most * 1.2])
    bars = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar(color=CURRENT)
        .encode(y=names, x=alt.X("count:Q", title=None, axis=None, scale=scale))
    )
    numbers = bars.mark_text(align="left", dx=4, color="var(--axis)").encode(text="says:N")
    return _rows_svg(alt.layer(bars, numbers), len(values))


def lifts_svg(lifts: Sequence[Effect]) -> str:
    """Draw each slice's lift with its interval, by its number from 1, on a scale of factors."""
    scale = alt.Scale(type="log", domain=[LIFT_SHOWN_MIN, LIFT_SHOWN_MAX])
    axis = alt.Axis(values=[0.1, 0.25, 0.5, 1, 2, 4, 10], format="~g")
    rows = [
        tuple(
            min(max(number, LIFT_SHOWN_MIN), LIFT_SHOWN_MAX)
            for number in (lift.lower, lift.estimate, lift.upper)
        )
        for lift in lifts[:ROWS_MAX]
    ]
    return _intervals(rows, alt.X("estimate:Q", title=None, scale=scale, axis=axis), 1, [LIFT_MIN])


def apart_svg(differences: Sequence[Effect]) -> str:
    """Draw how far means lie apart, in standard deviations, by their number from 1."""
    rows = [(each.lower, each.estimate, each.upper) for each in differences[:ROWS_MAX]]
    widest = max((abs(number) for row in rows for number in row), default=0.0)
    edge = max(2 * SMD_MAX, 1.1 * widest)
    scale = alt.Scale(domain=[-edge, edge])
    place = alt.X("estimate:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5))
    return _intervals(rows, place, 0, [-SMD_MAX, SMD_MAX])


def _intervals(
    rows: Sequence[tuple[float, ...]], place: alt.X, neutral: float, limits: Sequence[float]
) -> str:
    """Draw a point and its interval for each row; lines where nothing differs, and at limits."""
    values = [
        {"number": str(number), "lower": lower, "estimate": estimate, "upper": upper}
        for number, (lower, estimate, upper) in enumerate(rows, 1)
    ]
    names = alt.Y("number:N", sort=None, title=None, axis=_names_axis())
    chart = alt.Chart(alt.InlineData(values=values))
    lines = [
        alt.Chart(alt.InlineData(values=[{"estimate": at} for at in each]))
        .mark_rule(color=REFERENCE, strokeDash=dash, strokeWidth=1.5)
        .encode(x=place)
        for each, dash in (([neutral], [1, 0]), (limits, [5, 3]))
    ]
    spans = chart.mark_rule(color=CURRENT, strokeWidth=2).encode(y=names, x="lower:Q", x2="upper:Q")
    points = chart.mark_point(color=CURRENT, filled=True, size=40, opacity=1).encode(
        y=names, x=place
    )
    return _rows_svg(alt.layer(*lines, spans, points), len(values))


def _names_axis() -> alt.Axis:
    return alt.Axis(grid=False, ticks=False, domain=False, labelLimit=220)


def _rows_svg(chart: alt.LayerChart | alt.FacetChart, rows: int) -> str:
    return svg_of(chart, WIDTH, ROW_HEIGHT * max(1, rows))
