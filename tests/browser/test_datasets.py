"""Datasets as a real browser shows them, with a filter and a reason that are meant to do harm."""

import pytest

from tests.browser.chromium import CONTRAST, Tab

PATHS = ("", "/hostile", "/next", "/hostile/left-out")


def test_a_hostile_dataset_runs_nothing_and_asks_nobody(tab: Tab, site_url: str) -> None:
    for path in PATHS:
        tab.open(f"{site_url}/review/datasets{path}")
    assert tab.complaints == []
    assert [url for url in tab.requested if not url.startswith(site_url)] == []


@pytest.mark.parametrize("width", [360, 1200])
def test_no_dataset_is_wider_than_its_window(tab: Tab, site_url: str, width: int) -> None:
    tab.size(width)
    for path in PATHS:
        tab.open(f"{site_url}/review/datasets{path}")
        assert tab.value("document.scrollingElement.scrollWidth") <= width, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_of_a_dataset_stand_out(tab: Tab, site_url: str, scheme: str) -> None:
    tab.ask(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    for path in PATHS:
        tab.open(f"{site_url}/review/datasets{path}")
        assert tab.value(CONTRAST) == [], path


def test_a_call_that_was_left_out_is_two_links_away(tab: Tab, site_url: str) -> None:
    tab.open(f"{site_url}/review/datasets/hostile")
    link = "document.querySelector('a[href*=\"/review?\"]')"
    assert "NOT" in str(tab.value(f"new URL({link}.href).searchParams.get('where')"))
    tab.loads(lambda: tab.value(f"{link}.click()"))
    assert tab.value("location.pathname") == "/review"
