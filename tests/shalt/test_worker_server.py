"""Tests of shalt.worker_server: a server that retires, with real connections."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.protocol import ClientLimits, ClientProtocol
from proxy.relay import Receive, Scope, Send
from shalt.worker import server_config
from shalt.worker_server import WorkerServer
from tests.relaying import wait_until


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the time the client names, in pieces."""
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    while scope["path"] == "/slow" and not release.is_set():
        message = await receive()
        if message["type"] == "http.disconnect":
            return
    await send({"type": "http.response.body", "body": b"ok"})


release = threading.Event()


@contextmanager
def running(retire_seconds: float) -> Iterator[tuple[WorkerServer, int, threading.Thread]]:
    config = server_config(answer, 1, ClientLimits(4096, 10, print), lambda _: None)
    protocol = config.http
    assert isinstance(protocol, type)
    assert issubclass(protocol, ClientProtocol)
    ready = threading.Event()
    server = WorkerServer(
        config,
        protocol,
        retire_seconds=retire_seconds,
        shutdown_seconds=0.1,
        ready=ready.set,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.dup()]})
        thread.start()
        assert ready.wait(60)
        yield server, listener.getsockname()[1], thread
        server.should_exit = True
        thread.join()


def asked(connection: http.client.HTTPConnection, path: str = "/") -> http.client.HTTPResponse:
    connection.request("GET", path)
    return connection.getresponse()


def test_a_kept_connection_is_told_with_an_answer_that_it_ends() -> None:
    with running(retire_seconds=600) as (server, port, thread):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        first = asked(connection)
        assert first.read() == b"ok"
        assert first.headers["connection"] is None
        server.ask_to_retire()
        wait_until(lambda: server.servers and not server.servers[0].is_serving())
        last = asked(connection)
        assert last.read() == b"ok"
        assert last.headers["connection"] == "close"
        thread.join(60)
        assert not thread.is_alive(), "with the last connection it is over"
        connection.close()


def test_what_is_open_at_the_end_of_the_time_is_ended() -> None:
    with running(retire_seconds=0.3) as (server, port, thread):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        open_one = asked(connection, "/slow")
        started = time.monotonic()
        server.ask_to_retire()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            open_one.read()
        thread.join(60)
        assert not thread.is_alive()
        assert time.monotonic() - started > 0.2
        connection.close()
