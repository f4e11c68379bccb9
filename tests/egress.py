"""A fake egress proxy on loopback: CONNECT, absolute form and SOCKS 5; TLS and credentials, too.

It passes everything on to one upstream, whatever it was asked for, and notes what that was.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from tests.threads import running_loop


@dataclass
class EgressProxy:
    """What the proxy has seen. `upstream_port`: where everything leads.

    `answer`: what it says to CONNECT instead of opening a tunnel. `login`: the name and password
    that it wants by SOCKS. `replies`: what it answers there, by the host that is asked for.
    """

    upstream_port: int
    authorization: bytes = b""
    answer: bytes = b""
    login: tuple[bytes, bytes] | None = None
    replies: dict[bytes, int] = field(default_factory=dict)
    port: int = 0
    heads: list[bytes] = field(default_factory=list)

    @property
    def targets(self) -> list[bytes]:
        """Method and target of each request, in order."""
        return [b" ".join(head.split(b" ")[:2]) for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            first = await reader.readexactly(1)
            if first == b"\5" and not self.answer:
                await self._socks(reader, writer)
                return
            socks = first == b"\5"
            head = first + (await reader.read(9) if socks else await reader.readuntil(b"\r\n\r\n"))
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
        if head.startswith(b"CONNECT"):
            if head != b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            onward = _pump(reader, to_upstream)
        else:
            onward = self._forward(head, reader, to_upstream)
        await asyncio.gather(onward, _pump(from_upstream, writer))

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak SOCKS 5 (RFC 1928, RFC 1929), note the target as that of CONNECT is noted."""
        offered = await reader.readexactly((await reader.readexactly(1))[0])
        method = 2 if self.login else 0
        writer.write(bytes((5, method if method in offered else 255)))
        if self.login and method in offered:
            await reader.readexactly(1)
            name = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(bytes((1, (name, password) != self.login)))
            if (name, password) != self.login:
                return
        kind = (await reader.readexactly(4))[3]
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host = await reader.readexactly(length)
        host = host if kind == 3 else str(ip_address(host)).encode()
        self.heads.append(b"SOCKS %b:%d " % (host, int.from_bytes(await reader.readexactly(2))))
        reply = self.replies.get(host, 0)
        writer.write(bytes((5, reply, 0, 1)) + bytes(6))
        if not reply:
            await self._join(b"CONNECT", reader, writer)

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
    upstream_port: int,
    *,
    authorization: bytes = b"",
    answer: bytes = b"",
    login: tuple[bytes, bytes] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[EgressProxy]:
    """Run an egress proxy in a thread of its own."""
    seen = EgressProxy(upstream_port, authorization, answer, login)

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(seen.serve, "127.0.0.1", ssl=tls)
        seen.port = server.sockets[0].getsockname()[1]
        return server

    with running_loop(start):
        yield seen
