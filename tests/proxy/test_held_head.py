"""Tests of proxy.held_head: what has left after each write, seen at the socket's other end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from proxy.held_head import HeldHead

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@asynccontextmanager
async def held(*, response_started: bool = True) -> AsyncIterator[tuple[HeldHead, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    cycle = SimpleNamespace(transport=transport, response_started=response_started)
    with theirs:
        yield HeldHead(cast(RequestResponseCycle, cycle), loop), theirs
        transport.abort()
        await asyncio.sleep(0)


def arrived(theirs: socket.socket) -> bytes:
    try:
        return theirs.recv(1000)
    except BlockingIOError:
        return b"(nothing)"


def test_a_head_leaves_with_the_body() -> None:
    async def answer() -> None:
        async with held() as (transport, theirs):
            transport.write(HEAD)
            assert arrived(theirs) == b"(nothing)"
            transport.write(b"body")
            assert arrived(theirs) == HEAD + b"body"
            transport.write(b"more")
            assert arrived(theirs) == b"more"

    asyncio.run(answer())


def test_a_head_waits_for_no_body_that_comes_later() -> None:
    async def answer() -> None:
        async with held() as (transport, theirs):
            transport.write(HEAD)
            await asyncio.sleep(0)
            assert arrived(theirs) == HEAD
            transport.write(b"body")
            assert arrived(theirs) == b"body"

    asyncio.run(answer())


def test_a_head_without_a_body_leaves_before_the_end() -> None:
    async def answer() -> None:
        async with held() as (transport, theirs):
            transport.write(HEAD)
            transport.close()
            assert transport.is_closing()
            assert arrived(theirs) == HEAD

    asyncio.run(answer())


def test_what_comes_before_the_head_is_not_held() -> None:
    async def answer() -> None:
        async with held(response_started=False) as (transport, theirs):
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert arrived(theirs) == b"HTTP/1.1 100 Continue\r\n\r\n"

    asyncio.run(answer())
