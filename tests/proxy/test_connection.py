"""Tests of proxy.connection: bytes of an upstream, whole and in pieces."""

import asyncio
import json
from pathlib import Path

import pytest

from proxy.connection import HEAD_BYTES_MAX, Connection, ResponseHead, UpstreamCut, UpstreamNotHttp

DATA = Path(__file__).parents[3] / "shared" / "data" / "traffic" / "recorded.jsonl"


async def whole_answer(connection: Connection) -> tuple[ResponseHead, bytes]:
    head = await connection.head()
    data = b""
    while piece := await connection.read():
        data += piece
    return head, data


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

    written = 0

    def write(self, data: object) -> None:
        self.written += 1

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


def answered(pieces: list[bytes], *, lost: Exception | None = None) -> tuple[ResponseHead, bytes]:
    """The answer in these pieces, after which the connection ends."""

    async def scenario() -> tuple[ResponseHead, bytes]:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(_NoTransport())
        connection.start(b"", bodyless=False)
        for piece in pieces:
            connection.data_received(piece)
        connection.connection_lost(lost)
        assert not connection.reusable
        return await whole_answer(connection)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
    ],
)
def test_an_answer_without_framing_ends_with_its_connection(head: bytes) -> None:
    assert answered([head, b"hello ", b"world"])[1] == b"hello world"
    with pytest.raises(UpstreamCut):
        answered([head, b"hello"], lost=ConnectionResetError())


def test_http_1_0_keeps_a_connection_only_where_it_says_so() -> None:
    async def kept(head: bytes) -> bool:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(_NoTransport())
        connection.start(b"", bodyless=False)
        connection.data_received(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n" + head + b"\r\nok")
        assert (await whole_answer(connection))[1] == b"ok"
        return connection.reusable

    assert not asyncio.run(kept(b""))
    assert asyncio.run(kept(b"Connection: keep-alive\r\n"))


@pytest.mark.parametrize("rest", [b"", b"content-length: 0\r\n", b"content-length: 2\r\n"])
def test_a_head_beyond_its_limit_never_passes_although_it_ends(rest: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\nx: " + b"a" * (HEAD_BYTES_MAX - 100)
    with pytest.raises(UpstreamNotHttp, match="head is longer than"):
        answered([start, b"a" * 100 + b"\r\n" + rest + b"\r\nok"])


def test_much_of_a_body_with_the_end_of_its_head_is_no_long_head() -> None:
    body = b"a" * HEAD_BYTES_MAX
    start = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx: " % len(body)
    assert answered([start, b"y\r\n\r\n" + body])[1] == body


@pytest.mark.parametrize("line", [b"x: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_never_comes_to_its_body_has_a_limit(line: bytes) -> None:
    start = b"" if line.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
    pieces = [start] if start else []
    pieces += [line * 1000] * (HEAD_BYTES_MAX // (len(line) * 1000) + 1)
    with pytest.raises(UpstreamNotHttp, match="longer than"):
        answered(pieces)


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: +5\r\n",
        b"content-length: 99999999999999999999999\r\n",
        b"x: a\x00b\r\n",
        b"x y: a\r\n",
        b"x: a\n",
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(UpstreamNotHttp):
        answered([b"HTTP/1.1 200 OK\r\n" + head + b"\r\nhello"])


def test_nothing_is_written_to_an_upstream_that_has_left() -> None:
    async def scenario() -> None:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(_NoTransport())
        connection.start(b"", bodyless=False)
        connection.connection_lost(None)
        transport = connection._transport
        assert isinstance(transport, _NoTransport)
        before = transport.written
        connection.write(b"more")
        assert transport.written == before

    asyncio.run(scenario())
