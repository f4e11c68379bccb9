"""Tests of proxy.closing_answers: clients of HTTP/1.0, through a real server."""

from pathlib import Path

import pytest

from storage.capture import Outcome
from tests.client import exchange
from tests.relaying import running_relay, upstream_at
from tests.upstream import EVENTS, GZIPPED, running_upstream


@pytest.mark.parametrize(
    ("path", "body"),
    [("plain", b'{"object": "plain"}'), ("chunked", b"hello world"), ("stream", b"".join(EVENTS)),
     ("old", b"old school"), ("empty", b""), ("gzip", GZIPPED), ("hang", None)],
)  # fmt: skip
def test_a_client_of_http_1_0_gets_the_body_and_no_chunks(
    tmp_path: Path, path: str, body: bytes | None
) -> None:
    with (
        running_upstream() as upstream,
        running_relay(
            tmp_path, [upstream_at(upstream.port, first_byte_seconds=0.2 if body is None else 60)]
        ) as relay,
    ):
        lines = b"Expect: 100-continue\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
        answer = exchange(relay.port, b"POST /v1/%b HTTP/1.0\r\n" % path.encode() + lines)
        head, _, received = answer.partition(b"\r\n\r\n")
        assert b"100 Continue" not in head
        assert b"transfer-encoding" not in head
        assert b"\r\nconnection: close" in head
        assert upstream.sent().startswith(b"POST /v1/%b HTTP/1.1\r\n" % path.encode())
        capture = relay.calls(1)[0]
        if body is None:
            assert b"504 Gateway Timeout" in head
            assert b"upstream_timeout" in received
        else:
            assert received == body
            assert capture.outcome is Outcome.COMPLETE
        assert capture.response_body.data == received


def test_head_of_http_1_0_has_the_length_and_no_body(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        answer = exchange(relay.port, b"HEAD /v1/plain HTTP/1.0\r\n\r\n")
        assert b"\r\ncontent-length: 19\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")
