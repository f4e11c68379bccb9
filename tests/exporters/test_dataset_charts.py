"""Charts of a dataset are SVG that needs nothing, with the limits that stop an export drawn in."""

import re
import xml.etree.ElementTree as ElementTree

from exporters.dataset_charts import ROWS_MAX, apart_svg, counts_svg, lifts_svg
from exporters.findings import Effect


def texts(drawn: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", drawn)


def test_a_chart_is_a_picture_that_needs_nothing() -> None:
    effects = [Effect(0.4, 0.3, 0.45), Effect(1.2, 0.9, 1.5)]
    for drawn in (counts_svg({"calls": 9}), lifts_svg(effects), apart_svg(effects)):
        assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
        addresses = set(re.findall(r"https?://[^\"]+", drawn))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"<script|<style|style=|href=|<image|<foreignObject", drawn)
        assert "var(--current)" in drawn


def test_counts_stand_beside_their_bars_in_their_order() -> None:
    drawn = texts(counts_svg({"calls": 12_000, "complete": 900, "kept": 0}))
    assert [text for text in drawn if text in ("calls", "complete", "kept")] == [
        "calls",
        "complete",
        "kept",
    ]
    assert {"12,000", "900", "0"} <= set(drawn)


def test_effects_are_numbered_as_in_their_table() -> None:
    effects = [Effect(0.0, 0.0, 40.0)] * (ROWS_MAX + 5)
    drawn = texts(lifts_svg(effects))
    assert {"1", str(ROWS_MAX)} <= set(drawn)
    assert str(ROWS_MAX + 1) not in drawn


def test_nothing_to_draw_is_an_empty_chart() -> None:
    assert ElementTree.fromstring(counts_svg({})) is not None
    assert ElementTree.fromstring(apart_svg([])) is not None
