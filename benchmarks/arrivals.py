"""What shalt adds to calls that arrive as real ones do, beside nginx in the same run.

    python -m benchmarks.arrivals [--rate 1500] [--seconds 20] [--rounds 3] [--shared ../shared]

The arrival times are those of Azure's public trace of 2023, sped up to `--rate` calls a second on
average: bursts stay bursts. A call carries as many tokens of prompt as the trace says (4
characters each, at most PROMPT_CHARS_MAX), the upstream answers after 20 ms. Latency counts from
the time at which a call was due, so one that waits for another is counted as waiting.

Proxies run on core 0, this process and the upstream on core 1. Half of what one core of shalt can
serve (recorder and console on the same core) is about 1,800 calls a second.
"""

import argparse
import asyncio
import csv
import json
import os
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import uvloop

from benchmarks.gateways import LIMIT, Peer, listed, running_mock, started
from benchmarks.relay_cost import SHALT_PORT, settle

TRACE: Final = "azure_llm_arrivals_2023.csv"
MODEL: Final = "mock-d20"
PROMPT_CHARS_MAX: Final = 16_000
CONNECTIONS_MAX: Final = 512  # beyond it a call waits for a connection, and that is counted


class Connection(asyncio.Protocol):
    """One kept connection, one call at a time; answers have a content-length."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type

    def call(self, request: bytes) -> "asyncio.Future[int]":
        """Send a request; the future is the status of the whole answer."""
        self._received = b""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._answered is None or self._answered.done():
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self._answered.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(0)


def main() -> None:
    """Send the trace to each in turn, and print latencies and what lies above nginx's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=1_500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    given = parser.parse_args()
    shared = given.shared.resolve()
    schedule = arrivals(shared / "data" / "datasets" / TRACE, given.rate, given.seconds)
    os.sched_setaffinity(0, {1})
    found: dict[str, list[list[float]]] = {}
    with running_mock(shared) as (work, bench), ExitStack() as stack:
        peers = listed(("direct", LIMIT, "shalt"), bench, work, work)
        for peer in peers:
            stack.enter_context(started(peer, None, work))
        for _ in range(given.rounds):
            for peer in peers:
                found.setdefault(peer.name, []).append(uvloop.run(send(peer, schedule)))
                if peer.name == "shalt":
                    settle(SHALT_PORT)
    print(f"{len(schedule):,} calls in {given.seconds:g} s, {given.rounds} rounds, ms")
    print(f"{'':10}{'p50':>8}{'p99':>8}{'p50 above nginx':>17}{'p99 above nginx':>17}")
    limit = {share: median_of(found[LIMIT], share) for share in (0.5, 0.99)}
    for name, rounds in found.items():
        p50, p99 = median_of(rounds, 0.5), median_of(rounds, 0.99)
        print(f"{name:10}{p50:8.2f}{p99:8.2f}{p50 - limit[0.5]:17.2f}{p99 - limit[0.99]:17.2f}")


def arrivals(path: Path, rate: float, seconds: float) -> list[tuple[float, bytes]]:
    """Read when each call is due, in seconds from the first, and its body."""
    with path.open(newline="") as file:
        rows = [
            (datetime.fromisoformat(row["timestamp"][:26]), int(row["context_tokens"]))
            for row in csv.DictReader(file)
        ]
    rows.sort()
    first, last = rows[0][0], rows[-1][0]
    faster = rate * (last - first).total_seconds() / len(rows)
    due: list[tuple[float, bytes]] = []
    cycle = 0.0
    while True:  # the trace again, where it is shorter than the time asked for
        for at, tokens in rows:
            offset = cycle + (at - first).total_seconds() / faster
            if offset >= seconds:
                return due
            due.append((offset, body_of(tokens)))
        cycle += (last - first).total_seconds() / faster


def body_of(tokens: int) -> bytes:
    """Write a chat request of about so many tokens."""
    content = ("word " * tokens)[: min(4 * tokens, PROMPT_CHARS_MAX)]
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}]}).encode()


async def send(peer: Peer, schedule: Sequence[tuple[float, bytes]]) -> list[float]:
    """Send each call when it is due; return the latencies in milliseconds, sorted."""
    host, _, path = peer.address().removeprefix("http://").partition("/")
    head = f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    loop = asyncio.get_running_loop()
    idle: list[Connection] = []
    room = asyncio.Semaphore(CONNECTIONS_MAX)
    latencies: list[float] = []
    begun = loop.time()

    async def call(due: float, body: bytes) -> None:
        async with room:
            connection = idle.pop() if idle else await connect(host)
            request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            status = await connection.call(request)
            assert status == 200, f"{peer.name} answered {status}"
            latencies.append((loop.time() - begun - due) * 1e3)
            idle.append(connection)

    async with asyncio.TaskGroup() as calls:
        for due, body in schedule:
            if (wait := begun + due - loop.time()) > 0:
                await asyncio.sleep(wait)
            calls.create_task(call(due, body))
    return sorted(latencies)


async def connect(host: str) -> Connection:
    """Open a connection."""
    name, _, port = host.partition(":")
    _, connection = await asyncio.get_running_loop().create_connection(Connection, name, int(port))
    return connection


def median_of(rounds: Sequence[Sequence[float]], share: float) -> float:
    """The median over rounds of a percentile of each."""
    return statistics.median(found[int(len(found) * share)] for found in rounds)


if __name__ == "__main__":
    main()
