"""Tests of shalt.refusals: one shape of errors, whatever the route."""

from typing import Annotated

import pytest
from fastapi import FastAPI, HTTPException, Query
from fastapi.testclient import TestClient

from shalt.refusals import add_refusals
from storage.database import StoreUnavailable
from storage.fate import CallIdError
from storage.filter_syntax import FilterError
from storage.search_words import SearchError

RAISED = {
    "busy": HTTPException(503, "busy", {"retry-after": "2"}),
    "call": CallIdError("no id"),
    "filter": FilterError("no filter", "x", 0, 1),
    "search": SearchError("no search"),
    "store": StoreUnavailable("no store"),
    "fault": ZeroDivisionError("a secret"),
}


@pytest.fixture
def client() -> TestClient:
    application = FastAPI()
    add_refusals(application)

    @application.get("/raised/{which}")
    def raised(which: str, limit: Annotated[int, Query(ge=1)] = 1) -> None:
        raise RAISED[which]

    @application.get("/api/listed/{kind}")
    def listed(kind: str, project: str = "default") -> str:
        return kind + project

    return TestClient(application, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/raised/busy", 503, "busy"),
        ("/raised/call", 400, "no id"),
        ("/raised/filter", 400, "no filter"),
        ("/raised/search", 400, "no search"),
        ("/raised/store", 503, "no store"),
        ("/raised/fault", 500, "shalt failed to answer this; its log says why"),
        ("/raised/call?limit=0", 400, "limit: Input should be greater than or equal to 1"),
        (
            "/api/listed/a?projct=b",
            400,
            "projct: no such parameter; /api/listed/{kind} takes project",
        ),
        ("/none", 404, "there is nothing at /none; / says what is here"),
    ],
)
def test_whatever_goes_wrong_is_said_in_one_shape(
    client: TestClient, path: str, status: int, sentence: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, [*answer.json()]) == (status, ["error"])
    assert sentence in answer.json()["error"]


def test_headers_of_a_refusal_are_kept(client: TestClient) -> None:
    assert client.get("/raised/busy").headers["retry-after"] == "2"


def test_a_method_that_a_route_does_not_take_is_named(client: TestClient) -> None:
    answer = client.put("/raised/call")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json() == {"error": "/raised/call does not take PUT"}


def test_the_schema_says_the_same(client: TestClient) -> None:
    answers = client.get("/openapi.json").json()["paths"]["/raised/{which}"]["get"]["responses"]
    assert set(answers) == {"200", "default"}
    assert answers["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal")


def test_parameters_that_a_route_takes_and_those_outside_the_api_pass(client: TestClient) -> None:
    assert client.get("/api/listed/a?project=b").json() == "ab"
    assert client.get("/raised/busy?format=text").json() == {"error": "busy"}
