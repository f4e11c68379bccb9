"""Tests of shalt.console."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream


@pytest.fixture(scope="module")
def shalt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shalt]:
    folder = tmp_path_factory.mktemp("console")
    with running_upstream() as upstream, running_shalt(folder / "data", upstream.url) as running:
        for number in range(3):
            headers = {"x-shalt-tag-number": str(number)}
            request(running.port, "/v1/plain", headers=headers)
        wait_until(lambda: running.status()["stored"] == 3)
        yield running


def fetch(shalt: Shalt, path: str) -> object:
    return json.loads(shalt.get(path))


def test_calls_are_listed_newest_first_and_page_by_page(shalt: Shalt) -> None:
    first = json.loads(shalt.get("/api/calls?limit=2"))
    rest = json.loads(shalt.get(f"/api/calls?before={first[-1]['id']}"))
    assert [row["tags"] for row in first + rest] == [{"number": n} for n in ("2", "1", "0")]


def test_calls_are_filtered_by_the_filter_language(shalt: Shalt) -> None:
    rows = json.loads(shalt.get("/api/calls?where=tags%5B'number'%5D='1'"))
    assert len(rows) == 1


@pytest.mark.parametrize("search", ["word", "%22open"])
def test_a_search_that_cannot_be_made_is_400(shalt: Shalt, search: str) -> None:
    answer = request(shalt.port, f"/api/calls?search={search}", b"", "GET")
    assert answer.status == 400
    assert "search" in str(answer.json()["error"])


def test_a_filter_that_cannot_be_read_is_400_with_the_place(shalt: Shalt) -> None:
    answer = request(shalt.port, "/api/calls?where=modle='x'", b"", "GET")
    assert answer.status == 400
    assert "modle" in str(answer.json()["error"])


def test_one_call_is_found_by_its_id_and_an_unknown_one_is_404(shalt: Shalt) -> None:
    known = json.loads(shalt.get("/api/calls?limit=1"))[0]["id"]
    assert json.loads(shalt.get(f"/api/calls/{known}"))["id"] == known
    assert json.loads(shalt.get(f"/api/calls/{known[:30]}"))["id"] == known
    assert request(shalt.port, "/api/calls/none", b"", "GET").status == 404


def test_a_page_before_what_is_no_id_is_400(shalt: Shalt) -> None:
    answer = request(shalt.port, "/api/calls?before=yesterday", b"", "GET")
    assert (answer.status, "no id of a call" in str(answer.json()["error"])) == (400, True)


def test_what_became_of_a_call_is_told_of_every_id(shalt: Shalt) -> None:
    known = json.loads(shalt.get("/api/calls?limit=1"))[0]["id"]
    assert json.loads(shalt.get(f"/api/why/{known}"))["state"] == "stored"
    unknown = request(shalt.port, f"/api/why/{'0' * 32}", b"", "GET")
    assert (unknown.status, unknown.json()["state"]) == (404, "unknown")
    assert request(shalt.port, "/api/why/chatcmpl-1", b"", "GET").status == 400


def test_calls_are_counted_by_hour(shalt: Shalt) -> None:
    counts = json.loads(shalt.get("/api/counts?where=tags%5B'number'%5D%3C%3E'1'"))
    assert sum(count["calls"] for count in counts) == 2
    assert json.loads(shalt.get("/api/counts?until=2026-01-01")) == []


def test_calls_are_read_through_the_worker_on_pages_and_as_files(shalt: Shalt) -> None:
    call_id = json.loads(shalt.get("/api/calls?limit=1"))[0]["id"]
    assert f"/review/calls/{call_id}".encode() in shalt.get("/review")
    assert b"/v1/plain" in shalt.get(f"/review/calls/{call_id}")
    answer = request(shalt.port, f"/api/calls/{call_id}/request", b"", "GET")
    assert (answer.body, answer.header("content-disposition")[:10]) == (b"{}", "attachment")


@pytest.mark.parametrize("path", ["/review", "/api/counts"])
def test_a_page_elsewhere_cannot_read_through_a_visitors_browser(shalt: Shalt, path: str) -> None:
    assert request(shalt.port, path, b"", "GET", {"host": "evil.example"}).status == 421


@pytest.mark.parametrize("path", ["/api/docs", "/docs", "/redoc", "/nothing"])
def test_no_page_loads_a_script_from_elsewhere(shalt: Shalt, path: str) -> None:
    assert b"//" not in request(shalt.port, path, b"", "GET").body


def test_the_index_names_only_what_is_there(shalt: Shalt) -> None:
    paths = [path for path in json.loads(shalt.get("/")).values() if path.startswith("/")]
    assert {request(shalt.port, path, b"", "GET").status for path in paths} == {200}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_finds_nothing_to_complain_about(shalt: Shalt) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=shalt.get("/metrics"),
        capture_output=True, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_pages_are_not_recorded(shalt: Shalt) -> None:
    shalt.get("/")
    assert shalt.status()["accepted"] == 3
