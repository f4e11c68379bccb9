"""Tests of proxy.direct: what is its own. Whole calls are in tests/proxy/test_relay.py."""

import contextlib
import gc
import re
import socket
from pathlib import Path

import pytest

from proxy.passage import Passage
from proxy.routes import Upstream
from storage.capture import Outcome
from tests.client import exchange, request, send_and_leave
from tests.relaying import running_relay, upstream_at, wait_until
from tests.upstream import EVENTS, running_upstream

PATHS = [
    "plain", "chunked", "stream", "old", "empty", "unchanged", "early", "odd", "posing", "gzip",
    "cut", "cut-chunk", "garbage", "silent", "zero", "refuse",
]  # fmt: skip


@pytest.mark.parametrize("closes", [b"close", b"keep-alive, x-own"])
def test_a_client_reads_the_same_bytes_however_a_call_is_carried(
    tmp_path: Path, closes: bytes
) -> None:
    def answers(direct: bool) -> list[bytes]:
        with running_relay(
            tmp_path / str(direct), [upstream_at(upstream.port)], direct=direct
        ) as relay:
            found = []
            for method in (b"POST", b"HEAD"):
                for path in PATHS:
                    head = b"%b /v1/%b HTTP/1.1\r\nhost: x\r\nx-own: 1\r\nconnection: %b\r\n"
                    sent = head % (method, path.encode(), closes) + b"content-length: 2\r\n\r\n{}"
                    last = b"GET /v1/plain HTTP/1.0\r\n\r\n"  # after which all connections close
                    received = exchange(relay.port, sent if closes == b"close" else sent + last)
                    found.append(re.sub(rb"call-id: [0-9a-f]{32}", b"call-id: ", received))
            assert bool(relay.by_application) is not direct or closes != b"close"
            return found

    with running_upstream() as upstream:
        assert answers(True) == answers(False)


def test_a_client_that_closes_its_side_is_taken_for_gone(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_relay(tmp_path, [upstream_at(silent.getsockname()[1])]) as relay,
        send_and_leave(relay.port, "/v1/x") as client,
    ):
        upstream, _ = silent.accept()
        upstream.settimeout(60)
        client.shutdown(socket.SHUT_WR)
        with upstream:
            while upstream.recv(1000):  # until the call there is cancelled, too
                pass
        assert client.recv(1000) == b""
        assert relay.calls(1)[0].outcome is Outcome.CLIENT_GONE


def test_a_client_is_not_read_while_the_upstream_does_not_read(tmp_path: Path) -> None:
    head = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % 2**30
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        # Who is not read is not seen to leave: the time-out ends the call.
        running_relay(
            tmp_path, [upstream_at(deaf.getsockname()[1], first_byte_seconds=1.0)]
        ) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=0.3) as client,
    ):
        client.sendall(head)
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionError):  # whether it is over by now or not
            while sent < 2**26:
                sent += client.send(bytes(2**20))
        assert sent < 2**26  # what the kernel's buffers take, which is up to 6 MiB each
        assert relay.by_application == []


def test_an_upstream_is_not_read_while_the_client_does_not_read(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running_relay(tmp_path, [upstream_at(server.getsockname()[1])]) as relay,
        send_and_leave(relay.port, "/v1/x"),
    ):
        connection, _ = server.accept()
        with connection, contextlib.suppress(TimeoutError):
            assert connection.recv(1000).startswith(b"POST ")
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % 2**30)
            connection.settimeout(0.3)
            sent = 0
            while sent < 2**26:
                sent += connection.send(bytes(2**20))
        assert sent < 2**26
        assert relay.recording.open_count == 1


def test_a_call_under_way_at_the_end_is_told_so_and_recorded(tmp_path: Path) -> None:
    with running_upstream() as upstream, contextlib.ExitStack() as clients:
        with running_relay(tmp_path, [upstream_at(upstream.port)]) as relay:
            waiting = clients.enter_context(send_and_leave(relay.port, "/v1/hang"))
            begun = clients.enter_context(send_and_leave(relay.port, "/v1/slow"))
            wait_until(lambda: len(upstream.heads) == 2)
            assert begun.recv(1000).startswith(b"HTTP/1.1 200 ")
        said = waiting.recv(65536)
        assert said.startswith(b"HTTP/1.1 500 ")
        assert b"shalt_fault" in said
        assert {call.outcome for call in relay.calls(2)} == {Outcome.INTERRUPTED}


def faulty(upstream: Upstream, field: str) -> Upstream:
    """Break an upstream's settings, so that whoever uses that one fails."""
    object.__setattr__(upstream, field, "not a number")
    return upstream


@pytest.mark.parametrize(
    ("field", "status"),
    [("connect_seconds", 500), ("first_byte_seconds", 500), ("idle_seconds", 200)],
)
def test_a_fault_of_ours_costs_one_call(tmp_path: Path, field: str, status: int) -> None:
    with running_upstream() as upstream:
        upstreams = [upstream_at(upstream.port), faulty(upstream_at(upstream.port, "odd"), field)]
        with running_relay(tmp_path, upstreams) as relay:
            answer = request(relay.port, "/u/odd/chunked")
            assert (answer.status, answer.whole) == (status, status == 500)
            call = relay.calls(1)[0]
            assert (call.outcome, call.error) == (Outcome.INTERRUPTED, "a fault in shalt")
            assert request(relay.port, "/v1/plain").status == 200
            assert upstreams[1].pool.busy_count == 0


def test_a_client_that_leaves_while_we_connect_is_one_record(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        taken = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]
        with running_relay(tmp_path, [upstream_at(port)]) as relay:
            clients = [send_and_leave(relay.port, "/v1/x") for _ in range(4)]
            wait_until(lambda: relay.recording.open_count == 4)
            for client in clients:
                client.close()
            assert {call.outcome for call in relay.calls(4)} == {Outcome.CLIENT_GONE}
        for each in taken:
            each.close()


def test_an_event_is_passed_on_before_the_next_one_comes(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        with send_and_leave(relay.port, "/v1/slow") as client:
            received = b""
            while received.count(EVENTS[0]) < 3:  # it never ends: whoever waits for that gets none
                received += client.recv(65536)
        assert relay.by_application == []


def test_nothing_of_a_call_waits_for_the_garbage_collector(tmp_path: Path) -> None:
    def count() -> int:
        return sum(isinstance(each, Passage) for each in gc.get_objects())

    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        request(relay.port, "/v1/plain")
        gc.collect()
        gc.disable()
        try:
            for path in ("plain", "stream", "cut", "silent", "stale", "stale"):
                request(relay.port, f"/v1/{path}")
            # The relay's thread may still be in the last one's end.
            wait_until(lambda: count() == 0, every_seconds=0.05)
            assert relay.recording.open_count == 0
        finally:
            gc.enable()
