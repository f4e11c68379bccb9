"""Every fault of an upstream, streamed or not, with clients that wait and clients that leave.

What the client sees is what it would have seen without shalt, or our envelope where there is
nothing to see; every call is one record with the right outcome; nothing is left behind.
"""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import httptools
import pytest

from proxy.dialling import Address
from proxy.upstream import UpstreamPool
from storage.capture import Capture, Outcome
from tests.faults import POURED, FaultyUpstream, running_faults
from tests.ports import refusing_port
from tests.relaying import RunningRelay, running_relay, upstream_at, wait_until

# What comes of it where the client waits, and the code of our envelope where there is one.
FAULTS = {
    "no_name": (Outcome.UPSTREAM_UNREACHABLE, "upstream_unreachable"),
    "nobody": (Outcome.UPSTREAM_UNREACHABLE, "upstream_unreachable"),
    "no_tls": (Outcome.UPSTREAM_UNREACHABLE, "upstream_unreachable"),
    "no_first_byte": (Outcome.UPSTREAM_TIMEOUT, "upstream_timeout"),
    "stall": (Outcome.UPSTREAM_TIMEOUT, ""),
    "reset_in_head": (Outcome.UPSTREAM_CUT, "upstream_cut"),
    "reset": (Outcome.UPSTREAM_CUT, ""),
    "cut_chunk": (Outcome.UPSTREAM_CUT, ""),
    "early": (Outcome.UPSTREAM_ERROR, ""),
    "hang_up": (Outcome.UPSTREAM_UNREACHABLE, "upstream_unreachable"),
    "garbage": (Outcome.UPSTREAM_ERROR, "upstream_not_http"),
    "page": (Outcome.UPSTREAM_ERROR, ""),
    "limited": (Outcome.UPSTREAM_ERROR, ""),
    "unframed": (Outcome.COMPLETE, ""),
}
ELSEWHERE = ("no_name", "nobody", "no_tls")  # upstreams of their own: nobody answers there
# The time-outs that are to pass are short, and no others: on a busy machine all takes long. Who
# leaves, leaves an upstream that is waited for.
SECONDS = {
    "faulty": {},
    "hurried": {"first_byte_seconds": 1.0},
    "restless": {"idle_seconds": 1.0},
    **dict.fromkeys(ELSEWHERE, {}),
}
PIECE, POURED_PIECES = b" " * 20_000, 20
CELLS = list(product(FAULTS, ("stream", "whole"), ("waits", "before", "after")))


@dataclass
class Seen:
    """What a client saw of an answer."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False

    def same(self) -> tuple[object, ...]:
        """What must not depend on whether shalt is between."""
        own = (b"connection", b"transfer-encoding")
        passed = [
            (name, value)
            for name, value in self.headers
            if name not in own and not name.startswith(b"x-shalt-")
        ]
        return self.status, passed, self.body, self.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True


def read_answer(received: bytes) -> Seen:
    seen = Seen()
    parser = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(received)
    except httptools.HttpParserError:
        return Seen()  # there is no answer to see
    if b"\r\n\r\n" not in received:
        return Seen()
    seen.status = parser.get_status_code()
    names = [name for name, _ in seen.headers]
    if b"content-length" not in names and b"transfer-encoding" not in names:
        seen.whole = True
    return seen


@dataclass
class Cell:
    """One call: how the upstream fails, and what the client does."""

    fault: str
    framing: str
    client: str

    @property
    def name(self) -> str:
        if self.outcomes == {Outcome.UPSTREAM_TIMEOUT}:
            return "hurried" if self.code else "restless"
        return self.fault if self.fault in ELSEWHERE else "faulty"

    @property
    def path(self) -> str:
        return f"/{self.client}/{self.framing}/{self.fault}"

    @property
    def code(self) -> str:
        return FAULTS[self.fault][1]

    @property
    def outcomes(self) -> set[Outcome]:
        gone, outcome = Outcome.CLIENT_GONE, FAULTS[self.fault][0]
        if self.client == "before":  # where nobody is reached, either may be first
            return {gone, outcome} if self.fault in ELSEWHERE else {gone}
        if self.client == "after" and not self.code:
            return {gone}
        return {outcome}

    async def send(self, port: int, prefix: str, upstream: FaultyUpstream) -> Seen:
        """Make the call and see what comes of it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"stream": true}' if self.framing == "stream" else b"{}"
        more = POURED_PIECES if self.fault in POURED else 0
        length = len(body) + more * len(PIECE)
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % ((prefix + self.path).encode(), length, body)
        )
        received = b""
        pouring = asyncio.create_task(pour(writer, more))
        try:
            async with asyncio.timeout(60):
                if self.client == "before":
                    while self.fault not in ELSEWHERE and self.path not in upstream.paths:
                        await asyncio.sleep(0.01)
                elif self.client == "after":
                    while b"data: " not in received and (piece := await reader.read(65536)):
                        received += piece
                else:
                    while piece := await reader.read(65536):
                        received += piece
        except ConnectionResetError:
            pass
        finally:
            pouring.cancel()
            writer.close()
        return read_answer(received)


async def pour(writer: asyncio.StreamWriter, pieces: int) -> None:
    """Go on sending a body, whatever comes back."""
    for _ in range(pieces):
        writer.write(PIECE)
        await asyncio.sleep(0.01)


@dataclass
class Ran:
    """All cells, run at once: what the clients saw through shalt and directly, what was kept."""

    through: dict[str, Seen]
    direct: dict[str, Seen]
    calls: dict[str, list[Capture]]
    left: set[str]


@pytest.fixture(scope="module", params=[True, False], ids=["direct", "application"])
def ran(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Ran:
    """Run all cells at the same time, to the upstream too, and see that nothing is left of them.

    Once as a worker carries them (proxy.direct), once all by the application (proxy.relay).
    """
    with (
        running_faults() as upstream,
        refusing_port() as nobody,
        socket.create_server(("127.0.0.1", 0)) as no_tls,
    ):
        tls = Address("127.0.0.1", no_tls.getsockname()[1], ssl.create_default_context())
        where = {
            "faulty": Address("127.0.0.1", upstream.port),
            "hurried": Address("127.0.0.1", upstream.port),
            "restless": Address("127.0.0.1", upstream.port),
            "no_name": Address("nowhere.invalid", 443),
            "nobody": Address("127.0.0.1", nobody),
            "no_tls": tls,
        }
        pools = {name: UpstreamPool(each, connections_max=100) for name, each in where.items()}
        upstreams = [
            upstream_at(1, name, pool=pool, base_path=b"", **SECONDS[name])
            for name, pool in pools.items()
        ]
        folder = tmp_path_factory.mktemp("faults")
        with running_relay(folder, upstreams, direct=request.param) as relay:
            before = sockets(), len(asyncio.all_tasks(relay.loop))
            cells = [Cell(*each) for each in CELLS]
            through, direct = asyncio.run(run_both(cells, relay.port, upstream, no_tls))
            calls = relay.calls(len(cells))
            left = set(upstream.left)
            assert len(relay.by_application) == (0 if request.param else len(cells))
            check_nothing_is_left(relay, pools, before)
    by_path: dict[str, list[Capture]] = {}
    for call in calls:
        by_path.setdefault(call.target.removeprefix(f"/u/{call.upstream}"), []).append(call)
    return Ran(through, direct, by_path, left)


async def run_both(
    cells: list[Cell], port: int, upstream: FaultyUpstream, no_tls: socket.socket
) -> tuple[dict[str, Seen], dict[str, Seen]]:
    """Make all calls at once, through shalt, and directly those that wait and reach somebody."""
    waiting = [cell for cell in cells if cell.client == "waits" and cell.fault not in ELSEWHERE]
    server = await asyncio.start_server(lambda _, writer: writer.close(), sock=no_tls)
    through, direct = await asyncio.gather(
        asyncio.gather(*(cell.send(port, f"/u/{cell.name}", upstream) for cell in cells)),
        asyncio.gather(*(cell.send(upstream.port, "", upstream) for cell in waiting)),
    )
    server.close()
    return (
        {cell.path: seen for cell, seen in zip(cells, through, strict=True)},
        {cell.path: seen for cell, seen in zip(waiting, direct, strict=True)},
    )


def sockets() -> int:
    """How many sockets this process has open: clients, shalt and upstreams are all in it."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue  # the one that lists them
    return found


def check_nothing_is_left(
    relay: RunningRelay, pools: dict[str, UpstreamPool], before: tuple[int, int]
) -> None:
    wait_until(lambda: relay.recording.open_count == 0)
    for pool in pools.values():
        wait_until(lambda pool=pool: pool.busy_count == 0)  # type: ignore[misc]
        relay.loop.call_soon_threadsafe(pool.close)
    wait_until(lambda: len(asyncio.all_tasks(relay.loop)) <= before[1])
    wait_until(lambda: sockets() <= before[0] - 1)  # the one of no_tls is closed now


@pytest.mark.parametrize(("fault", "framing", "client"), CELLS)
def test_a_fault_is_seen_as_it_is_and_recorded_once(
    ran: Ran, fault: str, framing: str, client: str
) -> None:
    cell = Cell(fault, framing, client)
    (call,) = ran.calls[cell.path]
    assert call.outcome in cell.outcomes
    seen = ran.through[cell.path]
    if client == "before":
        assert seen.status == 0
        assert fault in ELSEWHERE or cell.path in ran.left
        return
    assert call.status_code == seen.status
    assert cell.code.encode() == dict(seen.headers).get(b"x-shalt-error", b"")
    assert dict(seen.headers)[b"x-shalt-call-id"] == call.id.encode()
    if client == "after" and not cell.code:
        assert cell.path in ran.left  # the upstream was told
        assert call.response_body.data.startswith(f"data: {cell.path}\n\n".encode())
    elif client == "waits" and cell.code:
        assert (seen.status, seen.whole) == (504 if "timeout" in cell.code else 502, True)
        assert fault in ELSEWHERE or ran.direct[cell.path].status == 0
    elif client == "waits":
        assert seen.same() == ran.direct[cell.path].same()
        assert call.response_body.data == seen.body
