"""The way to an upstream: a name looked up anew, TCP or a Unix socket, an egress proxy, TLS.

One address, the configured one; its name is looked up for every connection, so that an upstream
may move, and nobody else's name ever is. Through an egress proxy an https upstream is reached by
CONNECT (RFC 9110, section 9.3.6): TLS is with the upstream, the proxy sees its name and port. To a
plain http one the requests themselves are the proxy's to pass on, in absolute form (RFC 9112,
section 3.2.2): see proxy.routes. The proxy's answer to CONNECT has CONNECT_BYTES_MAX.

Nothing here times out: whoever dials is cancelled by its call's deadline.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

import httptools

CONNECT_BYTES_MAX: Final = 64 * 1024

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)


class UpstreamUnreachable(Exception):
    """There is no way to the upstream now; it has got not a byte of the call."""


@dataclass(frozen=True)
class Egress:
    """The proxy by which this network is left. `authorization` is the value of a header, or None.

    `url` tells it in messages and holds no secret.
    """

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The proxy's address, without credentials."""
        return f"http://{_authority(self.host, self.port)}"

    @property
    def headers(self) -> bytes:
        """The header lines that are for the proxy alone."""
        if self.authorization is None:
            return b""
        return b"proxy-authorization: " + self.authorization + b"\r\n"

    def refused(self, status_code: int) -> UpstreamUnreachable:
        """Say that the proxy did not do what it was asked to."""
        why = "does it let this address through?"
        if status_code == 407:
            why = "it wants other credentials: http://user:password@host:port"
        return UpstreamUnreachable(f"the egress proxy {self.url} answered {status_code}; {why}")


@dataclass(frozen=True)
class Address:
    """Where an upstream listens: host and port, or a Unix socket; `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    unix_path: Path | None = None
    egress: Egress | None = None


async def dial(address: Address, make: Callable[[], Protocol]) -> Protocol:
    """Connect to an address, by way of its egress proxy if it has one. Raises UpstreamUnreachable.

    `make` makes the protocol of the connection, which gets `connection_made` when it can be used.
    """
    loop = asyncio.get_running_loop()
    egress = address.egress
    try:
        if address.unix_path is not None:
            return (await loop.create_unix_connection(make, str(address.unix_path)))[1]
        if egress is None:
            where = (address.host, address.port)
            return (await loop.create_connection(make, *where, ssl=address.tls))[1]
    except (OSError, ssl.SSLError, ValueError) as error:
        raise UpstreamUnreachable(f"cannot connect to the upstream: {error}") from error
    try:
        if address.tls is None:
            return (await loop.create_connection(make, egress.host, egress.port))[1]
        making = loop.create_connection(_Connect, egress.host, egress.port)
        transport, connect = await making
    except (OSError, ValueError) as error:
        what = f"cannot connect to the egress proxy {egress.url}: {error}"
        raise UpstreamUnreachable(what) from error
    try:
        await _ask(transport, connect, egress, _authority(address.host, address.port))
        return await _secure(transport, address.tls, address.host, make())
    except BaseException:
        transport.abort()
        raise


async def _ask(
    transport: asyncio.Transport, connect: "_Connect", egress: Egress, authority: str
) -> None:
    """Ask the proxy for a tunnel to host:port."""
    target = authority.encode("ascii")
    request = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, target, egress.headers)
    transport.write(request)
    status_code = await connect.answer
    if not 200 <= status_code < 300:
        raise egress.refused(status_code)
    if connect.said_more:
        raise UpstreamUnreachable(f"the egress proxy {egress.url} spoke before it was spoken to")


async def _secure(
    transport: asyncio.Transport, tls: ssl.SSLContext, host: str, protocol: Protocol
) -> Protocol:
    """Begin TLS with the upstream behind the tunnel."""
    loop = asyncio.get_running_loop()
    try:
        secured = await loop.start_tls(transport, protocol, tls, server_hostname=host)
    except (OSError, ssl.SSLError, ValueError) as error:
        what = f"cannot connect to the upstream through the egress proxy: {error}"
        raise UpstreamUnreachable(what) from error
    protocol.connection_made(cast(asyncio.Transport, secured))
    return protocol


class _Connect(asyncio.Protocol):
    """The proxy's answer to CONNECT. `answer` is its status."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.said_more = False
        self._parser = httptools.HttpResponseParser(self)
        self._bytes = 0

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the egress proxy's answer is not HTTP: {error}")
        if self._bytes > CONNECT_BYTES_MAX:
            self._fail("the egress proxy's answer has no end")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the egress proxy closed the connection: {error or 'end of stream'}")

    # httptools callbacks

    def on_headers_complete(self) -> None:
        status_code = self._parser.get_status_code()
        if status_code >= 200 and not self.answer.done():
            self.answer.set_result(status_code)

    def on_body(self, data: bytes) -> None:
        self.said_more = True  # of a refusal that is its page, which nobody reads

    def _fail(self, what: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(UpstreamUnreachable(what))


def _authority(host: str, port: int) -> str:
    if ":" in host:
        return f"[{host}]:{port}"
    return f"{host.encode('idna').decode('ascii')}:{port}"
