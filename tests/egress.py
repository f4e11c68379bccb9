"""A fake egress proxy on loopback: CONNECT and absolute form, with credentials if it wants some.

It passes everything on to one upstream, whatever it was asked for, and notes what that was.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.threads import running_loop


@dataclass
class EgressProxy:
    """What the proxy has seen. `upstream_port`: where everything leads.

    `answer`: what it says to CONNECT instead of opening a tunnel.
    """

    upstream_port: int
    authorization: bytes = b""
    answer: bytes = b""
    port: int = 0
    heads: list[bytes] = field(default_factory=list)

    @property
    def targets(self) -> list[bytes]:
        """Method and target of each request, in order."""
        return [b" ".join(head.split(b" ")[:2]) for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.answer:
                writer.write(self.answer)
                await writer.drain()
            elif self.authorization and self.authorization not in head:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 4\r\n")
                writer.write(b"proxy-authenticate: Basic\r\n\r\nwho?")
                await writer.drain()
            else:
                await self._join(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _join(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            onward = _pump(reader, to_upstream)
        else:
            onward = self._forward(head, reader, to_upstream)
        await asyncio.gather(onward, _pump(from_upstream, writer))

    async def _forward(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass requests on, their targets without scheme and host, without what is for proxies."""
        try:
            while True:
                method, target, rest = head.split(b" ", 2)
                path = b"/" + (target.split(b"/", 3) + [b""])[3]
                lines = b" ".join((method, path, rest)).split(b"\r\n")
                kept = [line for line in lines if not line.lower().startswith(b"proxy-")]
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                writer.write(b"\r\n".join(kept) + await reader.readexactly(length))
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextmanager
def running_egress(
    upstream_port: int, *, authorization: bytes = b"", answer: bytes = b""
) -> Iterator[EgressProxy]:
    """Run an egress proxy in a thread of its own."""
    seen = EgressProxy(upstream_port, authorization, answer)

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(seen.serve, "127.0.0.1")
        seen.port = server.sockets[0].getsockname()[1]
        return server

    with running_loop(start):
        yield seen
