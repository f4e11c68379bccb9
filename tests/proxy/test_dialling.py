"""Tests of proxy.dialling: addresses of every kind, egress proxies that behave and that do not."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from proxy.connection import Connection
from proxy.dialling import Address, Dialler
from proxy.egress import ANSWER_BYTES_MAX, Credentials, Egress, Scheme, UpstreamUnreachable
from tests.egress import EgressProxy, running_egress
from tests.ports import refusing_port
from tests.upstream import Upstream, running_upstream

GET = b"GET /plain HTTP/1.1\r\nhost: x\r\n\r\n"

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name upstream.example that is its own authority; its key beside it."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-nodes",
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=DNS:upstream.example,IP:127.0.0.1",
    ]
    command += ["-out", str(path), "-keyout", str(path.with_suffix(".key"))]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def upstream(certificate: Path) -> Iterator[Upstream]:
    """An upstream over TLS, of which nobody but the egress proxy knows where it is."""
    with running_upstream(server_tls(certificate)) as seen:
        yield seen


def address_behind(
    proxy: EgressProxy,
    certificate: Path | None,
    credentials: Credentials | None = None,
    scheme: Scheme = "http",
    host: str = "upstream.example",
) -> Address:
    tls = None if certificate is None else ssl.create_default_context(cafile=str(certificate))
    egress = Egress("127.0.0.1", proxy.port, credentials, scheme)
    egress_tls = None
    if scheme == "https":
        assert certificate is not None
        egress_tls = ssl.create_default_context(cafile=str(certificate))
    return Address(host, 443, tls, egress=egress, egress_tls=egress_tls)


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def dialled(
    address: Address, loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> bytes:
    """Dial and ask for a page."""

    async def ask(connection: Connection) -> bytes:
        connection.start(GET, bodyless=False)
        await connection.head()
        return await connection.read()

    async def run() -> bytes:
        running = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            connection = await Dialler(address).dial(lambda: Connection(running))
            try:
                return await ask(connection)
            finally:
                connection.abort()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(run())


@needs_openssl
def test_tls_goes_through_the_tunnel_to_the_upstream(upstream: Upstream, certificate: Path) -> None:
    with running_egress(upstream.port) as proxy:
        assert dialled(address_behind(proxy, certificate)) == b'{"object": "plain"}'
    assert proxy.targets == [b"CONNECT upstream.example:443"]


@needs_openssl
def test_credentials_are_for_the_proxy_alone(upstream: Upstream, certificate: Path) -> None:
    with running_egress(upstream.port, authorization=b"Basic dTpzZWNyZXQ=") as proxy:
        dialled(address_behind(proxy, certificate, Credentials(b"u", b"secret")))
        assert b"proxy-authorization: Basic dTpzZWNyZXQ=\r\n" in proxy.heads[0]
        assert b"dTpzZWNyZXQ" not in upstream.sent()
        with pytest.raises(UpstreamUnreachable, match=r"answered 407.*credentials") as refused:
            dialled(address_behind(proxy, certificate, Credentials(b"u", b"wrong")))
    assert "wrong" not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@needs_openssl
def test_a_proxy_can_have_a_tls_of_its_own_around_that_of_the_upstream(
    upstream: Upstream, certificate: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with running_egress(upstream.port, tls=server_tls(certificate)) as proxy:
        address = address_behind(proxy, certificate, scheme="https")
        assert dialled(address, loop=loop) == b'{"object": "plain"}'
        untrusted = replace(address, egress_tls=ssl.create_default_context())
        with pytest.raises(UpstreamUnreachable, match="egress proxy https://.*verify failed"):
            dialled(untrusted, loop=loop)
    assert proxy.targets == [b"CONNECT upstream.example:443"]


@needs_openssl
def test_requests_to_a_plain_upstream_are_handed_to_a_proxy_by_its_tls(certificate: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    with running_egress(1, answer=answer, tls=server_tls(certificate)) as proxy:
        address = replace(address_behind(proxy, certificate, scheme="https"), tls=None)
        assert dialled(address) == b"ok"
    assert proxy.targets == [b"GET /plain"]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
@needs_openssl
def test_socks_leads_to_the_name_or_to_the_number(
    upstream: Upstream,
    certificate: Path,
    secure: bool,
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with running_upstream() as plain:
        port = upstream.port if secure else plain.port
        with running_egress(port, login=(b"user", b"secret")) as proxy:
            trusted = certificate if secure else None
            login = Credentials(b"user", b"secret")
            by_name = address_behind(proxy, trusted, login, "socks5h")
            by_number = address_behind(proxy, trusted, login, "socks5", "127.0.0.1")
            for address in (by_name, by_number):
                assert dialled(address, loop=loop) == b'{"object": "plain"}'
    assert proxy.targets == [b"SOCKS upstream.example:443", b"SOCKS 127.0.0.1:443"]


def test_of_an_upstream_with_several_addresses_socks_is_given_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_upstream() as seen, running_egress(seen.port) as proxy:
        proxy.replies[b"192.0.2.1"] = 4
        address = address_behind(proxy, None, scheme="socks5", host="two.example")
        names = Names(monkeypatch, "192.0.2.1", "192.0.2.2", "127.0.0.1")
        assert dialled(address) == b'{"object": "plain"}'
        names.numbers = ("192.0.2.1", "127.0.0.1")
        proxy.replies[b"127.0.0.1"] = 5
        with pytest.raises(UpstreamUnreachable, match=r"does not connect to 192\.0\.2\.1"):
            dialled(address)
    assert proxy.targets[:2] == [b"SOCKS 192.0.2.1:443", b"SOCKS 192.0.2.2:443"]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not answer in SOCKS 5"),
        (b"\5\xff", "wants other credentials: socks5h://user"),
        (b"\5\2", "wants other credentials"),
        (b"\5\0\5\2\0\1", "rules do not let"),
        (b"\5\0\5\x63\0\1", "does not say why"),
        (b"\5\0\5\0\0\1\0\0\0\0\0\0early", "spoke before"),
        (b"\5\0\5\0\0\3\xff", "closed the connection"),
        (b"\5\0" + bytes(ANSWER_BYTES_MAX + 100), "does not connect|no end"),
    ],
)
def test_what_a_socks_proxy_does_instead_is_said(answer: bytes, what: str) -> None:
    with (
        running_egress(1, answer=answer) as proxy,
        pytest.raises(UpstreamUnreachable, match=what),
    ):
        dialled(address_behind(proxy, None, scheme="socks5h"))


def test_wrong_credentials_are_refused_by_socks_and_in_no_message() -> None:
    with (
        running_egress(1, login=(b"user", b"secret")) as proxy,
        pytest.raises(UpstreamUnreachable, match="refuses; it wants other credentials") as refused,
    ):
        dialled(address_behind(proxy, None, Credentials(b"user", b"wrong"), "socks5h"))
    assert "wrong" not in str(refused.value) + repr(refused.value)


@needs_openssl
def test_a_proxy_cannot_pass_for_the_upstream(certificate: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:elsewhere.example"]
    command += ["-out", str(other), "-keyout", str(other.with_suffix(".key"))]
    subprocess.run(command, check=True, capture_output=True)
    with running_upstream(server_tls(other)) as impostor, running_egress(impostor.port) as proxy:
        for trusted in (certificate, other):  # not vouched for; vouched for under another name
            with pytest.raises(UpstreamUnreachable, match="certificate verify failed"):
                dialled(address_behind(proxy, trusted))
    assert impostor.heads == []


@needs_openssl
@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", "answered 403"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered 502"),
        (b"what is HTTP?", "not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0", "spoke before"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (ANSWER_BYTES_MAX // 6 + 1), "no end"),
        (b"HTTP/1.1 200", "closed the connection"),
    ],
    ids=["403", "502", "garbage", "early", "endless", "cut"],
)
def test_what_a_proxy_does_instead_is_said(certificate: Path, answer: bytes, what: str) -> None:
    with (
        running_egress(1, answer=answer) as proxy,
        pytest.raises(UpstreamUnreachable, match=what),
    ):
        dialled(address_behind(proxy, certificate))


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_that_is_not_there_is_named(tls: bool) -> None:
    context = ssl.create_default_context() if tls else None
    with refusing_port() as port:
        address = Address("upstream.example", 443, context, egress=Egress("127.0.0.1", port))
        with pytest.raises(UpstreamUnreachable, match=f"egress proxy http://127.0.0.1:{port}"):
            dialled(address)


def test_who_gives_up_leaves_no_connection_to_the_proxy(certificate: Path) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            egress = Egress("127.0.0.1", server.getsockname()[1])
            tls = ssl.create_default_context(cafile=str(certificate))
            address = Address("upstream.example", 443, tls, egress=egress)
            loop = asyncio.get_running_loop()
            dialling = asyncio.create_task(Dialler(address).dial(lambda: Connection(loop)))
            server.setblocking(False)
            client, _ = await loop.sock_accept(server)
            with client:
                assert (await loop.sock_recv(client, 4096)).startswith(b"CONNECT ")
                dialling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await dialling
                async with asyncio.timeout(60):
                    assert await loop.sock_recv(client, 1) == b""

    asyncio.run(run())


class Names:
    """A name server: what names lead to, and what was asked. `silent`: it does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *numbers: str, silent: bool = False):
        self.numbers = numbers
        self.silent = silent
        self.asked: list[object] = []
        names = self

        async def look_up(loop: object, host: object, port: int, **given: object) -> list[object]:
            return await names.answer(host, port)

        monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", look_up)

    async def answer(self, host: object, port: int) -> list[object]:
        if host in self.numbers:  # which is no question
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        self.asked.append(host)
        if self.silent:
            await asyncio.Event().wait()
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (number, port)) for number in self.numbers]


def test_the_name_is_looked_up_for_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, "127.0.0.1")
    with running_upstream() as seen:
        for _ in range(2):
            dialled(Address("moving.example", seen.port))
    assert names.asked == ["moving.example"] * 2


def test_a_silent_name_server_is_asked_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, "127.0.0.1", silent=True)

    async def run() -> None:
        dialler = Dialler(Address("silent.example", 1))
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.gather(*(dialler.dial(asyncio.Protocol) for _ in range(50)))

    asyncio.run(run())
    assert names.asked == ["silent.example"]


def test_an_address_that_leads_nowhere_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, "127.0.0.2", "127.0.0.1")
    with running_upstream() as seen, socket.socket() as nowhere, ExitStack() as stack:
        nowhere.bind(("127.0.0.2", seen.port))
        nowhere.listen(0)
        for _ in range(4):  # who comes now gets no answer: its queue is full
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(nowhere.getsockname())
        assert dialled(Address("two.example", seen.port)) == b'{"object": "plain"}'


def test_of_several_addresses_that_fail_all_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, "127.0.0.2", "127.0.0.1")
    with pytest.raises(UpstreamUnreachable, match=r"127\.0\.0\.2.*127\.0\.0\.1"):
        dialled(Address("two.example", 1))
