"""Charts are SVG that needs nothing: no script, no style, no address but of its namespace."""

import re
import xml.etree.ElementTree as ElementTree

from exporters.findings import Slice
from exporters.report_charts import bars_svg, line_svg
from tests.exporters.found import HOUR_US, START_US, bars

SLICES = [Slice(START_US + number * HOUR_US, 100, number / 50) for number in range(24)]


def test_a_chart_is_a_picture_that_needs_nothing() -> None:
    for drawn in (bars_svg(bars(edges=12)), line_svg(SLICES, 0.2)):
        assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
        addresses = set(re.findall(r"https?://[^\"]+", drawn))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"<script|<style|style=|href=|<image|<foreignObject", drawn)


def test_a_chart_has_colours_for_a_light_page_and_a_dark_one() -> None:
    drawn = bars_svg(bars(edges=12))
    assert drawn.count('fill="var(--reference)"') == drawn.count('fill="var(--current)"') == 12
    assert 'fill="white"' not in drawn
    assert "var(--axis)" in drawn


def test_edges_are_named_below_the_bars_in_few_characters() -> None:
    drawn = bars_svg(bars(edges=12), scale=1_000)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    assert {"0", "4000", "16k", "144k"} <= set(texts)


def test_a_time_without_calls_is_no_point() -> None:
    with_gap = [*SLICES[:5], Slice(START_US + 5 * HOUR_US, 0, 0.0), *SLICES[6:]]
    assert len(line_svg(with_gap, 0.2)) < len(line_svg(SLICES, 0.2))
