"""Tests of shalt.keys: the file that is written, and a whole shalt that asks for keys."""

import json
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Route

from shalt import console, keys
from shalt.keys import AccessKeyError
from shalt.places import Places
from shalt.settings import Settings, load
from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

PUBLIC = {"/healthz", "/readyz"}  # what a load balancer asks; they tell nothing of the calls


def make(
    settings: Settings, printed: pytest.CaptureFixture[str], name: str, **given: object
) -> str:
    fields: dict[str, object] = {
        "project": None,
        "console": False,
        "calls_per_minute": None,
        "expires": None,
        **given,
    }
    keys.create(settings, name, **fields)  # type: ignore[arg-type]
    return printed.readouterr().out.strip()


def listed(settings: Settings, printed: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    keys.show_all(settings, as_json=True)
    return [json.loads(line) for line in printed.readouterr().out.splitlines()]


def test_a_key_is_shown_once_and_kept_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(data_dir=tmp_path / "data")
    key = make(settings, capsys, "ana", project="shop", calls_per_minute=9, expires="2h")
    path = tmp_path / "data" / "access.json"
    assert key not in path.read_text()
    assert key.rsplit("-", 1)[-1] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    row = listed(settings, capsys)[0]
    assert (row["id"], row["name"], row["project"], row["calls_per_minute"], row["state"]) == (
        key.split("-")[1],
        "ana",
        "shop",
        9,
        "valid",
    )


def test_a_revoked_key_stays_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(data_dir=tmp_path)
    id = make(settings, capsys, "ana").split("-")[1]
    keys.revoke(settings, id)
    capsys.readouterr()
    assert listed(settings, capsys)[0]["state"] == "revoked"
    with pytest.raises(AccessKeyError, match="was revoked at"):
        keys.revoke(settings, id)
    with pytest.raises(AccessKeyError, match="no key 00000000"):
        keys.revoke(settings, "00000000")


@pytest.mark.parametrize("text", ["", "d", "-1d", "1y", "1.5h", "²h"])
def test_a_time_to_live_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(AccessKeyError, match="write 30m, 12h, 90d or 4w"):
        keys.create(
            load(data_dir=tmp_path),
            "ana",
            project=None,
            console=False,
            calls_per_minute=None,
            expires=text,
        )
    assert not (tmp_path / "access.json").exists()


@pytest.mark.parametrize(
    ("name", "project", "why"), [("", None, "a name"), ("ana", "../x", "no name of a project")]
)
def test_a_key_of_nobody_or_of_no_possible_project_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, project: str | None, why: str
) -> None:
    with pytest.raises(AccessKeyError, match=why):
        make(load(data_dir=tmp_path), capsys, name, project=project)
    assert not (tmp_path / "access.json").exists()


def test_keys_made_at_once_are_all_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load(data_dir=tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: make(settings, capsys, f"k{n}")) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["name"] for row in listed(settings, capsys)} == {f"k{n}" for n in range(8)}


def all_routes(routes: Sequence[BaseRoute]) -> Iterator[Route]:
    """Every route, those of included routers too."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            yield from all_routes(route.original_router.routes)  # type: ignore[attr-defined]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Shalt]:
    config = tmp_path / "shalt.toml"
    config.write_text("access_keys = true\nworkers = 2\n")
    with (
        running_upstream() as upstream,
        running_shalt(tmp_path / "data", f"{upstream.url}/v1", "--config", str(config)) as running,
    ):
        yield running


def test_every_route_asks_for_a_key_but_the_public_ones(
    guarded: Shalt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(data_dir=guarded.data_dir)
    key = make(settings, capsys, "operator", console=True)
    wait_until(
        lambda: request(guarded.port, "/review", b"", "GET", {"x-shalt-key": key}).status == 200
    )
    aside = load(data_dir=tmp_path / "aside")
    places = Places(aside.data_dir)
    places.prepare()
    places.clear_metrics()
    paths = {
        (route.path.replace("{", "").replace("}", ""), method)
        for route in all_routes(console.build(aside).routes)
        for method in route.methods or ()
    }
    asked = paths | {("/v1/chat/completions", "POST"), ("/u/openai/models", "GET"), ("/", "GET")}
    assert len(asked) > 20
    for path, method in sorted(asked - {(path, "GET") for path in PUBLIC}):
        assert request(guarded.port, path, b"{}", method).status == 401, (method, path)
    for path in PUBLIC:
        assert request(guarded.port, path, b"", "GET").status == 200
    assert request(guarded.port, "/metrics", b"", "GET", {"x-shalt-key": key}).status == 200


def _give(shalt: Shalt, headers: dict[str, str], said: dict[str, object]) -> int:
    headers = headers | {"content-type": "application/json", "x-shalt-key-project": "other"}
    body = json.dumps({"name": "thumbs", "value": True} | said).encode()
    return request(shalt.port, "/feedback", body, headers=headers).status


def test_a_new_key_opens_and_a_revoked_one_closes_without_a_restart(
    guarded: Shalt, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(data_dir=guarded.data_dir)
    key = make(settings, capsys, "ana", project="shop")
    headers = {"authorization": f"Bearer {key}"}

    def ask() -> int:
        return request(guarded.port, "/v1/plain", headers=headers).status

    wait_until(lambda: ask() == 200)
    # With it, and with no more, an application says what its users think.
    assert _give(guarded, headers, {"session": "s"}) in (200, 202)
    assert _give(guarded, headers, {"session": "s", "project": "other"}) == 403
    assert request(guarded.port, "/api/calls", b"", "GET", headers).status == 403
    keys.revoke(settings, key.split("-")[1])
    # Either worker may be asked, and each looks for itself.
    wait_until(lambda: [ask() for _ in range(8)] == [401] * 8)
