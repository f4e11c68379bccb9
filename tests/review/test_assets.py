"""Tests of review.assets, and of what the templates and static files may hold."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import review
from review.assets import PAGE_HEADERS, Assets

HERE = Path(review.__file__).parent
TEMPLATES = sorted((HERE / "templates").glob("*.html"))


def test_an_address_of_a_static_file_holds_the_hash_of_its_content() -> None:
    assets = Assets()
    page = bytes(assets.page("trouble.html", 404, title="a", sentence="b").body).decode()
    names = re.findall(r"/review/static/(\S+?)\"", page)
    assert len(names) == 3
    for name in names:
        answer = assets.static(name)
        assert answer is not None
        assert re.fullmatch(r"\w+-[0-9a-f]{16}\.\w+", name)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_our_static_files_are_served() -> None:
    assert Assets().static("../assets.py") is None
    assert Assets().static("review.css") is None


def test_a_template_stops_at_a_name_it_does_not_know() -> None:
    with pytest.raises(UndefinedError):
        Assets().page("trouble.html", title="a")


def test_pages_load_and_run_nothing_but_our_own() -> None:
    policy = PAGE_HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.name))
def test_templates_escape_everything_and_hold_no_style_or_script(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"\|\s*safe|autoescape|\son\w+=|\sstyle=|<style|javascript:", text)
    assert re.findall(r"<script\b[^>]*>", text) in (
        [],
        ["""<script src="{{ static('review.js') }}" defer>"""],
    )


@pytest.mark.parametrize("name", ["review.css", "review.js", "icon.svg"])
def test_static_files_reach_for_nothing_elsewhere(name: str) -> None:
    text = (HERE / "static" / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//\w|@import|innerHTML|insertAdjacentHTML|eval\(", text)
