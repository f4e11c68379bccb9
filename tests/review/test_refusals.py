"""Tests of review.refusals."""

from review.refusals import refuse


def test_a_refusal_is_a_sentence_with_the_headers_given() -> None:
    answer = refuse(503, "full", {"retry-after": "2"})
    assert (answer.status_code, answer.body) == (503, b'{"error":"full"}')
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["content-type"] == "application/json"


def test_half_a_character_in_what_is_said_does_no_harm() -> None:
    assert refuse(400, "no \udcff").body == b'{"error":"no ?"}'
