"""Tests of review.bodies."""

import gzip

import pytest

from storage.capture import Body
from tests.review.calls import HOSTILE, capture_of, id_of, recorded
from tests.review.conftest import Site

GZIP = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_body_is_saved_and_never_run(site: Site, text: str) -> None:
    site.record(recorded(capture_of(1, text.encode(), None, request_headers=[
        (b"content-type", b"text/html")])))  # fmt: skip
    answer = site.get(f"/api/calls/{id_of(1)}/request")
    assert answer.body == text.encode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{id_of(1)}-request.txt"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'; sandbox" in answer.headers["content-security-policy"]


def test_a_body_comes_as_recorded_or_decoded(site: Site) -> None:
    body = gzip.compress(b'{"a": 1}', mtime=0)
    site.record(recorded(capture_of(1, b"{}", body, response_headers=GZIP)))
    path = f"/api/calls/{id_of(1)}/response"
    assert site.get(path).body == body
    assert site.get(path).headers["content-type"] == "application/octet-stream"
    assert ".bin" in site.get(path).headers["content-disposition"]
    decoded = site.get(path, decoded="1")
    assert decoded.body == b'{"a": 1}'
    assert ".json" in decoded.headers["content-disposition"]


def test_a_body_that_cannot_be_decoded_says_why(site: Site) -> None:
    site.record(recorded(capture_of(1, b"{}", b"\x1f\x8bnot", response_headers=GZIP)))
    answer = site.get(f"/api/calls/{id_of(1)}/response", decoded="1")
    assert answer.status == 422
    assert b"is broken (gzip)" in answer.body


def test_a_body_of_which_only_the_beginning_is_kept_is_named_so(site: Site) -> None:
    cut = Body(b"{", 9, "0" * 64, truncated=True)
    site.record(recorded(capture_of(1, b"{}", None, response_body=cut)))
    answer = site.get(f"/api/calls/{id_of(1)}/response")
    assert "-response-beginning.json" in answer.headers["content-disposition"]


def test_the_body_of_an_unknown_call_is_404_and_no_page(site: Site) -> None:
    answer = site.get("/api/calls/none/request")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert answer.body.startswith(b'{"error":"There is no call none.')
