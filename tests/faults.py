"""An upstream on loopback that fails in every way, told by the path which: raw sockets, no server.

    /no_first_byte   reads, says nothing          /stall       a piece, then nothing
    /reset_in_head   half a head, then RST        /reset       a piece, then RST
    /cut_chunk       ends inside a chunk          /early       413 with the body unread
    /hang_up         RST with the body unread
    /garbage         no HTTP                      /page        500 with a page of HTML
    /limited         429 with retry-after         /unframed    a body that ends with the connection

Under `/stream/` the answer is chunked events, under `/whole/` a sized body (`cut_chunk`: chunked).
Under `/before/` the upstream waits for its caller to leave before it says anything, under `/after/`
when it has said something. Every body repeats the path, so that an answer shows whose it is.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.threads import running_loop

# What the upstream waits for a caller to leave: longer than shalt's time-outs in these tests, and
# than any client takes to leave that means to.
PATIENCE_SECONDS = 3.0
LEAVES_SECONDS = 60.0
# Of these faults the body is not read; clients keep sending it.
POURED = ("early", "hang_up")


@dataclass
class FaultyUpstream:
    """What it has seen: the requests' paths, and those whose caller left while it waited."""

    port: int = 0
    paths: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    open_count: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: as many requests as it keeps it open for."""
        self.open_count += 1
        try:
            while await _Answer(self, reader, writer).give():
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open_count -= 1
            writer.close()


class _Answer:
    def __init__(
        self, seen: FaultyUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._seen, self._reader, self._writer = seen, reader, writer
        self._path = ""
        self._streamed = False

    async def give(self) -> bool:
        """Read a request and answer it in its way; tell whether the connection goes on."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self._path = head.split(b" ", 2)[1].decode()
        self._streamed = "/stream/" in self._path
        self._seen.paths.append(self._path)
        fault = self._path.rsplit("/", 1)[1]
        if fault not in POURED:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self._reader.readexactly(length)
        if "/before/" in self._path:
            await self._wait()
        return bool(await getattr(self, fault)()) and b"connection: close" not in head

    async def _wait(self) -> None:
        """Wait until the caller leaves, or for long."""
        try:
            leaves = "/before/" in self._path or "/after/" in self._path
            async with asyncio.timeout(LEAVES_SECONDS if leaves else PATIENCE_SECONDS):
                while await self._reader.read(65536):
                    pass
                self._seen.left.add(self._path)
        except TimeoutError:
            pass

    def _piece(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._streamed else data

    def _event(self) -> bytes:
        return b"data: %b\n\n" % self._path.encode()

    async def _begin(self, status: bytes = b"200 OK", headers: bytes = b"") -> None:
        """Send a head and the first of three events, or of the body's bytes."""
        framing = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        if not self._streamed:
            framing = b"content-length: %d\r\n" % (3 * len(self._event()))
        self._writer.write(b"HTTP/1.1 " + status + b"\r\n" + headers + framing + b"\r\n")
        self._writer.write(self._piece(self._event()))
        await self._writer.drain()

    async def _end(self) -> None:
        await self._pause()
        self._writer.write(self._piece(self._event()) * 2 + (b"0\r\n\r\n" * self._streamed))
        await self._writer.drain()

    async def _reset(self) -> None:
        given = self._writer.get_extra_info("socket")
        given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _pause(self) -> None:
        if "/after/" in self._path:
            await self._wait()
        else:
            await asyncio.sleep(0.05)  # a reset would take with it what was sent

    async def no_first_byte(self) -> None:
        await self._wait()

    async def stall(self) -> None:
        await self._begin()
        await self._wait()

    async def reset_in_head(self) -> None:
        self._writer.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
        await asyncio.sleep(0.05)
        await self._reset()

    async def reset(self) -> None:
        await self._begin()
        await self._pause()
        await self._reset()

    async def hang_up(self) -> None:
        await self._reset()

    async def cut_chunk(self) -> None:
        if not self._streamed:
            self._writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        else:
            await self._begin()
        self._writer.write(b"100\r\n" + self._event())
        await self._writer.drain()
        await self._pause()

    async def early(self) -> None:
        await self._begin(b"413 Content Too Large", b"connection: close\r\n")
        await self._end()
        await self._wait()

    async def garbage(self) -> None:
        self._writer.write(b"\x15\x03\x01\x00\x02 no HTTP\r\n\r\n")
        await self._writer.drain()

    async def page(self) -> bool:
        await self._begin(b"500 Internal Server Error", b"content-type: text/html\r\n")
        await self._end()
        return True

    async def limited(self) -> bool:
        headers = b"retry-after: 7\r\nretry-after-ms: 6500\r\nx-request-id: req_1\r\n"
        await self._begin(b"429 Too Many Requests", headers)
        await self._end()
        return True

    async def unframed(self) -> None:
        kind = b"text/event-stream" if self._streamed else b"application/json"
        self._writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n\r\n")
        self._writer.write(self._event())
        await self._writer.drain()
        await self._pause()
        self._writer.write(self._event() * 2)
        await self._writer.drain()


@contextmanager
def running_faults() -> Iterator[FaultyUpstream]:
    """Run the upstream in a thread of its own."""
    seen = FaultyUpstream()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(seen.serve, "127.0.0.1")
        seen.port = server.sockets[0].getsockname()[1]
        return server

    with running_loop(start):
        yield seen
