"""Tests of proxy.upstream: the pool and its connections, against a real upstream."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.upstream import (
    Address,
    Connection,
    ResponseHead,
    UpstreamCut,
    UpstreamNotHttp,
    UpstreamPool,
    UpstreamUnreachable,
)
from tests.upstream import Upstream, running_upstream

DATA = Path(__file__).parents[3] / "shared" / "data" / "traffic" / "recorded.jsonl"
GET = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"


def run(scenario: Callable[[UpstreamPool, Upstream], Awaitable[None]], most: int = 10) -> None:
    """Run a scenario with a pool to a fake upstream."""

    async def with_pool(upstream: Upstream) -> None:
        pool = UpstreamPool(Address("127.0.0.1", upstream.port), connections_max=most)
        async with asyncio.timeout(10):
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


ANSWERS = {
    "sized": b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello world",
    "chunked": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"6;ext=1\r\nhello \r\n5\r\nworld\r\n0\r\nx-trailer: 1\r\n\r\n"
    ),
    "continued": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world"
    ),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_cut_at_every_byte_is_the_same_answer(name: str) -> None:
    async def scenario() -> None:
        answer = ANSWERS[name]
        whole = await _parse([answer])
        assert whole[1] == b"hello world"
        for cut in range(1, len(answer)):
            assert await _parse([answer[:cut], answer[cut:]]) == whole

    asyncio.run(scenario())


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_second_answer_nobody_asked_for_is_no_part_of_the_first(name: str) -> None:
    async def scenario() -> None:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(_NoTransport())
        connection.start(b"", bodyless=False)
        second = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nTWO"
        connection.data_received(ANSWERS[name] + second)
        assert (await whole_answer(connection))[1] == b"hello world"
        assert not connection.reusable

    asyncio.run(scenario())


@pytest.mark.skipif(not DATA.exists(), reason="the recorded traffic is not beside the checkout")
def test_recorded_answers_in_small_pieces_come_out_whole() -> None:
    async def scenario() -> None:
        with DATA.open() as lines:
            recordings = [json.loads(line) for line in lines][:200]
        for recording in recordings:
            body = (recording["response_body"] or "").encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            answer = head + body
            pieces = [answer[start : start + 97] for start in range(0, len(answer), 97)]
            assert (await _parse(pieces))[1] == body

    asyncio.run(scenario())


class _NoTransport(asyncio.Transport):
    """What a connection writes to when nobody listens."""

    def write(self, data: object) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...


async def _parse(pieces: list[bytes]) -> tuple[ResponseHead, bytes]:
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(_NoTransport())
    connection.start(b"", bodyless=False)
    for piece in pieces:
        connection.data_received(piece)
    answer = await whole_answer(connection)
    assert connection.reusable
    return answer
