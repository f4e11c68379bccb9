"""Tests of proxy.upstream: the pool, against a real upstream."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import uvloop

from proxy.connection import Connection, ResponseHead, UpstreamCut, UpstreamNotHttp
from proxy.dialling import Address
from proxy.egress import UpstreamUnreachable
from proxy.upstream import UpstreamPool
from tests.relaying import wait_until
from tests.upstream import Upstream, running_upstream

GET = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"


def run(scenario: Callable[[UpstreamPool, Upstream], Awaitable[None]], most: int = 10) -> None:
    """Run a scenario with a pool to a fake upstream."""

    async def with_pool(upstream: Upstream) -> None:
        pool = UpstreamPool(Address("127.0.0.1", upstream.port), connections_max=most)
        async with asyncio.timeout(60):
            await scenario(pool, upstream)
        pool.close()

    with running_upstream() as upstream:
        asyncio.run(with_pool(upstream))


async def whole_answer(connection: Connection) -> tuple[ResponseHead, bytes]:
    head = await connection.head()
    data = b""
    while piece := await connection.read():
        data += piece
    return head, data


async def call(pool: UpstreamPool, path: bytes) -> bytes:
    connection = await pool.acquire()
    connection.start(GET % path, bodyless=False)
    _, data = await whole_answer(connection)
    pool.release(connection)
    return data


def test_calls_one_after_the_other_share_a_connection() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        for _ in range(5):
            assert await call(pool, b"plain") == b'{"object": "plain"}'
        assert upstream.connection_count == 1

    run(scenario)


def test_no_more_connections_than_allowed_and_everyone_gets_a_turn() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        answers = await asyncio.gather(*(call(pool, b"chunked") for _ in range(20)))
        assert answers == [b"hello world"] * 20
        assert upstream.connection_count <= 3

    run(scenario, most=3)


def test_who_is_cancelled_while_waiting_takes_nobodys_turn() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        held = await pool.acquire()
        async with asyncio.TaskGroup() as tasks:
            impatient = tasks.create_task(pool.acquire())
            patient = tasks.create_task(call(pool, b"plain"))
            await asyncio.sleep(0.01)
            impatient.cancel()
            pool.discard(held)
        assert patient.result() == b'{"object": "plain"}'

    run(scenario, most=1)


def test_a_connection_that_is_cut_is_not_used_again() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        connection = await pool.acquire()
        connection.start(GET % b"cut", bodyless=False)
        with pytest.raises(UpstreamCut) as cut:
            await whole_answer(connection)
        assert not cut.value.before_first_byte
        pool.release(connection)
        assert await call(pool, b"plain") == b'{"object": "plain"}'
        assert upstream.connection_count == 2

    run(scenario)


def test_an_upstream_that_says_nothing_is_told_from_one_that_breaks_off() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        connection = await pool.acquire()
        connection.start(GET % b"silent", bodyless=False)
        with pytest.raises(UpstreamCut) as cut:
            await connection.head()
        assert cut.value.before_first_byte
        pool.release(connection)

    run(scenario)


def test_what_is_not_http_is_refused() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        connection = await pool.acquire()
        connection.start(GET % b"garbage", bodyless=False)
        with pytest.raises(UpstreamNotHttp):
            await connection.head()
        pool.release(connection)

    run(scenario)


def test_nobody_there_is_unreachable() -> None:
    async def scenario() -> None:
        pool = UpstreamPool(Address("127.0.0.1", 1), connections_max=1)
        for _ in range(3):  # a failure must not keep its place in the pool
            with pytest.raises(UpstreamUnreachable, match="cannot connect"):
                await pool.acquire()

    asyncio.run(scenario())


def test_a_connection_that_says_something_unasked_is_not_used_again() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        assert await call(pool, b"stale") == b"ok"
        # Waits in this thread: the event loop has no time to see that the upstream has left.
        wait_until(lambda: upstream.closed_count)
        connection = await pool.acquire()
        assert not connection.used_before
        assert pool.idle_count == 0
        pool.discard(connection)

    run(scenario)


def test_connections_of_a_burst_are_let_go_when_they_are_closed() -> None:
    async def scenario(pool: UpstreamPool, upstream: Upstream) -> None:
        held = [await pool.acquire() for _ in range(5)]
        for connection in held:
            connection.start(GET % b"leaving", bodyless=False)
            await whole_answer(connection)
            pool.release(connection)
        assert pool.idle_count == 5
        upstream.go_on.set()
        async with asyncio.timeout(60):
            while not all(connection.closed for connection in held):
                await asyncio.sleep(0.005)
        for _ in range(5):
            await call(pool, b"plain")
        assert pool.idle_count == 1
        assert pool.busy_count == 0

    run(scenario)


@pytest.mark.parametrize("turns", range(6))
def test_an_attempt_that_is_given_up_leaves_no_connection(turns: int) -> None:
    async def given_up_after(turns: int, port: int) -> None:
        pool = UpstreamPool(Address("127.0.0.1", port), connections_max=1)
        attempt = asyncio.create_task(pool.acquire())
        for _ in range(turns):
            await asyncio.sleep(0)
        attempt.cancel()
        with suppress(asyncio.CancelledError):
            pool.discard(await attempt)
        assert pool.busy_count == 0
        kept.append(attempt)  # and with it the connection, which would be closed when collected
        await asyncio.sleep(0.01)  # what the loop has still to say of it

    kept: list[asyncio.Task[Connection]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        uvloop.run(given_up_after(turns, server.getsockname()[1]))
        server.settimeout(0)
        with suppress(BlockingIOError):  # so early that there was no connection
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(60)
                assert accepted.recv(1) == b""
