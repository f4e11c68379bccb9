"""The way to an upstream: a name looked up anew, TCP or a Unix socket, an egress proxy, TLS.

One address, the configured one; its name is looked up for every connection, so that an upstream
may move, and nobody else's name ever is. Through an egress proxy an https upstream is reached by
CONNECT (RFC 9110, section 9.3.6): TLS is with the upstream, the proxy sees its name and port. To a
plain http one the requests themselves are the proxy's to pass on, in absolute form (RFC 9112,
section 3.2.2): see proxy.routes. The proxy's answer to CONNECT has CONNECT_BYTES_MAX.

Who dials while the name is being looked up waits for that answer: a name server that is silent
holds one thread for each upstream, and not those of all. Of several addresses the next one is tried
without waiting for the one before to fail (RFC 8305), as clients do: IPv6 that leads nowhere costs
a quarter of a second, and not the call.

Nothing here times out: whoever dials is cancelled by its call's deadline.
"""

import asyncio
import socket
import ssl
from asyncio.staggered import staggered_race
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import httptools

CONNECT_BYTES_MAX: Final = 64 * 1024
NEXT_ADDRESS_SECONDS: Final = 0.25
ATTEMPTS_MAX: Final = 8  # addresses of one name that one connection is tried with

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)
Found = tuple[Any, Any, int, str, tuple[Any, ...]]  # as getaddrinfo has it


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


class Dialler:
    """Connects to one address, as often as it is asked to."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lookup: asyncio.Task[Sequence[Found]] | None = None

    async def dial(self, make: Callable[[], Protocol]) -> Protocol:
        """Connect, by way of the egress proxy if there is one. Raises UpstreamUnreachable.

        `make` makes the protocol of the connection, which gets `connection_made` when it can be
        used; it is called for each attempt.
        """
        address, loop = self._address, asyncio.get_running_loop()
        egress = address.egress
        try:
            if address.unix_path is not None:
                return (await loop.create_unix_connection(make, str(address.unix_path)))[1]
            if egress is None:
                return (await self._connect(make, address.host, address.port, address.tls))[1]
        except (OSError, ssl.SSLError, ValueError) as error:
            raise UpstreamUnreachable(f"cannot connect to the upstream: {error}") from error
        try:
            if address.tls is None:
                return (await self._connect(make, egress.host, egress.port, None))[1]
            transport, connect = await self._connect(_Connect, egress.host, egress.port, None)
        except (OSError, ValueError) as error:
            what = f"cannot connect to the egress proxy {egress.url}: {error}"
            raise UpstreamUnreachable(what) from error
        try:
            await _ask(transport, connect, egress, _authority(address.host, address.port))
            return await _secure(transport, address.tls, address.host, make())
        except BaseException:
            transport.abort()
            raise

    async def _connect(
        self, make: Callable[[], Protocol], host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.Transport, Protocol]:
        """Connect to the first address of a name that answers; see NEXT_ADDRESS_SECONDS."""
        loop = asyncio.get_running_loop()
        name = host if tls is not None else None

        async def attempt(number: str) -> tuple[asyncio.Transport, Protocol]:
            return await loop.create_connection(make, number, port, ssl=tls, server_hostname=name)

        numbers = _families_in_turn(await self._look_up(host, port))
        if len(numbers) == 1:
            return await attempt(numbers[0])
        attempts = [partial(attempt, number) for number in numbers[:ATTEMPTS_MAX]]
        winner: tuple[asyncio.Transport, Protocol] | None
        winner, _, errors = await staggered_race(attempts, NEXT_ADDRESS_SECONDS)
        if winner is None:
            raise OSError("; ".join(str(error) for error in errors if error is not None))
        return winner

    async def _look_up(self, host: str, port: int) -> Sequence[Found]:
        if self._lookup is None:
            loop = asyncio.get_running_loop()
            asked = loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._lookup = loop.create_task(asked)
            self._lookup.add_done_callback(self._looked_up)
        return await asyncio.shield(self._lookup)

    def _looked_up(self, lookup: asyncio.Task[Sequence[Found]]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # which whoever waited has got, if anybody still did


def _families_in_turn(found: Sequence[Found]) -> list[str]:
    """The addresses that a name has, IPv6 and IPv4 by turns, the system's first choice first."""
    numbers = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    first = [number for family, number in numbers if family == numbers[0][0]]
    other = [number for family, number in numbers if family != numbers[0][0]]
    return [each for pair in zip_longest(first, other) for each in pair if each is not None]


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
