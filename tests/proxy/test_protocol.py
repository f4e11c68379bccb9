"""Tests of proxy.protocol: real sockets, heads in one piece and in many."""

import http.client
import socket
from pathlib import Path

import pytest

from storage.capture import Outcome
from tests.client import Answer, request, send_and_leave
from tests.relaying import RunningRelay, running_relay, upstream_at, wait_until
from tests.upstream import running_upstream


def answer_to(port: int, pieces: list[bytes]) -> Answer:
    """Send raw bytes piece by piece and read what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                client.sendall(piece)
        except ConnectionError:
            pass  # it has been refused, and closed
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return Answer(answer.status, answer.getheaders(), answer.read())


def refusals(relay: RunningRelay, reason: str) -> float:
    """How often this was the reason to turn something away."""
    metric = relay.recording.metrics.refused.labels(reason)
    return next(iter(metric.collect())).samples[0].value


@pytest.mark.parametrize("pieces_of", [200_000, 1000], ids=["in one piece", "in pieces"])
def test_a_head_over_the_limit_is_refused(tmp_path: Path, pieces_of: int) -> None:
    long = b"POST /v1/plain HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 70_000 + b"\r\n\r\n"
    pieces = [long[at : at + pieces_of] for at in range(0, len(long), pieces_of)]
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        answer = answer_to(relay.port, pieces)
        assert (answer.status, answer.header("x-shalt-error")) == (431, "head_too_long")
        assert "header_bytes_max" in answer.body.decode()
        assert upstream.heads == []
        assert refusals(relay, "head_too_long") == 1
        assert request(relay.port, "/v1/plain").status == 200


def test_a_head_below_the_limit_passes_in_any_pieces(tmp_path: Path) -> None:
    body = b"b" * 200_000  # what follows a head does not count for it
    head = b"POST /v1/upload HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 60_000
    head += b"\r\ncontent-length: %d\r\n\r\n" % len(body)
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        assert answer_to(relay.port, [head + body]).status == 200
        pieces = [head[at : at + 997] for at in range(0, len(head), 997)]
        assert answer_to(relay.port, [*pieces, body]).status == 200


def test_more_connections_than_allowed_are_refused(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], client_connections_max=2) as relay,
    ):
        held = [send_and_leave(relay.port, "/v1/hang") for _ in range(2)]
        wait_until(lambda: len(upstream.heads) == 2)
        answer = answer_to(relay.port, [])
        assert (answer.status, answer.header("x-shalt-error")) == (503, "too_many_connections")
        assert refusals(relay, "too_many_connections") == 1
        for client in held:
            client.close()
        wait_until(lambda: len(upstream.lost) == 2)
        assert request(relay.port, "/v1/plain").status == 200


def test_more_calls_than_allowed_are_refused_and_recorded(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], open_calls_max=1) as relay,
    ):
        held = send_and_leave(relay.port, "/v1/hang")
        wait_until(lambda: len(upstream.heads) == 1)
        answer = request(relay.port, "/v1/plain")
        assert (answer.status, answer.header("x-shalt-error")) == (503, "too_many_calls")
        assert relay.calls(1)[0].outcome is Outcome.REFUSED
        held.close()
        wait_until(lambda: relay.recording.open_count == 0)
        assert request(relay.port, "/v1/plain").status == 200
