"""The way to an upstream: a name looked up anew, TCP or a Unix socket, an egress proxy, TLS.

One address, the configured one; its name is looked up for every connection, so that an upstream
may move, and nobody else's name ever is, but for that of its egress proxy. Through a proxy an https
upstream is reached by a tunnel (proxy.egress): TLS is with the upstream, the proxy sees its name or
number, and its port. The requests to a plain http upstream are an http proxy's to pass on, in
absolute form (RFC 9112, section 3.2.2): see proxy.routes; through SOCKS they have a tunnel, too.

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
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from proxy.egress import Egress, HostUnreachable, UpstreamUnreachable

NEXT_ADDRESS_SECONDS: Final = 0.25
ATTEMPTS_MAX: Final = 8  # addresses of one name that one connection is tried with

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)
Found = tuple[Any, Any, int, str, tuple[Any, ...]]  # as getaddrinfo has it


@dataclass(frozen=True)
class Address:
    """Where an upstream listens: host and port, or a Unix socket; `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    unix_path: Path | None = None
    egress: Egress | None = None
    egress_tls: ssl.SSLContext | None = None  # of a proxy that is spoken to by TLS


class Dialler:
    """Connects to one address, as often as it is asked to."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lookups: dict[str, asyncio.Task[Sequence[Found]]] = {}  # under way, by name

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
        if egress.speaks_http and address.tls is None:
            return (await self._reach(make, egress))[1]
        hosts = [address.host]
        if egress.scheme == "socks5":
            try:
                hosts = _families_in_turn(await self._look_up(address.host, address.port))
            except OSError as error:
                what = f"cannot look up the upstream for the egress proxy: {error}"
                raise UpstreamUnreachable(what) from error
        failures = []
        for host in hosts[:ATTEMPTS_MAX]:
            try:
                return await self._tunnel(make, egress, host)
            except HostUnreachable as failure:
                failures.append(failure)
        raise failures[0]

    async def _tunnel(self, make: Callable[[], Protocol], egress: Egress, host: str) -> Protocol:
        """Go through the proxy to a host, by which the proxy knows the upstream."""
        transport, asking = await self._reach(egress.asking, egress)
        try:
            await asking.ask(transport, host, self._address.port)
            return await _hand_over(transport, self._address, make())
        except BaseException:
            transport.abort()
            raise

    async def _reach(
        self, make: Callable[[], Protocol], egress: Egress
    ) -> tuple[asyncio.Transport, Protocol]:
        """Connect to the proxy itself."""
        try:
            tls = self._address.egress_tls
            return await self._connect(make, egress.host, egress.port, tls)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            what = f"cannot connect to the egress proxy {egress.url}: {error}"
            raise UpstreamUnreachable(what) from error

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
        lookup = self._lookups.get(host)
        if lookup is None:
            loop = asyncio.get_running_loop()
            asked = loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            lookup = self._lookups[host] = loop.create_task(asked)
            lookup.add_done_callback(partial(self._looked_up, host))
        return await asyncio.shield(lookup)

    def _looked_up(self, host: str, lookup: asyncio.Task[Sequence[Found]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            lookup.exception()  # which whoever waited has got, if anybody still did


def _families_in_turn(found: Sequence[Found]) -> list[str]:
    """The addresses that a name has, IPv6 and IPv4 by turns, the system's first choice first."""
    numbers = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    first = [number for family, number in numbers if family == numbers[0][0]]
    other = [number for family, number in numbers if family != numbers[0][0]]
    return [each for pair in zip_longest(first, other) for each in pair if each is not None]


async def _hand_over(
    transport: asyncio.Transport, address: Address, protocol: Protocol
) -> Protocol:
    """Give the way through a proxy to the protocol of the upstream, with TLS if that has it."""
    if address.tls is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol
    loop = asyncio.get_running_loop()
    try:
        secured = await loop.start_tls(
            transport, protocol, address.tls, server_hostname=address.host
        )
    except (OSError, ssl.SSLError, ValueError) as error:
        what = f"cannot connect to the upstream through the egress proxy: {error}"
        raise UpstreamUnreachable(what) from error
    protocol.connection_made(cast(asyncio.Transport, secured))
    return protocol
