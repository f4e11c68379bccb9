"""A report as a page: whole, harmless, small, and quick enough."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from exporters.findings import Unseen, UnseenValue
from exporters.report_html import CHARTS_MAX, FINDINGS_SHOWN, fragment, report_html
from tests.exporters.found import HOSTILE, finding, full_report, many, report


class Parsed(HTMLParser):
    """The elements and attributes of a page; `open` is what was opened and not closed."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1] == tag, f"{tag} closes {self.open[-1]}"
        self.open.pop()


def test_a_page_is_well_formed_and_loads_and_runs_nothing() -> None:
    parsed = Parsed(report_html(full_report(), links="http://127.0.0.1:8400").decode())
    assert parsed.open == []
    names = {name for name, _ in parsed.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "image", "base"}
    for name, attributes in parsed.elements:
        assert not [each for each in attributes if each.startswith("on") or each == "style"]
        assert "src" not in attributes
        assert "href" not in attributes or name == "a"


def test_its_policy_allows_the_style_it_has_and_nothing_else() -> None:
    page = report_html(report()).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"content=\"default-src 'none'; style-src 'sha256-{digest}'\"" in page
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_texts_are_shown_and_do_nothing() -> None:
    page = report_html(full_report()).decode()
    assert HOSTILE not in page
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 8


def test_it_says_what_changed_and_what_to_do_and_what_it_does_not_say() -> None:
    page = fragment(full_report())
    for text in (
        "of 1,000 comparisons of unchanged traffic one says drift",
        "The same change: date 2024",
        "Beyond chance, but too little to matter",
        "Never seen in the reference",
        "not that answers got worse",
        "AUC 0.830 (0.800 to 0.850)",
        "train against test of the reference: quiet",
        "not tested: the same for every call of both windows",
        "3 groups, which make the windows look alike",
        "-0.19 (-0.29 to -0.09)",
    ):
        assert text in page, text


def test_without_scores_it_says_how_to_add_them() -> None:
    assert "shalt feedback" in fragment(report(finding()))


def test_calls_are_linked_only_where_there_is_a_place_to_lead_to() -> None:
    call_id = finding().example_call_ids[0]
    assert f'href="http://h:1/review/calls/{call_id}"' in fragment(
        report(finding()), links="http://h:1"
    )
    alone = fragment(report(finding()))
    assert "href" not in alone
    assert call_id in alone


def test_the_largest_report_stays_below_a_megabyte() -> None:
    """It is made in less than two seconds: benchmarks/drift_costs.py, on a machine of its own."""
    page = report_html(many(200))
    assert len(page) < 2**20
    assert page.count(b'<li class="finding') == FINDINGS_SHOWN
    assert page.count(b"<figure>") == CHARTS_MAX + 1  # that of the classifier


def test_a_value_as_long_as_a_book_is_cut() -> None:
    values = tuple(UnseenValue(f"{n}" + "x" * 100_000, 0.1, ()) for n in range(20))
    page = report_html(report(unseen=(Unseen("request_model", "call", 20, values, 1.0),)))
    assert len(page) < 50_000
    assert "xxx…" in page.decode()


def test_a_quiet_report_is_a_page_too() -> None:
    page = report_html(report()).decode()
    assert Parsed(page).open == []
    assert "Quiet" in page
    assert "What changed" not in page
