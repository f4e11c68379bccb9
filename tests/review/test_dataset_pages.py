"""Datasets as pages: the list, one of them with its pictures and files, the calls left out."""

import html
import json
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette

from exporters.dataset import export
from exporters.dataset_drawing import DatasetDrawing, WantedDataset, draw
from exporters.drawing import NotDrawn
from exporters.request import ExportRequest
from review.dataset_pages import LINES_SHOWN
from review.routes import routes
from storage.capture import Outcome
from storage.rows import DatasetItem
from tests.exporters.calls import chat, record, said
from tests.exporters.conftest import make_store
from tests.exporters.forged import traffic
from tests.review.conftest import Clock, Site
from tests.review.datasets import Asked, Progress, Shelf

WHERE = "request_model = 'tiny' and not request_model = '<b>'"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a dataset of a filter, and failed calls that are no row."""
    directory = tmp_path_factory.mktemp("datasets")
    store = make_store(f"sqlite:///{directory / 'shalt.sqlite'}")
    asked = [[said("user", f"what {number}?")] for number in range(LINES_SHOWN + 5)]
    failed = [
        chat(2**20 + number, each, None, outcome=Outcome.UPSTREAM_ERROR, model="tiny")
        for number, each in enumerate(asked)
    ]
    record(store, [*traffic(120), *failed])
    request = ExportRequest(where=WHERE, accept_bias="the small <i>one</i>")
    export(store, request, directory / "small", processes=1)
    store.close()
    return directory


@pytest.fixture
def shelf(site: Site, made: Path) -> Shelf:
    """The site, with that directory."""
    shelf = Shelf(made)
    pages = routes(site.store, "default", Clock(), datasets=shelf, draw_dataset=draw)
    site.application = Starlette(routes=list(pages))
    return shelf


def test_datasets_are_listed_with_what_they_hold(site: Site, shelf: Shelf) -> None:
    shelf.asked["next"] = Asked("next", "failed", "no calls <b>")
    body = site.get("/review/datasets").body.decode()
    assert re.findall(r'href="/review/datasets/(\w+)"', body) == ["next", "small"]
    assert "no calls &lt;b&gt;" in body
    assert re.search(r"train \d+, ", body)
    assert html.escape("not request_model = '<b>'").replace("&#x27;", "&#39;") in body


def test_without_datasets_the_page_says_how_to_make_one(site: Site, tmp_path: Path) -> None:
    site.application = Starlette(
        routes=list(routes(site.store, "default", Clock(), datasets=Shelf(tmp_path)))
    )
    assert "shalt export dataset" in site.get("/review/datasets").body.decode()


def test_what_the_command_line_wrote_elsewhere_is_listed(site: Site, shelf: Shelf) -> None:
    call = chat(1, [said("user", "when?")], said("assistant", "at nine"))
    record(site.store, [call])
    item = DatasetItem(call.id, "g", site.store.list("default", None, limit=1)[0].side)
    for directory in (shelf.path("small").absolute(), Path("/srv/<b>set")):
        site.store.record_dataset("default", str(directory), "0" * 64, [item])
    body = site.get("/review/datasets").body.decode()
    assert "/srv/&lt;b&gt;set" in body
    assert f"{shelf.path('small')}</code>" not in body


def test_a_dataset_is_shown_with_pictures_and_files(site: Site, shelf: Shelf) -> None:
    answer = site.get("/review/datasets/small")
    body = answer.body.decode()
    assert answer.status == 200
    assert body.count("<svg") >= 3  # the mark of the page, why calls are no row, the funnel
    manifest = json.loads((shelf.path("small") / "manifest.json").read_bytes())
    files = re.findall(r'href="/api/datasets/small/files/([^"]+)"', body)
    assert files == ["manifest.json", *(file["name"] for file in manifest["files"])]
    assert 'href="/api/datasets/small/tar"' in body
    assert manifest["files"][0]["sha256"] in body
    assert "the small &lt;i&gt;one&lt;/i&gt;" in body
    assert "style=" not in body
    assert "<b>" not in body


def test_a_dataset_that_cannot_be_drawn_is_shown_without_pictures(site: Site, made: Path) -> None:
    def broken(wanted: WantedDataset) -> DatasetDrawing:
        raise NotDrawn("too <slow>")

    pages = routes(site.store, "default", Clock(), datasets=Shelf(made), draw_dataset=broken)
    site.application = Starlette(routes=list(pages))
    answer = site.get("/review/datasets/small")
    assert answer.status == 200
    assert "missing: too &lt;slow&gt;" in answer.body.decode()
    assert "<figure>" not in answer.body.decode()


def test_what_the_filter_does_is_shown_by_number(site: Site, shelf: Shelf) -> None:
    body = site.get("/review/datasets/small").body.decode()
    assert "What the filter does" in body
    # What the filter takes away stands first, in the table as in the picture.
    assert re.search(r'<td class="number">1</td><td class="value">\w+_model large', body)
    assert "Lift of each slice" in body


def test_calls_left_out_lead_to_their_pages(site: Site, shelf: Shelf) -> None:
    page = site.get("/review/datasets/small").body.decode()
    (link,) = re.findall(r'href="(/review/datasets/small/left-out[^"]*)"', page)
    first = site.get(html.unescape(link)).body.decode()
    calls = re.findall(r'href="/review/calls/(\w{32})\?project=default"', first)
    assert len(calls) == LINES_SHOWN
    (further,) = re.findall(r'rel="next" href="([^"]+)"', first)
    rest = site.get(html.unescape(further)).body.decode()
    lines = (shelf.path("small") / "needs_label.jsonl").read_bytes().splitlines()
    assert calls + re.findall(r'href="/review/calls/(\w{32})\?', rest) == [
        json.loads(line)["call"] for line in lines
    ]
    assert 'rel="next"' not in rest


def test_calls_that_the_filter_does_not_take_are_a_list(site: Site, shelf: Shelf) -> None:
    body = site.get("/review/datasets/small").body.decode()
    (address,) = re.findall(r'href="(/review\?[^"]+)">calls that the filter', body)
    assert site.get(html.unescape(address)).status == 200


def test_one_that_is_being_made_says_how_far_it_is(site: Site, shelf: Shelf) -> None:
    shelf.asked["next"] = Asked("next", "running", report=Progress("reading calls", 3, 1_000))
    body = site.get("/review/datasets/next").body.decode()
    assert "reading calls: 3 of 1,000" in body


@pytest.mark.parametrize(
    "path",
    ["nobody", "..", "small/left-out?list=ids", "small/left-out?from=-1", "nobody/left-out"],
)
def test_what_is_not_there_is_a_page(site: Site, shelf: Shelf, path: str) -> None:
    assert site.get(f"/review/datasets/{path}").status == 404


@pytest.mark.parametrize("manifest", [b'{"version": 9, "files": []}', b"{", b'{"version": 3}'])
def test_a_manifest_that_cannot_be_read_is_no_fault(
    site: Site, tmp_path: Path, manifest: bytes
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_bytes(manifest)
    pages = routes(site.store, "default", Clock(), datasets=Shelf(tmp_path))
    site.application = Starlette(routes=list(pages))
    for path in ("", "/old", "/old/left-out"):
        assert site.get(f"/review/datasets{path}").status == 200
    assert "cannot be read" in site.get("/review/datasets").body.decode()


def test_pages_lead_to_the_datasets_where_there_are_any(site: Site, made: Path) -> None:
    assert "/review/datasets" not in site.get("/review").body.decode()
    pages = routes(site.store, "default", Clock(), datasets=Shelf(made))
    site.application = Starlette(routes=list(pages))
    assert 'href="/review/datasets"' in site.get("/review").body.decode()
