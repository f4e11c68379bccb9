"""The proxy by which a network is left, and how it is asked for a way through.

    http, https       CONNECT host:port (RFC 9110, section 9.3.6), credentials as Basic
    socks5, socks5h   SOCKS version 5 (RFC 1928), credentials as RFC 1929 has them

To an https proxy TLS is spoken as to any server; what goes through it has a TLS of its own. A
socks5 proxy is given the upstream's address, looked up here, and a socks5h one its name, as curl
has it. What a proxy answers has ANSWER_BYTES_MAX; what it says behind that is an error.

The library python-socks opens sockets of its own and has its own time-outs and look-ups; SOCKS is
less than what would have to be put around it.
"""

import asyncio
import base64
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Final, Literal, NamedTuple

import httptools

ANSWER_BYTES_MAX: Final = 64 * 1024
CREDENTIAL_BYTES_MAX: Final = 255  # of a name, of a password: SOCKS has one byte for its length
NAME_BYTES_MAX: Final = 255  # likewise of a host

Scheme = Literal["http", "https", "socks5", "socks5h"]

_VERSION: Final = 5
_NO_LOGIN: Final = 0
_BY_PASSWORD: Final = 2
_REPLIES: Final = {
    2: "its rules do not let this address through",
    3: "the network is unreachable",
    4: "the host is unreachable, or its name unknown",
    5: "the connection was refused",
    6: "the time to live ran out",
    7: "it does not know CONNECT",
    8: "it does not take this kind of address",
}


class UpstreamUnreachable(Exception):
    """There is no way to the upstream now; it has got not a byte of the call."""


class HostUnreachable(UpstreamUnreachable):
    """The proxy finds no way to this host; there may be one to another address of the upstream."""


class Credentials(NamedTuple):
    """What a proxy knows its users by."""

    name: bytes
    password: bytes


@dataclass(frozen=True)
class Egress:
    """The proxy by which this network is left. `url` tells it in messages and holds no secret."""

    host: str
    port: int
    credentials: Credentials | None = field(default=None, repr=False)
    scheme: Scheme = "http"

    @property
    def url(self) -> str:
        """The proxy's address, without credentials."""
        return f"{self.scheme}://{authority(self.host, self.port)}"

    @property
    def speaks_http(self) -> bool:
        """Whether it can be handed requests, too."""
        return self.scheme in ("http", "https")

    @property
    def authorization(self) -> bytes | None:
        """The value of the header by which a proxy that speaks HTTP knows us."""
        if self.credentials is None:
            return None
        return b"Basic " + base64.b64encode(b":".join(self.credentials))

    @property
    def headers(self) -> bytes:
        """The header lines that are for the proxy alone."""
        value = self.authorization
        return b"" if value is None else b"proxy-authorization: " + value + b"\r\n"

    def refused(self, status_code: int) -> UpstreamUnreachable:
        """Say that a proxy that speaks HTTP did not do what it was asked to."""
        why = self.wanted if status_code == 407 else "does it let this address through?"
        return UpstreamUnreachable(f"the egress proxy {self.url} answered {status_code}; {why}")

    def asking(self) -> "Asking":
        """Make the protocol of a connection to it, by which it is asked for a way through."""
        return _Connect(self) if self.speaks_http else _Socks(self)

    @property
    def wanted(self) -> str:
        """What is to be done about a proxy that does not know us."""
        return f"it wants other credentials: {self.scheme}://user:password@host:port"


class Asking(asyncio.Protocol, ABC):
    """A connection to a proxy, until there is a way through it."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._over = asyncio.get_running_loop().create_future()  # of what is waited for next
        self._failure = ""

    @abstractmethod
    async def ask(self, transport: asyncio.Transport, host: str, port: int) -> None:
        """Ask for a way to a host. Raises UpstreamUnreachable.

        Then all that comes on the connection is from there, and nothing has come yet.
        """

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"closed the connection: {error or 'end of stream'}")

    def _fail(self, what: str) -> None:
        self._failure = self._failure or what
        self._wake()

    def _wake(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def _more(self) -> None:
        """Wait until something has come, or nothing more can; who dials gives up in time."""
        if not self._failure:
            self._over = asyncio.get_running_loop().create_future()
            await self._over
        if self._failure:
            raise self._refusal(self._failure)

    def _refusal(self, what: str) -> UpstreamUnreachable:
        return UpstreamUnreachable(f"the egress proxy {self._egress.url} {what}")


class _Connect(Asking):
    """By the method CONNECT."""

    def __init__(self, egress: Egress) -> None:
        super().__init__(egress)
        self._parser = httptools.HttpResponseParser(self)
        self._bytes = 0
        self._status_code = 0
        self._said_more = False

    async def ask(self, transport: asyncio.Transport, host: str, port: int) -> None:
        target = authority(host, port).encode("ascii")
        headers = self._egress.headers
        transport.write(b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, target, headers))
        while not self._status_code:
            await self._more()
        if not 200 <= self._status_code < 300:
            raise self._egress.refused(self._status_code)
        if self._said_more:
            raise self._refusal("spoke before it was spoken to")

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"does not answer in HTTP: {error}")
        if self._bytes > ANSWER_BYTES_MAX:
            self._fail("gives an answer that has no end")

    # httptools callbacks

    def on_headers_complete(self) -> None:
        status_code = self._parser.get_status_code()
        if status_code >= 200 and not self._status_code:
            self._status_code = status_code
            self._wake()

    def on_body(self, data: bytes) -> None:
        self._said_more = True  # of a refusal that is its page, which nobody reads


class _Socks(Asking):
    """By version 5 of SOCKS."""

    def __init__(self, egress: Egress) -> None:
        super().__init__(egress)
        self._came = b""

    async def ask(self, transport: asyncio.Transport, host: str, port: int) -> None:
        login = self._egress.credentials
        methods = bytes((_NO_LOGIN,) if login is None else (_NO_LOGIN, _BY_PASSWORD))
        transport.write(bytes((_VERSION, len(methods))) + methods)
        version, method = await self._read(2)
        if version != _VERSION:
            raise self._refusal("does not answer in SOCKS 5")
        if method == _BY_PASSWORD and login is not None:
            transport.write(b"\1" + _counted(login.name) + _counted(login.password))
            _, failed = await self._read(2)
            if failed:
                raise self._refusal(f"refuses; {self._egress.wanted}")
        elif method != _NO_LOGIN:
            raise self._refusal(f"refuses; {self._egress.wanted}")
        transport.write(bytes((_VERSION, 1, 0)) + _address(host) + port.to_bytes(2))
        version, reply, _, kind = await self._read(4)
        if reply or version != _VERSION:
            why = _REPLIES.get(reply, "it does not say why")
            what = f"does not connect to {host} port {port}: {why}"
            raise HostUnreachable(str(self._refusal(what)))
        # Where it connects from, which is of no interest.
        length = {1: 4, 4: 16}.get(kind) or (await self._read(1))[0]
        await self._read(length + 2)
        if self._came:
            raise self._refusal("spoke before it was spoken to")

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) > ANSWER_BYTES_MAX:
            self._fail("gives an answer that has no end")
        self._wake()

    async def _read(self, count: int) -> bytes:
        while len(self._came) < count:
            await self._more()
        data, self._came = self._came[:count], self._came[count:]
        return data


def authority(host: str, port: int) -> str:
    """Write host and port as requests name them."""
    if ":" in host:
        return f"[{host}]:{port}"
    return f"{host.encode('idna').decode('ascii')}:{port}"


def _counted(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _address(host: str) -> bytes:
    """Write a host as SOCKS does: by its number, or by its name, to be looked up there."""
    try:
        number = ip_address(host)
    except ValueError:
        return b"\3" + _counted(host.encode("idna")[:NAME_BYTES_MAX])
    return (b"\1" if isinstance(number, IPv4Address) else b"\4") + number.packed
