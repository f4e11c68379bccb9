"""Tests of shalt.erasure_routes, through a real shalt."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

JSON = {"content-type": "application/json"}
ELSEWHERE = JSON | {"sec-fetch-site": "cross-site"}


@contextmanager
def three_calls(folder: Path) -> Iterator[Shalt]:
    with running_upstream() as upstream, running_shalt(folder / "data", upstream.url) as running:
        for number in range(3):
            headers = {"x-shalt-tag-number": str(number % 2)}
            request(running.port, "/v1/plain", headers=headers)
        wait_until(lambda: running.status()["stored"] == 3)
        yield running


@pytest.fixture
def shalt(tmp_path: Path) -> Iterator[Shalt]:
    with three_calls(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shalt]:
    with three_calls(tmp_path_factory.mktemp("untouched")) as running:
        yield running


def rows(shalt: Shalt) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(shalt.get("/api/calls"))
    return found


def receipt(shalt: Shalt, made: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = json.loads(shalt.get(f"/api/erasures/{made['id']}"))
    return found


def test_a_call_is_gone_with_the_answer_and_its_bytes_soon_after(shalt: Shalt) -> None:
    call_id = rows(shalt)[0]["id"]
    answer = request(shalt.port, f"/api/calls/{str(call_id)[:30]}", b"", "DELETE")
    assert answer.status == 202
    assert call_id not in [row["id"] for row in rows(shalt)]
    assert request(shalt.port, f"/api/calls/{call_id}", b"", "GET").status == 404
    wait_until(lambda: receipt(shalt, answer.json())["scrubbed_at"] is not None)
    assert receipt(shalt, answer.json())["calls"] == 1
    assert request(shalt.port, f"/api/calls/{call_id}", b"", "DELETE").status == 410
    assert shalt.status()["stored"] == 3


def test_many_are_said_as_json(shalt: Shalt) -> None:
    body = json.dumps({"tag": "number=0", "reason": "ticket 7"}).encode()
    answer = request(shalt.port, "/api/erasures", body, headers=JSON)
    assert answer.status == 202
    assert [row["tags"] for row in rows(shalt)] == [{"number": "1"}]
    assert receipt(shalt, answer.json())["reason"] == "ticket 7"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("DELETE", "/api/calls/unknown", "", {}, 404),
        ("GET", "/api/erasures/unknown", "", {}, 404),
        ("POST", "/api/erasures", '{"user": "nobody"}', JSON, 404),
        ("POST", "/api/erasures", '{"ids": ["unknown"]}', JSON, 400),
        ("POST", "/api/erasures", "{}", JSON, 400),
        ("POST", "/api/erasures", '{"where": "modle = 1"}', JSON, 400),
        ("POST", "/api/erasures", '{"everything": true}', JSON, 400),
        ("POST", "/api/erasures", '{"tag": "number=0"}', {"content-type": "text/plain"}, 415),
        ("POST", "/api/erasures", '{"tag": "number=0"}', ELSEWHERE, 403),
    ],
)  # fmt: skip
def test_what_must_not_erase_does_not(
    untouched: Shalt, method: str, path: str, body: str, headers: dict[str, str], status: int
) -> None:
    assert request(untouched.port, path, body.encode(), method, headers=headers).status == status
    assert len(rows(untouched)) == 3
