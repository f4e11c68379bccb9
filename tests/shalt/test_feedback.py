"""Tests of shalt.feedback, through a real shalt."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shalt.feedback import BODY_BYTES_MAX
from storage.capture import SystemClock, new_id
from tests.client import Answer, request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

JSON = {"content-type": "application/json"}


@pytest.fixture(name="shalt", scope="module")
def _shalt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shalt]:
    folder = tmp_path_factory.mktemp("feedback")
    with running_upstream() as upstream, running_shalt(folder / "data", upstream.url) as running:
        yield running


def call(shalt: Shalt, session: str = "") -> str:
    """Make a call; return its id."""
    headers = {"x-shalt-session": session} if session else {}
    return request(shalt.port, "/v1/chat/completions", headers=headers).header("x-shalt-call-id")


def give(shalt: Shalt, headers: dict[str, str] = JSON, **feedback: Any) -> Answer:
    return request(shalt.port, "/feedback", json.dumps(feedback).encode(), headers=headers)


def read(shalt: Shalt, call_id: str, what: str = "scores") -> list[dict[str, Any]]:
    answer = request(shalt.port, f"/api/calls/{call_id}/{what}", b"", "GET")
    found: list[dict[str, Any]] = json.loads(answer.body) if answer.status == 200 else []
    return found


def test_feedback_by_id_is_stored_whether_the_call_is_or_not(shalt: Shalt) -> None:
    call_id = call(shalt)
    answers = [give(shalt, id=call_id, name="thumbs", value=True) for _ in range(3)]
    assert {answer.status for answer in answers} <= {200, 202}
    assert all(answer.json()["call_id"] == call_id for answer in answers)
    scores = wait_until(lambda: read(shalt, call_id))
    assert [(each["name"], each["value"], each["source"]) for each in scores] == [
        ("thumbs", True, "feedback")
    ]
    again = give(shalt, id=call_id[:14], name="quality", value=4, comment="so so")
    assert (again.status, again.json()["call_id"]) == (200, call_id)
    assert wait_until(lambda: read(shalt, call_id)[1:])[0]["comment"] == "so so"
    row = json.loads(shalt.get(f"/api/calls/{call_id}"))
    assert (len(row["scores"]), row["labels"]) == (2, [])


def test_a_correction_is_a_proposed_label(shalt: Shalt) -> None:
    call_id = call(shalt)
    correction = {"tool_calls": [{"function": {"name": "find", "arguments": {"city": "Zürich"}}}]}
    assert give(shalt, id=call_id, correction="Paris.", comment="wrong").json()["score_id"] == ""
    assert give(shalt, id=call_id, correction=correction, name="ok", value=False).json()["score_id"]
    text, tools = wait_until(
        lambda: read(shalt, call_id, "labels")[1:] and read(shalt, call_id, "labels")
    )
    assert (text["message"]["content"], text["note"]) == ("Paris.", "wrong")
    assert (text["source"], text["status"]) == ("feedback", "proposed")
    assert tools["message"]["tool_calls"][0]["arguments"] == '{"city":"Zürich"}'


def test_feedback_by_session_counts_for_its_last_call(shalt: Shalt) -> None:
    early = give(shalt, session="tea", name="solved", value="yes")
    assert (early.status, early.json()["waiting"]) == (202, True)
    first = call(shalt, "tea")
    assert wait_until(lambda: read(shalt, first))[0]["value"] == "yes"
    second = call(shalt, "tea")
    assert give(shalt, session="tea", name="rating", value=2).status in (200, 202)
    assert wait_until(lambda: read(shalt, second))[0]["name"] == "rating"
    status = shalt.get("/metrics").decode()
    assert "shalt_feedback_waiting 0.0" in status


def test_an_idempotency_key_makes_it_once(shalt: Shalt) -> None:
    call_id = call(shalt)
    sent = [give(shalt, id=call_id, name="n", value=v, idempotency_key="k") for v in (1, 2, 1)]
    assert len({answer.json()["score_id"] for answer in sent}) == 1
    give(shalt, id=call_id, name="last", value=0)
    wait_until(lambda: [each for each in read(shalt, call_id) if each["name"] == "last"])
    assert [each["value"] for each in read(shalt, call_id) if each["name"] == "n"] == [1.0]


def test_an_id_of_no_call_is_not_found(shalt: Shalt) -> None:
    call_id = call(shalt)
    wait_until(lambda: shalt.settled())
    unknown = new_id(SystemClock())
    assert give(shalt, id=unknown, name="n", value=1).status == 404
    assert give(shalt, id="nonsense", name="n", value=1).status == 400
    assert request(shalt.port, f"/api/calls/{unknown}/labels", b"", "GET").status == 404
    assert request(shalt.port, f"/api/calls/{call_id}", b"", "DELETE").status == 202
    assert give(shalt, id=call_id, name="n", value=1).status == 410


@pytest.mark.parametrize(
    ("feedback", "problem"),
    [
        ({"name": "n", "value": 1}, "in one way"),
        ({"id": "a" * 32, "session": "s", "name": "n", "value": 1}, "in one way"),
        ({"session": "s"}, "name and value, or a correction"),
        ({"session": "s", "name": "n"}, "value: a boolean"),
        ({"session": "s", "value": 1}, "name: 1 to 64"),
        ({"session": "s", "name": "n", "value": [1]}, "cannot be read"),
        ({"session": "s", "name": "n", "value": 1, "extra": 1}, "unknown field `extra`"),
        ({"session": "s", "correction": {"role": "user", "content": "x"}}, "of the assistant"),
        ({"session": "s", "correction": ""}, "has neither"),
        ({"session": "s", "name": "n", "value": 10**400}, "value: a number from"),
        ({"session": "s", "name": "n", "value": 1, "project": "a/b"}, "project: 1 to 64"),
        (
            {"session": "s", "correction": {"tool_calls": [{"name": "f", "arguments": "{"}]}},
            "no JSON",
        ),
        ({"session": "s", "name": "n", "value": 1, "idempotency_key": "x" * 1001}, "at most 1000"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(
    shalt: Shalt, feedback: dict[str, Any], problem: str
) -> None:
    answer = give(shalt, **feedback)
    assert answer.status == 400
    assert problem in str(answer.json()["error"])


def test_a_page_elsewhere_cannot_give_feedback(shalt: Shalt) -> None:
    given: dict[str, Any] = {"session": "s", "name": "n", "value": 1}
    assert give(shalt, JSON | {"sec-fetch-site": "cross-site"}, **given).status == 403
    assert give(shalt, {"content-type": "text/plain"}, **given).status == 415
    assert give(shalt, JSON | {"host": "elsewhere.example"}, **given).status == 421
    long = request(shalt.port, "/feedback", b"x" * (BODY_BYTES_MAX + 1), headers=JSON)
    assert long.status == 413


def test_feedback_is_no_call_in_the_ledger(shalt: Shalt) -> None:
    wait_until(shalt.settled)
    before = shalt.status()
    give(shalt, session="nobody", name="n", value=1)
    wait_until(lambda: "shalt_feedback_waiting 1.0" in shalt.get("/metrics").decode())
    assert shalt.status() == before
    assert "shalt_scores_total" in shalt.get("/metrics").decode()
    call(shalt, "nobody")  # whose it is, so that nothing waits in the tests that come after
    wait_until(lambda: "shalt_feedback_waiting 0.0" in shalt.get("/metrics").decode())
