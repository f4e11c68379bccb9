"""Tests of shalt.mounts: what may be one, and that all that shalt answers itself is known."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from shalt.child import Orders
from shalt.console import build
from shalt.mounts import OWN_PATHS, check_mounts
from shalt.places import Places
from shalt.settings import SettingsError, load
from shalt.worker import Worker, build_routes


@pytest.mark.parametrize(
    "mount", ["/v1beta", "/api/chat", "/v1/messages", "/model", "/a-b/c.d/e~f"]
)
def test_a_path_of_a_service_may_be_a_mount(mount: str) -> None:
    check_mounts({"one": [mount], "two": []})


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("/v1", "shalt's own /v1"),
        ("/u/other", "shalt's own /u"),
        ("/api", "shalt's own /api/calls"),
        ("/api/calls/x", "shalt's own /api/calls"),
        ("/metrics", "shalt's own /metrics"),
        ("/", "must be like"),
        ("api/chat", "must be like"),
        ("/api/chat/", "must be like"),
        ("/a/../b", "must be like"),
        ("/a%2fb", "must be like"),
        ("//a", "must be like"),
    ],
)
def test_what_is_shalts_own_or_no_path_is_no_mount(mount: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_mounts({"one": [mount]})


def test_two_upstreams_cannot_have_one_mount() -> None:
    check_mounts({"one": ["/x", "/x"], "two": ["/x/y"]})
    with pytest.raises(ValueError, match="of upstream one and of two"):
        check_mounts({"one": ["/x"], "two": ["/x"]})


def all_routes(routes: Sequence[BaseRoute]) -> Iterator[Route]:
    """Every route, those of included routers too."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif hasattr(route, "original_router"):
            yield from all_routes(route.original_router.routes)


def test_everything_that_shalt_answers_itself_is_its_own(tmp_path: Path) -> None:
    orders = Orders(settings=load(data_dir=tmp_path), console_socket=tmp_path / "c")
    places = Places(tmp_path)
    places.prepare()
    places.clear_metrics()
    applications: list[FastAPI] = [Worker(orders), build(orders.settings)]
    paths = {route.path for each in applications for route in all_routes(each.routes)}
    assert len(paths) > 20
    own = tuple(f"{path}/" for path in OWN_PATHS)
    assert {path for path in paths if not f"{path}/".startswith(own)} <= {"/", ""}


def test_mounts_come_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "shalt.toml"
    config.write_text(
        '[upstreams.openai]\ndefault = true\n[upstreams.ollama]\nbase_url = "http://127.0.0.1:1"\n'
        'mounts = ["/api/chat", "/api/generate"]\n[upstreams.gemini]\nbase_url = "http://x"\n'
    )
    monkeypatch.setenv("SHALT_UPSTREAMS__GEMINI__MOUNTS", "/v1beta,/upload/v1beta")
    settings = load(config, data_dir=tmp_path)
    assert settings.upstreams["gemini"].mounts == ("/v1beta", "/upload/v1beta")
    routes = build_routes(Orders(settings=settings, console_socket=tmp_path / "c"))
    chat = routes.find(b"/api/chat").upstream
    assert chat is not None
    assert chat.name == "ollama"
    config.write_text('[upstreams.openai]\nmounts = ["/review"]\n')
    monkeypatch.delenv("SHALT_UPSTREAMS__GEMINI__MOUNTS")
    with pytest.raises(SettingsError, match="/review"):
        load(config, data_dir=tmp_path)
