"""Tests of proxy.errors."""

import json

import pytest

from proxy.errors import OwnError, error_of, render, unknown_upstream
from storage.capture import Dialect, Endpoint, Outcome


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Outcome.UPSTREAM_UNREACHABLE, 502, "upstream_unreachable"),
        (Outcome.UPSTREAM_CUT, 502, "upstream_cut"),
        (Outcome.UPSTREAM_ERROR, 502, "upstream_not_http"),
        (Outcome.UPSTREAM_TIMEOUT, 504, "upstream_timeout"),
    ],
)
def test_each_failure_has_its_status_and_code(outcome: Outcome, status: int, code: str) -> None:
    error = error_of(outcome, "why")
    assert (error.status_code, error.code, error.message) == (status, code, "why")


@pytest.mark.parametrize(
    ("dialect", "endpoint", "keys"),
    [
        (Dialect.OPENAI, Endpoint.CHAT_COMPLETIONS, {"message", "type", "param", "code"}),
        (Dialect.ANTHROPIC, Endpoint.OTHER, {"type", "message"}),
        (Dialect.OPENAI, Endpoint.MESSAGES, {"type", "message"}),
        (Dialect.GEMINI, Endpoint.OTHER, {"code", "message", "status"}),
    ],
)
def test_the_envelope_is_the_dialects(dialect: Dialect, endpoint: Endpoint, keys: set[str]) -> None:
    headers, body = render(OwnError(502, "upstream_cut", "why"), dialect, endpoint, "id")
    assert set(json.loads(body)["error"]) == keys
    named = dict(headers)
    assert named[b"content-length"] == str(len(body)).encode()
    assert (named[b"x-shalt-error"], named[b"x-shalt-call-id"]) == (b"upstream_cut", b"id")


def test_in_front_of_the_console_an_error_is_said_as_the_console_says_it() -> None:
    error = OwnError(502, "upstream_unreachable", "why")
    headers, body = render(error, Dialect.RAW, Endpoint.OTHER, "", console=True)
    assert json.loads(body) == {"error": "why"}
    assert dict(headers)[b"x-shalt-error"] == b"upstream_unreachable"


def test_an_unknown_upstream_is_answered_with_the_known_ones() -> None:
    assert "/u/openai/, /u/other/" in unknown_upstream(["openai", "other"]).message
