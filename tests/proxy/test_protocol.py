"""Tests of proxy.protocol: real sockets, heads in one piece and in many."""

import http.client
import socket
import time
from pathlib import Path

import pytest

from proxy.protocol import PIPELINED_MAX
from storage.capture import Outcome
from tests.client import Answer, exchange, request, send_and_leave
from tests.relaying import RunningRelay, running_relay, upstream_at, wait_until
from tests.upstream import running_upstream


def answer_to(port: int, pieces: list[bytes]) -> Answer:
    """Send raw bytes piece by piece and read what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
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


SIZED = b"POST /v1/upload HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"


def test_requests_sent_ahead_are_answered_in_order(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        bodies = [b"x" * number for number in range(1, 20)]
        sent = b"".join(SIZED % (len(body), body) for body in bodies)
        answers = exchange(relay.port, sent + b"GET /v1/plain HTTP/1.0\r\n\r\n")
        sizes = [line.split()[0] for line in answers.split(b"\r\n\r\n")[1:-1]]
        assert sizes == [b"%d" % len(body) for body in bodies]
        assert len(relay.calls(20)) == 20


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01 hello", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: 1\r\n"
     b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
)  # fmt: skip
def test_garbage_behind_a_request_does_not_spoil_its_answer(tmp_path: Path, garbage: bytes) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        answer = exchange(relay.port, SIZED % (2, b"{}") + garbage)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\n\r\n2 " in answer
        assert refusals(relay, "not_http") == 1
        answer = exchange(relay.port, garbage)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"x-shalt-error: not_http\r\n" in answer
        assert len(upstream.heads) == 1


def test_garbage_in_a_body_ends_the_call_and_its_connection(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        head = b"POST /v1/plain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        assert exchange(relay.port, head + b"2\r\n{}\r\nxyz\r\n").startswith(b"HTTP/1.1 400 ")
        assert relay.calls(1)[0].outcome is Outcome.CLIENT_GONE
        assert request(relay.port, "/v1/plain").status == 200


def test_more_requests_ahead_than_may_wait_are_not_answered(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        answer = exchange(relay.port, b"GET /v1/plain HTTP/1.1\r\nhost: x\r\n\r\n" * 500)
        assert answer.count(b"HTTP/1.1 200 OK") == PIPELINED_MAX + 1
        assert refusals(relay, "too_many_requests") == 1
        assert len(upstream.heads) == PIPELINED_MAX + 1


def test_a_client_that_leaves_with_requests_waiting_cancels_the_first(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        client = send_and_leave(relay.port, "/v1/hang")
        client.sendall(SIZED % (2, b"{}"))
        wait_until(lambda: len(upstream.heads) == 1)
        client.close()
        wait_until(lambda: upstream.lost == ["hang"])
        assert [call.outcome for call in relay.calls(1)] == [Outcome.CLIENT_GONE]


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "application"])
def test_a_connection_that_is_closed_in_trailers_ends_with_the_answer(
    tmp_path: Path, direct: bool
) -> None:
    head = b"POST /v1/plain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    sent = head + b"0\r\nconnection: close\r\n\r\nGET /v1/plain HTTP/1.1\r\nhost: x\r\n\r\n"
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], direct=direct) as relay,
    ):
        received = exchange(relay.port, sent)
    assert received.endswith(b'{"object": "plain"}')
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in received


def test_what_comes_behind_a_body_is_no_header_of_the_request(tmp_path: Path) -> None:
    trailers = b"content-length: 5\r\nauthorization: Bearer x\r\nx-shalt-project: other\r\nx: y\r\n"
    sent = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked"
    sent += b"\r\n\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n"
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        exchange(relay.port, sent.replace(b"content-length: 5\r\n", b""))
        assert upstream.sent().lower() == (
            b"post /v1/echo http/1.1\r\nhost: 127.0.0.1:%d\r\ntransfer-encoding: chunked\r\n\r\n"
            % upstream.port
        )
        call = relay.calls(1)[0]
        assert (call.project, call.request_headers[-1][0]) == ("default", b"transfer-encoding")
        exchange(relay.port, sent)  # which the parser may refuse
        assert b"content-length" not in b"".join(upstream.heads).lower()


@pytest.mark.parametrize("line", [b"GET /v1/plain\r\n", b"GET /v1/plain HTTP/2.0\r\n"])
def test_another_version_of_http_is_refused(tmp_path: Path, line: bytes) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        answer = exchange(relay.port, line + b"host: x\r\n\r\n")
        assert b"x-shalt-error: not_http\r\n" in answer
        assert upstream.heads == []


def test_a_head_that_does_not_come_to_its_end_is_refused(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], head_seconds=0.1) as relay,
    ):
        answer = exchange(relay.port, b"POST /v1/plain HTTP/1.1\r\nhost: x\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"x-shalt-error: head_too_slow\r\n" in answer
        with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client:
            # In one piece: however busy the machine is, the head has no second part to be late.
            head = b"POST /v1/chunked HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            client.sendall(head + b"content-length: 2\r\n\r\n{")
            time.sleep(0.15)  # a body may take longer
            client.sendall(b"}GET /v1/plain HTTP/1.1\r\n")
            received = b""
            while data := client.recv(65536):
                received += data
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.endswith(b"0\r\n\r\n")


def test_plain_calls_go_directly_and_others_by_the_application(tmp_path: Path) -> None:
    plain = [
        b"GET /v1/plain HTTP/1.1\r\n\r\n",
        b"HEAD /v1/plain?a=1#b HTTP/1.1\r\n\r\n",
        b"POST /v1/plain HTTP/1.1\r\nupgrade: h2c\r\nconnection: upgrade\r\n"
        b"content-length: 2\r\n\r\n{}",
        b"POST /v1/upload HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /u/none/x HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    ]
    others = [
        b"GET /v1/old HTTP/1.0\r\n\r\n",
        b"PUT /v1/expecting HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
        b"GET /v1/socket HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ]
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        for sent in plain + others:
            head = sent.replace(b"\r\n", b"\r\nhost: x\r\nconnection: close\r\n", 1)
            assert exchange(relay.port, head).startswith(b"HTTP/1.1 ")
        assert relay.by_application == [b"/v1/old", b"/v1/expecting", b"/v1/socket"]
        assert len(relay.calls(8)) == 8


def test_a_request_behind_a_direct_one_is_the_applications(tmp_path: Path) -> None:
    first = b"GET /v1/plain HTTP/1.1\r\nhost: x\r\n\r\n"
    second = b"GET /v1/chunked HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        assert exchange(relay.port, first + second).endswith(b"hello \r\n5\r\nworld\r\n0\r\n\r\n")
        assert relay.by_application == [b"/v1/chunked"]


@pytest.mark.parametrize(
    "padding",
    [b"2;" + b"a" * 1000, b"2\r\n{}\r\n" + b"0" * 1000, b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 160],
    ids=["extension", "size", "trailers"],
)
def test_what_is_sent_beside_a_body_has_the_limit_of_a_head(tmp_path: Path, padding: bytes) -> None:
    head = b"POST /v1/upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    more = padding[-960:]
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], header_bytes_max=8000) as relay,
    ):
        answer = answer_to(relay.port, [head, padding] + [more] * 100)
        assert (answer.status, answer.header("x-shalt-error")) == (431, "head_too_long")
        assert relay.calls(1)[0].outcome is Outcome.CLIENT_GONE
        assert refusals(relay, "head_too_long") == 1


def test_empty_lines_between_requests_have_an_end(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], header_bytes_max=8000) as relay,
    ):
        answer = answer_to(relay.port, [b"\r\n" * 1000] * 20)
        assert answer.status == 431
        few = b"\r\n" * 10 + SIZED % (2, b"{}")
        last = few.replace(b"host: x", b"host: x\r\nconnection: close")
        assert exchange(relay.port, few * 2 + last).count(b"HTTP/1.1 200") == 3


def test_extensions_and_many_small_chunks_pass(tmp_path: Path) -> None:
    chunks = b'2;a="b"\r\n{}\r\n' * 5000
    head = b"POST /v1/upload HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += b"transfer-encoding: chunked\r\n\r\n"
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], header_bytes_max=8000) as relay,
    ):
        answer = answer_to(relay.port, [head, chunks, b"0\r\n\r\n"])
        assert answer.body.startswith(b"10000 ")
