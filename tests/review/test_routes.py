"""Tests of review.routes."""

import os
from pathlib import Path

import pytest

from tests.review.calls import chat, id_of
from tests.review.conftest import Site

PATHS = ["/review", f"/review/calls/{id_of(1)}", f"/api/calls/{id_of(1)}/request"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_but_reading_is_answered(site: Site, path: str, method: str) -> None:
    site.record(chat(1))
    assert site.get(path, method).status == 405


@pytest.mark.parametrize("path", PATHS)
def test_reading_is_answered_with_headers_that_keep_others_out(site: Site, path: str) -> None:
    site.record(chat(1))
    assert site.get(path, "HEAD").status == 200
    headers = site.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert not [name for name in headers if name.startswith("access-control")]


def test_static_files_of_a_page_are_served(site: Site) -> None:
    page = site.get("/review").page
    names = [a["href"] for a in page.all("link")] + [a["src"] for a in page.all("script")]
    assert [site.get(name).status for name in names] == [200, 200, 200]
    assert site.get("/review/static/none.css").status == 404


def test_an_unknown_call_is_a_page_that_says_so(site: Site) -> None:
    answer = site.get("/review/calls/<script>")
    assert answer.status == 404
    assert "There is no call <script>" in answer.page.text


def test_a_filter_that_cannot_be_read_stops_no_step_of_the_way_silently(site: Site) -> None:
    site.record(chat(1))
    answer = site.get(f"/review/calls/{id_of(1)}/older", where="outcom = 'x'")
    assert answer.status == 400
    assert "did you mean" in answer.page.text


def test_a_store_that_is_away_is_a_page_that_says_so(site: Site, tmp_path: Path) -> None:
    os.remove(tmp_path / "shalt.sqlite")
    answer = site.get("/review")
    assert answer.status == 503
    assert "is not there" in answer.page.text
