"""The charts of a drift report: pictures as SVG, drawn by Altair, that need no script.

Colours are CSS variables (`--reference`, `--current`, `--axis`, `--grid`), so that one picture does
for a light page and a dark one. Nothing of a call's text enters a picture, only numbers and times:
names of values stand in tables, where they are escaped. Bars of a number are equally wide whatever
they span, with their edges below them: a few very long texts would squeeze all others into one bar.

Cost: 0.6 s for the first picture of a process, 40 ms for each further one; 8 KB each.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import altair as alt
import vl_convert

from exporters.findings import Distribution, Slice

WIDTH = 360
HEIGHT = 120
EDGES_SHOWN = 6
REFERENCE, CURRENT = "var(--reference)", "var(--current)"

_BAR_WIDTH = 0.4  # of a bar's place; two stand in it side by side


def bars_svg(distribution: Distribution, scale: float = 1.0) -> str:
    """Draw how a number is distributed in both windows; `scale`: what its edges are shown times."""
    count = len(distribution.current)
    assert len(distribution.edges) == count + 1, "a number has an edge on either side of each bar"
    shares = [(REFERENCE, 0.1, distribution.reference), (CURRENT, 0.5, distribution.current)]
    values = [
        {"from": place + offset, "to": place + offset + _BAR_WIDTH, "share": share, "fill": fill}
        for fill, offset, of_side in shares
        for place, share in enumerate(of_side)
    ]
    edges = [_short(edge * scale) for edge in distribution.edges]
    step = max(1, -(-count // EDGES_SHOWN))
    named = " : ".join(f"datum.value == {at} ? '{edges[at]}'" for at in range(0, count + 1, step))
    axis = alt.Axis(values=list(range(0, count + 1, step)), labelExpr=f"{named} : ''", grid=False)
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar()
        .encode(
            x=alt.X("from:Q", title=None, axis=axis, scale=alt.Scale(domain=[0, count])),
            x2="to:Q",
            y=_share_axis("share"),
            y2=alt.datum(0),
            color=alt.Color("fill:N", scale=None),
        )
    )
    return svg_of(chart, WIDTH, HEIGHT)


def line_svg(slices: Sequence[Slice], reference: float) -> str:
    """Draw how a share went through the current window, and the share in the reference, dashed."""
    points = [
        {
            "time": datetime.fromtimestamp(each.started_at / 1e6, UTC).isoformat(),
            "share": each.share,
        }
        for each in slices
        if each.calls
    ]
    times = alt.X("time:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(grid=False))
    before = (
        alt.Chart(alt.InlineData(values=[{"share": reference}]))
        .mark_rule(color=REFERENCE, strokeDash=[5, 3], strokeWidth=2)
        .encode(y=_share_axis("share"))
    )
    line = (
        alt.Chart(alt.InlineData(values=points))
        .mark_line(color=CURRENT, strokeWidth=2, point=alt.OverlayMarkDef(color=CURRENT, size=16))
        .encode(x=times, y=_share_axis("share"))
    )
    return svg_of(alt.layer(before, line), WIDTH, HEIGHT)


def svg_of(chart: alt.Chart | alt.LayerChart | alt.FacetChart, width: int, height: int) -> str:
    """Draw a chart in the colours of the page that it will be part of. Sizes are in pixels."""
    drawn = (
        chart.properties(width=width, height=height, background="transparent", padding=2)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--axis)",
            domainColor="var(--grid)",
            tickColor="var(--grid)",
            gridColor="var(--grid)",
            labelFontSize=11,
        )
    )
    return vl_convert.vegalite_to_svg(drawn.to_dict())


def _share_axis(name: str) -> alt.Y:
    return alt.Y(
        f"{name}:Q",
        title=None,
        scale=alt.Scale(zero=True),
        axis=alt.Axis(format="~%", tickCount=4),
    )


def _short(number: float) -> str:
    """Write a number in few characters: 12, 0.25, 3.4k, 1.2M."""
    for limit, letter in ((1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            unit = 1e6 if letter == "M" else 1e3
            return f"{number / unit:.3g}{letter}"
    return f"{number:.4g}"
