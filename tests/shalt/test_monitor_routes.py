"""Tests of shalt.monitor_routes: monitors over HTTP."""

import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from shalt.monitor_list import MonitorList
from shalt.monitor_routes import BODY_BYTES_MAX, routes
from shalt.monitor_state import Failure, Reason, WatchState, encode_state, new_state
from shalt.monitors import Monitor
from shalt.refusals import add_refusals
from shalt.settings import Settings

OF_SETTINGS = Monitor(reference="exports/a", project="default")


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    settings = Settings(data_dir=tmp_path, monitors={"fixed": OF_SETTINGS})
    monitors = MonitorList(settings, tmp_path / "monitors.json")
    application = FastAPI()
    add_refusals(application)
    application.include_router(routes(monitors, tmp_path / "watch.json"))
    return TestClient(application)


def test_a_monitor_is_added_seen_and_removed(client: TestClient) -> None:
    wanted = {"name": "calls", "reference": "2026-01-01..2026-02-01", "where": "streamed"}
    added = client.post("/api/monitors", json=wanted)
    assert (added.status_code, added.json()["monitor"]["windows"]) == (201, ["1h", "1d", "7d"])
    listed = client.get("/api/monitors").json()
    assert [(each["name"], each["source"]) for each in listed] == [
        ("calls", "api"),
        ("fixed", "settings"),
    ]
    assert client.get("/api/monitors/calls").json() == added.json()
    assert client.delete("/api/monitors/calls").status_code == 200
    assert client.get("/api/monitors/calls").status_code == 404
    assert client.delete("/api/monitors/calls").status_code == 404


def test_what_was_found_is_shown(client: TestClient, tmp_path: Path) -> None:
    state = new_state(OF_SETTINGS)
    state.tallies["1d"].fail(Failure(Reason.STORE, "the store is away"))
    (tmp_path / "watch.json").write_bytes(encode_state(WatchState(monitors={"fixed": state})))
    day = client.get("/api/monitors/fixed").json()["windows"][1]
    assert (day["window"], day["verdict"]) == ("1d", "")
    assert (day["failures"], day["last_error"]) == ({"store": 1}, "the store is away")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"name": "a"}, "reference: Field required"),
        ({"name": "a", "reference": "r", "evry": "1h"}, "evry"),
        ({"name": "a", "reference": "r", "every": "1y"}, "every: '1y' is no duration"),
        ({"name": "a", "reference": "r", "where": "modle = 1"}, "modle"),
        ({"name": "A b", "reference": "r"}, "monitor name 'A b'"),
        ({"name": 1, "reference": "r"}, "is a text"),
        ({"reference": "r"}, "monitor name ''"),
        ([], "Expected `object`"),
    ],
)
def test_what_cannot_be_watched_is_400(client: TestClient, wanted: object, message: str) -> None:
    answer = client.post("/api/monitors", json=wanted)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_a_name_that_is_taken_is_409(client: TestClient) -> None:
    assert client.post("/api/monitors", json={"name": "fixed", "reference": "r"}).status_code == 409


def test_one_of_the_settings_is_not_removed(client: TestClient) -> None:
    assert client.delete("/api/monitors/fixed").status_code == 409


def test_a_page_of_another_site_cannot_ask(client: TestClient) -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    wanted = json.dumps({"name": "a", "reference": "r"})
    assert client.post("/api/monitors", content=wanted, headers=elsewhere).status_code == 403
    assert client.delete("/api/monitors/fixed", headers=elsewhere).status_code == 403
    assert client.post("/api/monitors", content=wanted).status_code == 415


def test_a_body_without_end_is_413(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    data = b" " * (BODY_BYTES_MAX + 1)
    assert client.post("/api/monitors", content=data, headers=headers).status_code == 413


def test_a_list_that_cannot_be_read_is_503(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "monitors.json").write_text("{")
    assert client.get("/api/monitors").status_code == 503
