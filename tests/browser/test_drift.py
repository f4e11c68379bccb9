"""Drift reports as a real browser shows them: in the review page, and as a file of their own."""

import re
import urllib.request

import pytest

from exporters.advice import with_actions
from exporters.report_html import report_html
from tests.browser.chromium import CONTRAST, Tab
from tests.exporters.found import full_report


@pytest.fixture(scope="module")
def report_url(site_url: str) -> str:
    """The address of a report that has something of everything, hostile texts too."""
    with urllib.request.urlopen(f"{site_url}/review/drift", timeout=60) as answer:
        (report_id,) = re.findall(r"/review/drift/(\w{32})", answer.read().decode())
    return f"{site_url}/review/drift/{report_id}"


@pytest.fixture(scope="module")
def file_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "drift.html"
    path.write_bytes(report_html(with_actions(full_report()), links="http://127.0.0.1:9"))
    return path.as_uri()


def test_a_hostile_report_runs_nothing_and_asks_nobody(
    tab: Tab, site_url: str, report_url: str, file_url: str
) -> None:
    for url in (f"{site_url}/review/drift", report_url, file_url):
        tab.open(url)
    assert tab.complaints == []
    strangers = [url for url in tab.requested if not url.startswith((site_url, "file:"))]
    assert strangers == []


@pytest.mark.parametrize("width", [360, 1200])
def test_no_report_is_wider_than_its_window(
    tab: Tab, site_url: str, report_url: str, file_url: str, width: int
) -> None:
    tab.size(width)
    for url in (f"{site_url}/review/drift", report_url, file_url):
        tab.open(url)
        assert tab.value("document.scrollingElement.scrollWidth") <= width, url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_of_a_report_stand_out(tab: Tab, report_url: str, file_url: str, scheme: str) -> None:
    tab.ask(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    for url in (report_url, file_url):
        tab.open(url)
        tab.value("document.querySelectorAll('details').forEach((each) => each.open = true)")
        assert tab.value(CONTRAST) == []


def test_the_pictures_of_a_report_have_the_colours_of_its_page(tab: Tab, file_url: str) -> None:
    seen = set()
    for scheme in ("light", "dark"):
        tab.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        tab.open(file_url)
        bar = "document.querySelector('figure [fill=\"var(--current)\"]')"
        seen.add(tab.value(f"getComputedStyle({bar}).fill"))
    assert seen == {"rgb(0, 114, 178)", "rgb(86, 180, 233)"}
