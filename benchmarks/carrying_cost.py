"""What carrying and recording a call costs a worker in Python, sockets left out.

    python -m benchmarks.carrying_cost [--rounds 3] [--turns 60]

64 calls at once, between transports that take all that is written and bring what the benchmark puts
in: so it is CPU time of our own code, uvicorn's and the parsers', and no system call but the write
of the spool, which a busy machine blurs little. `direct` is proxy.direct, `application` the same
call by proxy.relay and uvicorn's cycle; each recorded, and with `x-shalt-record: none`. A call is a
request of 1 KB with 13 headers and an answer of 1.3 KB, or a stream of 64 chunks of 200 bytes.

Each turn is 64 calls one way and then the other; figures are their 5th percentile, in microseconds
a call: what else the machine does only adds. The limits are of workers with sockets:
benchmarks.gateways, benchmarks.worker_limits.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from proxy.connection import Connection
from proxy.dialling import Address
from proxy.protocol import ClientLimits
from proxy.relay import Receive, Relay, Scope, Send
from proxy.upstream import UpstreamPool
from shalt.worker import server_config
from tests.relaying import gate_to, recording_at, upstream_at

CALLS: Final = 64  # at once
CHUNKS: Final = 64
_HEADERS: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8400\r\n"
    b"Content-Type: application/json\r\nAccept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    b"User-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\n"
    b"X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nAuthorization: Bearer sk-mock\r\n"
    b"X-Stainless-Async: false\r\n"
)
_ANSWER_HEADERS: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nopenai-processing-ms: 312\r\n"
    b"x-request-id: req_0123\r\nopenai-version: 2020-10-01\r\nserver: mock\r\n"
)
_CHUNK: Final = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"word " * 28)


class Sink(asyncio.Transport):
    """A transport that takes all that is written and keeps nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it."""

    def writelines(self, list_of_data: object) -> None:
        """Take them."""

    def is_closing(self) -> bool:
        """It never does."""
        return False

    def pause_reading(self) -> None:
        """There is nothing to read."""

    def resume_reading(self) -> None:
        """There is nothing to read."""


class Connected(UpstreamPool):
    """A pool of connections that are there from the start; `taken` are those that serve a call."""

    def __init__(self, connections: list[Connection]) -> None:
        super().__init__(Address("127.0.0.1", 1), connections_max=CALLS)
        self.idle = connections
        self.taken: list[Connection] = []

    def take_idle(self) -> Connection | None:
        """Take one."""
        connection = self.idle.pop()
        self.taken.append(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Take it back."""
        connection.rest()
        self.idle.append(connection)


Carrier = Literal["direct", "application"]


@dataclass(frozen=True)
class Way:
    """How calls are carried and recorded."""

    carrier: Carrier
    record: Literal["full", "none"]


@dataclass(frozen=True)
class Bench:
    """Clients and connections that are there."""

    clients: list[HttpToolsProtocol]
    pool: Connected


@contextlib.asynccontextmanager
async def running(way: Way, folder: Path) -> AsyncIterator[Bench]:
    """Make a worker's relay, its clients and its upstream."""
    loop = asyncio.get_running_loop()
    recording = recording_at(folder)
    connections = [Connection(loop) for _ in range(CALLS)]
    for connection in connections:
        connection.connection_made(Sink())
    pool = Connected(connections)
    upstream = upstream_at(1, pool=pool)
    async with asyncio.TaskGroup() as tasks:
        gate = gate_to([upstream], recording, tasks)
        relay = Relay(gate)

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await relay(scope, receive, send)

        limits = ClientLimits(64 * 1024, 1000, lambda _: None)
        config = server_config(
            application, 1, limits, lambda _: gate if way.carrier == "direct" else None
        )
        config.load()
        yield Bench([_connected(config) for _ in range(CALLS)], pool)
    recording.close()


def _connected(config: uvicorn.Config) -> HttpToolsProtocol:
    protocol = config.http_protocol_class(config, ServerState(), {})  # type: ignore[call-arg]
    assert isinstance(protocol, HttpToolsProtocol)
    protocol.connection_made(Sink())
    return protocol


def _request(record: str, size: int) -> bytes:
    said = b"x-shalt-record: none\r\n" if record == "none" else b""
    content = b"Summarise what the team decided about the release, with owners and risks. "
    body = b'{"model":"mock","messages":[{"role":"user","content":"%b"}]}' % (
        content * (size // len(content))
    )
    return _HEADERS + said + b"content-length: %d\r\n\r\n" % len(body) + body


async def cost_us(bench: Bench, record: str, pieces: list[bytes], turns: int) -> float:
    """CPU of a call whose answer comes in these pieces."""
    request = _request(record, 1000)
    began = time.process_time()
    for _ in range(turns):
        for client in bench.clients:
            client.data_received(request)
        while len(bench.pool.taken) < CALLS:
            await asyncio.sleep(0)
        taken, bench.pool.taken = bench.pool.taken, []
        for piece in pieces:
            for connection in taken:
                connection.data_received(piece)
            await asyncio.sleep(0)
        while len(bench.pool.idle) < CALLS:
            await asyncio.sleep(0)
    return (time.process_time() - began) / turns / CALLS * 1e6


def plain_answer() -> list[bytes]:
    """An answer of 1.3 KB in one piece."""
    body = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"%b"}}]}' % (b"word " * 240)
    head = _ANSWER_HEADERS % b"application/json" + b"content-length: %d\r\n\r\n" % len(body)
    return [head + body]


def streamed_answer() -> list[bytes]:
    """A stream in pieces, its head first."""
    head = _ANSWER_HEADERS % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(_CHUNK), _CHUNK)
    return [head, *[chunk] * CHUNKS, b"0\r\n\r\n"]


async def measure(rounds: int, turns: int, folder: Path) -> None:
    """Print what each way costs."""
    found: dict[tuple[str, Way], list[float]] = {}
    carriers: tuple[Carrier, ...] = ("application", "direct")
    for number in range(rounds):
        for carrier in carriers:
            ways = Way(carrier, "none"), Way(carrier, "full")
            async with running(ways[0], folder / f"{carrier}-{number}") as bench:
                for _ in range(turns):
                    for name, pieces in (
                        ("1 KB", plain_answer()),
                        ("64 chunks", streamed_answer()),
                    ):
                        for way in ways:
                            spent = await cost_us(bench, way.record, pieces, 1)
                            found.setdefault((name, way), []).append(spent)
    least = {key: statistics.quantiles(values, n=20)[0] for key, values in found.items()}
    for name in ("1 KB", "64 chunks"):
        for carrier in carriers:
            none, full = (least[name, Way(carrier, record)] for record in ("none", "full"))
            print(
                f"{name:10} {carrier:12} not recorded {none:7.1f} us  recorded {full:7.1f} us",
                end="",
            )
            print(f"  recording adds {full - none:6.1f} us")


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(measure(given.rounds, given.turns, Path(folder)))


if __name__ == "__main__":
    main()
