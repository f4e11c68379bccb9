"""Tests of proxy.client_side: what is written, beside what uvicorn writes of the same answer."""

import asyncio
import logging
from typing import cast

import pytest
from uvicorn._types import ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from proxy.client_side import ClientSide
from proxy.passage import Asked
from storage.capture import Headers


class Written(asyncio.Transport):
    """A client's transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.closed = False
        self.reads = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def side(
    transport: Written, method: str, *, keep_alive: bool = True
) -> tuple[ClientSide, list[int]]:
    ended: list[int] = []
    asked = Asked(method, b"/v1/x", b"", [])
    made = ClientSide(
        asked,
        transport,
        FlowControl(transport),
        keep_alive=keep_alive,
        over=lambda: ended.append(1),
    )
    return made, ended


def by_uvicorn(
    method: str, status_code: int, headers: Headers, pieces: list[bytes], *, keep_alive: bool
) -> Written:
    """What uvicorn writes of the answer."""

    async def answer() -> Written:
        transport = Written()
        cycle = RequestResponseCycle(
            scope=cast(HTTPScope, {"method": method}),
            transport=transport,
            flow=FlowControl(transport),
            logger=logging.getLogger(),
            access_logger=logging.getLogger(),
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=lambda: None,
        )
        start = {"type": "http.response.start", "status": status_code, "headers": headers}
        await cycle.send(cast(ASGISendEvent, start))
        for index, piece in enumerate(pieces):
            more = index + 1 < len(pieces)
            body = {"type": "http.response.body", "body": piece, "more_body": more}
            await cycle.send(cast(ASGISendEvent, body))
        return transport

    return asyncio.run(answer())


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(
    ("method", "status_code", "headers", "pieces"),
    [
        ("POST", 200, [(b"content-length", b"5"), (b"x-a", b"1"), (b"x-a", b"2")], [b"hello"]),
        ("POST", 200, [(b"content-length", b"5")], [b"", b"he", b"llo"]),
        ("POST", 200, [(b"content-type", b"text/event-stream")], [b"a", b"", b"bc" * 40, b""]),
        ("POST", 200, [], [b"all of it"]),
        ("POST", 429, [(b"x-latin", b"caf\xe9")], [b""]),
        ("HEAD", 200, [(b"content-length", b"19")], [b""]),
        ("HEAD", 200, [], [b""]),
        ("GET", 204, [], [b""]),
        ("GET", 304, [(b"etag", b"1")], [b""]),
    ],
)  # fmt: skip
def test_an_answer_is_written_as_uvicorn_writes_it(
    method: str, status_code: int, headers: Headers, pieces: list[bytes], keep_alive: bool
) -> None:
    transport = Written()
    client, ended = side(transport, method, keep_alive=keep_alive)
    client.answer(status_code, headers, pieces[0], last=len(pieces) == 1)
    for index, piece in enumerate(pieces[1:], 2):
        client.pass_on(piece, last=index == len(pieces))
    theirs = by_uvicorn(method, status_code, headers, pieces, keep_alive=keep_alive)
    assert (transport.data, transport.closed) == (theirs.data, theirs.closed)
    assert ended == [1]


def test_what_came_of_a_request_is_taken_once() -> None:
    client, _ = side(Written(), "POST")
    client.came(b"a")
    client.came(b"b")
    assert (client.take(), client.take()) == (b"ab", b"")


def test_only_who_was_told_to_wait_is_told_to_go_on() -> None:
    transport = Written()
    client, _ = side(transport, "POST")
    client.pause_reading()
    assert not transport.reads
    client.resume_reading()
    assert transport.reads
    transport.reads = False  # for another reason
    client.resume_reading()
    assert not transport.reads


def test_nothing_is_written_to_a_client_that_has_left() -> None:
    transport = Written()
    client, ended = side(transport, "POST")
    transport.closed = True
    client.answer(200, [], b"hello", last=True)
    assert (transport.data, ended) == (b"", [1])
