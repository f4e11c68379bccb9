"""A fake upstream on loopback: real sockets, an answer for every path that misbehaves its own way.

/plain       200 with a JSON body                /chunked   chunks, then the last one late
/stream      text/event-stream, three events     /slow      an event every 50 ms, for ever
/held      a chunk, and when the test says so the last one
/hang        no answer                           /stall     one chunk, then nothing
/silent      closes without a byte               /cut       closes inside a sized body
/cut-chunk   closes between chunks               /garbage   not HTTP
/old         HTTP/1.0, ended by closing          /empty     204     /unchanged  304
/early       103, then 200                       /odd       status 777, repeated headers
/zero        status 000                          /posing    headers that only shalt writes
/late-echo   as /echo, 0.2 s later
/gzip        content-encoding: gzip              /big       100 MiB
/echo        the request's head and body         /upload    length and SHA-256 of the body
/tired       closes a connection that it has answered on, 0.1 s after the next request
/stale       answers, then closes the connection that it had promised to keep
/leaving     the same, but not before the test says so
/moved       the status and the place that x-status and x-location of the request say
/refuse      413 as soon as the head is here, the body unread
"""

import asyncio
import gzip
import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.threads import running_loop

BIG_BYTES = 100 * 2**20
GZIPPED = gzip.compress(b'{"answer": 42}' * 20, mtime=0)
EVENTS = [b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n', b"data: [DONE]\n\n"]


@dataclass
class Upstream:
    """What the fake upstream has seen. `url` is its base URL."""

    url: str = ""
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    connection_count: int = 0
    closed_count: int = 0
    lost: list[str] = field(default_factory=list)  # paths whose client went away
    go_on: threading.Event = field(default_factory=threading.Event)  # what such paths wait for

    def sent(self) -> bytes:
        """The head of the last request, as it came."""
        return self.heads[-1]


@contextmanager
def running_upstream(tls: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """Run a fake upstream in a thread of its own."""
    seen = Upstream()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(
            lambda reader, writer: _Connection(seen, reader, writer).run(), "127.0.0.1", ssl=tls
        )
        seen.port = server.sockets[0].getsockname()[1]
        scheme = "https" if tls else "http"
        seen.url = f"{scheme}://127.0.0.1:{seen.port}"
        return server

    with running_loop(start):
        yield seen


class _Connection:
    def __init__(
        self, seen: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.seen = seen
        self.reader = reader
        self.writer = writer
        self.answered = 0
        seen.connection_count += 1

    async def run(self) -> None:
        try:
            while await self.answer_one():
                await self.writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await self.writer.wait_closed()
            self.seen.closed_count += 1

    async def answer_one(self) -> bool:
        """Answer one request; tell whether the connection goes on."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.seen.heads.append(head)
        path = head.split(b" ", 2)[1].split(b"?")[0].rsplit(b"/", 1)[-1].decode()
        if path == "refuse":
            self.send(b"too large", b"413 Content Too Large")
            return False
        body = await self.read_body(head.lower())
        method = getattr(self, "do_" + path.replace("-", "_"), self.do_plain)
        return await method(head, body) is not False

    async def read_body(self, head: bytes) -> bytes:
        if b"transfer-encoding: chunked" in head:
            pieces = []
            while True:
                size = int(await self.reader.readline(), 16)
                pieces.append((await self.reader.readexactly(size + 2))[:-2])
                if size == 0:
                    return b"".join(pieces)
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await self.reader.readexactly(int(line.split(b":")[1]))
        return b""

    def send(self, body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> None:
        length = b"content-length: %d\r\n" % len(body)
        self.writer.write(b"HTTP/1.1 " + status + b"\r\n" + headers + length + b"\r\n" + body)

    def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def begin_chunks(self, kind: bytes = b"text/plain", first: bytes = b"") -> None:
        """Send the head, and in the same segment the first chunk if one is given."""
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self.writer.write(head + (b"%x\r\n%b\r\n" % (len(first), first) if first else b""))

    async def do_plain(self, head: bytes, body: bytes) -> None:
        self.send(b'{"object": "plain"}', headers=b"content-type: application/json\r\n")

    async def do_late_echo(self, head: bytes, body: bytes) -> None:
        await asyncio.sleep(0.2)
        self.send(head + body)

    async def do_zero(self, head: bytes, body: bytes) -> None:
        self.send(b"nothing", b"000 Nothing")

    async def do_posing(self, head: bytes, body: bytes) -> None:
        self.send(b"{}", headers=b"X-Shalt-Call-Id: forged\r\nx-shalt-error: forged\r\n")

    async def do_echo(self, head: bytes, body: bytes) -> None:
        self.send(head + body)

    async def do_upload(self, head: bytes, body: bytes) -> None:
        self.send(b"%d %s" % (len(body), hashlib.sha256(body).hexdigest().encode()))

    async def do_chunked(self, head: bytes, body: bytes) -> None:
        self.begin_chunks()
        self.chunk(b"hello ")
        await self.writer.drain()
        await asyncio.sleep(0.05)
        self.chunk(b"world")
        self.writer.write(b"0\r\n\r\n")

    async def do_stream(self, head: bytes, body: bytes) -> None:
        self.begin_chunks(b"text/event-stream")
        for event in EVENTS:
            self.chunk(event)
            await self.writer.drain()
            await asyncio.sleep(0.01)
        self.writer.write(b"0\r\n\r\n")

    async def do_slow(self, head: bytes, body: bytes) -> bool:
        self.begin_chunks(b"text/event-stream")
        gone = asyncio.ensure_future(self.reader.read(1))
        while not gone.done():
            self.chunk(EVENTS[0])
            await asyncio.wait([gone], timeout=0.05)
        self.seen.lost.append("slow")
        return False

    async def wait(self) -> None:
        while not self.seen.go_on.is_set():
            await asyncio.sleep(0.005)

    async def do_leaving(self, head: bytes, body: bytes) -> bool:
        self.send(b"ok")
        await self.writer.drain()
        await self.wait()
        return False

    async def do_held(self, head: bytes, body: bytes) -> None:
        self.begin_chunks(first=b"hello ")
        await self.wait()
        self.chunk(b"world")
        self.writer.write(b"0\r\n\r\n")

    async def do_hang(self, head: bytes, body: bytes) -> bool:
        await self.reader.read(1)
        self.seen.lost.append("hang")
        return False

    async def do_stall(self, head: bytes, body: bytes) -> bool:
        self.begin_chunks(first=b"a little")
        await self.reader.read(1)
        self.seen.lost.append("stall")
        return False

    async def do_silent(self, head: bytes, body: bytes) -> bool:
        return False

    async def do_cut(self, head: bytes, body: bytes) -> bool:
        self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 100)
        await self.writer.drain()
        await asyncio.sleep(0.02)
        return False

    async def do_cut_chunk(self, head: bytes, body: bytes) -> bool:
        self.begin_chunks()
        self.chunk(b"hello")
        await self.writer.drain()
        await asyncio.sleep(0.02)
        return False

    async def do_garbage(self, head: bytes, body: bytes) -> bool:
        self.writer.write(b"\x00\x01 what is HTTP?\r\n\r\n")
        await self.writer.drain()
        return False

    async def do_old(self, head: bytes, body: bytes) -> bool:
        self.writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nold ")
        await self.writer.drain()
        await asyncio.sleep(0.02)
        self.writer.write(b"school")
        return False

    async def do_empty(self, head: bytes, body: bytes) -> None:
        self.writer.write(b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n")

    async def do_unchanged(self, head: bytes, body: bytes) -> None:
        self.writer.write(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\ncontent-length: 20\r\n\r\n')

    async def do_early(self, head: bytes, body: bytes) -> None:
        self.writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        await self.writer.drain()
        self.send(b"final")

    async def do_odd(self, head: bytes, body: bytes) -> None:
        headers = b"set-cookie: a=1\r\nset-cookie: b=2\r\nx-latin: caf\xe9\r\n"
        self.send(b"odd", b"777 Odd", headers)

    async def do_gzip(self, head: bytes, body: bytes) -> None:
        self.send(GZIPPED, headers=b"content-encoding: gzip\r\n")

    async def do_big(self, head: bytes, body: bytes) -> None:
        self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BIG_BYTES)
        block = b"z" * 65536
        for _ in range(BIG_BYTES // len(block)):
            self.writer.write(block)
            await self.writer.drain()

    async def do_moved(self, head: bytes, body: bytes) -> None:
        asked = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        self.send(
            b"moved", asked[b"x-status"] + b" Moved", b"location: %b\r\n" % asked[b"x-location"]
        )

    async def do_tired(self, head: bytes, body: bytes) -> bool:
        self.answered += 1
        if self.answered > 1:
            await asyncio.sleep(0.1)
            return False
        self.send(body)
        return True

    async def do_stale(self, head: bytes, body: bytes) -> bool:
        self.send(b"ok")
        await self.writer.drain()
        await asyncio.sleep(0.003)
        return False
