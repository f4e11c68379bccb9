"""Hostile upstreams and hostile clients: what the matrix of faults (test_faults) does not have.

An upstream that means harm is seen as it would be without shalt, or as our 502; it takes no more of
a worker than its limits, and never reaches the next call. Every call is one record.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.connection import HEAD_BYTES_MAX
from storage.capture import Capture, Outcome
from tests.client import request
from tests.relaying import running_relay, upstream_at, wait_until
from tests.threads import running_loop

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"content-length: 2\r\n\r\nok"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
ASK = b"POST /u/%b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
LONG = 4 * HEAD_BYTES_MAX
ENDS = (b"\r\n\r\nok", b"0\r\n\r\n", b"}}")  # of whole answers


@dataclass(frozen=True)
class Case:
    """What an upstream sends, and what comes of it: outcome, and what the client gets.

    `again`: it sends that again and again, with a pause between.
    """

    sent: bytes
    outcome: Outcome
    got: bytes = b""
    status: int = 200
    again: bytes = b""
    pause_seconds: float = 0.0


CASES = {
    "interim_100": Case(INTERIM * 100 + SIZED, Outcome.COMPLETE, b"ok"),
    "interim_endless": Case(b"", Outcome.UPSTREAM_ERROR, status=502, again=INTERIM * 100),
    "interim_slow": Case(
        b"", Outcome.UPSTREAM_TIMEOUT, status=504, again=INTERIM, pause_seconds=0.1
    ),
    "head_dripping": Case(
        OK, Outcome.UPSTREAM_TIMEOUT, status=504, again=b"x", pause_seconds=0.05
    ),
    "header_long": Case(
        OK + b"x: " + b"y" * LONG + b"\r\n\r\n", Outcome.UPSTREAM_ERROR, status=502
    ),
    "headers_many": Case(OK + b"a: b\r\n" * 200_000, Outcome.UPSTREAM_ERROR, status=502),
    "header_folded": Case(
        OK + b"x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok", Outcome.UPSTREAM_ERROR, status=502
    ),
    "header_name_odd": Case(
        OK + b"x a: 1\r\ncontent-length: 2\r\n\r\nok", Outcome.UPSTREAM_ERROR, status=502
    ),
    "header_zero": Case(
        OK + b"x-a: \0\r\ncontent-length: 2\r\n\r\nok", Outcome.UPSTREAM_ERROR, status=502
    ),
    "header_return": Case(
        OK + b"x-a: 1\rset-cookie: 2\r\ncontent-length: 2\r\n\r\nok",
        Outcome.UPSTREAM_ERROR, status=502,
    ),
    "two_lengths": Case(
        OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nokk",
        Outcome.UPSTREAM_ERROR, status=502,
    ),
    "length_and_chunks": Case(
        OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Outcome.UPSTREAM_ERROR, status=502,
    ),
    "length_of_20_digits": Case(
        OK + b"content-length: 99999999999999999999\r\n\r\nok", Outcome.UPSTREAM_ERROR, status=502
    ),
    "trailers": Case(
        CHUNKED + b"2\r\nok\r\n0\r\nx-shalt-call-id: 1\r\nset-cookie: a\r\n\r\n",
        Outcome.COMPLETE, b"ok",
    ),
    "trailers_bad": Case(
        CHUNKED + b"2\r\nok\r\n0\r\nbad name: 1\r\n\r\n", Outcome.UPSTREAM_ERROR, b"ok"
    ),
    "trailers_endless": Case(
        CHUNKED + b"2\r\nok\r\n0\r\n", Outcome.UPSTREAM_ERROR, b"ok", again=b"a: b\r\n" * 1000
    ),
    "chunk_extensions": Case(
        CHUNKED + b'2;a=b;c="d"\r\nok\r\n0;x\r\n\r\n', Outcome.COMPLETE, b"ok"
    ),
    "chunk_extension_endless": Case(
        CHUNKED + b"2;", Outcome.UPSTREAM_ERROR, again=b"a" * 10_000
    ),
    "chunk_size_long": Case(CHUNKED + b"f" * 17 + b"\r\nok", Outcome.UPSTREAM_ERROR),
    "chunk_size_padded": Case(CHUNKED, Outcome.UPSTREAM_ERROR, again=b"0" * 10_000),
    "two_answers": Case(SIZED + SIZED.replace(b"ok", b"no"), Outcome.COMPLETE, b"ok"),
    "body_of_204": Case(
        b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nno", Outcome.COMPLETE, status=204
    ),
    "switch_unasked": Case(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nno",
        Outcome.UPSTREAM_ERROR, status=502,
    ),
    "http_2": Case(b"HTTP/2 200 OK\r\n\r\n", Outcome.UPSTREAM_ERROR, status=502),
}  # fmt: skip


@dataclass
class Hostile:
    """An upstream that does what the path names; and what it saw."""

    port: int = 0
    names: list[str] = field(default_factory=list)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    open_count: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Attack whoever connects, until it leaves; after a harmless answer, serve on."""
        self.open_count += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n{}")
                name = head.split(b" ")[1].decode().removeprefix("/")
                self.names.append(name)
                case = CASES[name]
                await self.send(name, writer, case.sent)
                while case.again:
                    await self.send(name, writer, case.again)
                    await asyncio.sleep(case.pause_seconds)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_count -= 1
            writer.close()

    async def send(self, name: str, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send, and count what the other side took."""
        writer.write(data)
        await writer.drain()
        self.sent_bytes[name] += len(data)


@contextmanager
def running_hostile() -> Iterator[Hostile]:
    """Run the upstream in a thread of its own."""
    seen = Hostile()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(seen.serve, "127.0.0.1")
        seen.port = server.sockets[0].getsockname()[1]
        return server

    with running_loop(start):
        yield seen


async def attacked(port: int, name: str) -> bytes:
    """Make a call and return all that comes of it, to its end or to where it tells enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    slow = CASES[name].outcome is Outcome.UPSTREAM_TIMEOUT
    writer.write(ASK % f"{'hurried' if slow else 'openai'}/{name}".encode())
    data = b""
    try:
        async with asyncio.timeout(60):
            while piece := await reader.read(65536):
                data += piece
                if data.endswith(ENDS) or CASES[name].status == 204:
                    break
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    return data


@dataclass
class Ran:
    """What the clients got, what was recorded, and what the upstream saw."""

    got: dict[str, bytes]
    calls: dict[str, Capture]
    upstream: Hostile


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Make all calls at once; then see that the connections are gone or idle, and answer right."""
    folder = tmp_path_factory.mktemp("spool")
    with running_hostile() as upstream:
        hostile = upstream_at(upstream.port, base_path=b"")
        hurried = upstream_at(upstream.port, "hurried", base_path=b"", first_byte_seconds=1.0)
        with running_relay(folder, [hostile, hurried]) as relay:

            async def run() -> list[bytes]:
                return await asyncio.gather(*(attacked(relay.port, name) for name in CASES))

            got = dict(zip(CASES, asyncio.run(run()), strict=True))
            calls = relay.calls(len(CASES))
            wait_until(lambda: relay.recording.open_count == 0)
            pools = hostile.pool, hurried.pool
            wait_until(lambda: [pool.busy_count for pool in pools] == [0, 0])
            wait_until(lambda: upstream.open_count == sum(pool.idle_count for pool in pools))
            for _ in range(3):
                assert request(relay.port, "/v1/interim_100").body == b"ok"
    by_name = {call.target.rpartition("/")[2]: call for call in calls}
    return Ran(got, by_name, upstream)


@pytest.mark.parametrize("name", CASES)
def test_an_attack_of_an_upstream_is_a_call_like_any(ran: Ran, name: str) -> None:
    case, got, call = CASES[name], ran.got[name], ran.calls[name]
    head, _, body = got.partition(b"\r\n\r\n")
    assert (call.outcome, call.status_code) == (case.outcome, case.status)
    assert head.startswith(b"HTTP/1.1 %d " % case.status)
    assert call.id.encode() in head
    assert (b"x-shalt-error" in head) is (case.status >= 500)
    if case.status < 500:
        assert call.response_body.data == case.got
        assert body.replace(b"2\r\nok\r\n", b"ok").removesuffix(b"0\r\n\r\n") == case.got
        cut = case.outcome is not Outcome.COMPLETE
        assert cut is not got.endswith(ENDS) or case.status == 204


def test_no_upstream_makes_a_worker_read_on_and_on(ran: Ran) -> None:
    for name, case in CASES.items():
        if case.again:
            # What it sent beyond that was in the buffers of the sockets.
            assert ran.upstream.sent_bytes[name] < HEAD_BYTES_MAX + 16 * 2**20, name
    assert sorted({*ran.upstream.names}) == sorted(CASES)


def test_an_answer_that_nobody_has_asked_for_reaches_no_call(tmp_path: Path) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SIZED)
        await reader.read(65536)
        writer.close()

    ports: list[int] = []

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(speak, "127.0.0.1")
        ports.append(server.sockets[0].getsockname()[1])
        return server

    with running_loop(start), running_relay(tmp_path, [upstream_at(ports[0])]) as relay:
        for _ in range(5):  # whichever is first: the answer, or the request
            answer = request(relay.port, "/v1/x")
            assert (answer.status, answer.body) == (200, b"ok") or answer.status == 502
        outcomes = {call.outcome for call in relay.calls(5)}
        assert outcomes <= {Outcome.COMPLETE, Outcome.UPSTREAM_UNREACHABLE}
