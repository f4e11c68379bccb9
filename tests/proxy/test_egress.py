"""Tests of proxy.egress: what a proxy is asked, and its answers in any pieces."""

import asyncio

import pytest

from proxy.egress import Credentials, Egress, HostUnreachable, UpstreamUnreachable, authority

LOGIN = Credentials(b"user", b"secret")
CONNECTED = b"\5\0\0\1\0\0\0\0\0\0"


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data


def asked(egress: Egress, answers: list[bytes], host: str = "api.example") -> bytes:
    """Ask a proxy that answers in these pieces; return what it was sent."""

    async def run() -> bytes:
        transport, asking = Written(), egress.asking()
        answer = asyncio.gather(asking.ask(transport, host, 443))
        for piece in answers:
            await asyncio.sleep(0)
            asking.data_received(piece)
        async with asyncio.timeout(60):
            await answer
        return transport.data

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("egress", "answer"),
    [
        (Egress("p", 1), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n"),
        (Egress("p", 1, scheme="socks5h"), b"\5\0" + CONNECTED),
        (Egress("p", 1, LOGIN, "socks5h"), b"\5\2\1\0\5\0\0\3\3abc\0\0"),
        (Egress("p", 1, LOGIN, "socks5"), b"\5\0\5\0\0\4" + bytes(18)),
    ],
    ids=["connect", "socks", "password", "number"],
)
def test_an_answer_may_come_in_any_pieces(egress: Egress, answer: bytes) -> None:
    sent = asked(egress, [answer])
    assert asked(egress, [bytes((byte,)) for byte in answer]) == sent
    for cut in range(1, len(answer)):
        assert asked(egress, [answer[:cut], answer[cut:]]) == sent


def test_socks_is_asked_as_the_rfc_has_it() -> None:
    greeting, login = b"\5\2\0\2", b"\1\4user\6secret"
    sent = asked(Egress("p", 1, LOGIN, "socks5h"), [b"\5\2\1\0" + CONNECTED])
    assert sent == greeting + login + b"\5\1\0\3\x0bapi.example\x01\xbb"
    for host, written in (("10.1.2.3", b"\1\n\1\2\3"), ("::1", b"\4" + bytes(15) + b"\1")):
        sent = asked(Egress("p", 1, scheme="socks5"), [b"\5\0" + CONNECTED], host)
        assert sent == b"\5\1\0" + b"\5\1\0" + written + b"\x01\xbb"


def test_connect_names_the_host_and_who_asks() -> None:
    sent = asked(Egress("p", 1, LOGIN, "https"), [b"HTTP/1.1 200 OK\r\n\r\n"], "::1")
    who = b"proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"
    assert sent == b"CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n" + who + b"\r\n"


def test_only_a_host_that_is_not_reached_is_a_reason_to_try_another() -> None:
    socks = Egress("p", 1, scheme="socks5")
    with pytest.raises(HostUnreachable, match="connection was refused"):
        asked(socks, [b"\5\0\5\5\0\1" + bytes(6)])
    with pytest.raises(UpstreamUnreachable, match="credentials") as refused:
        asked(socks, [b"\5\xff"])
    assert not isinstance(refused.value, HostUnreachable)


def test_credentials_are_in_no_message_and_no_repr() -> None:
    for scheme in ("http", "https", "socks5", "socks5h"):
        egress = Egress("h", 1, LOGIN, scheme)
        assert "secret" not in repr(egress) + egress.url + egress.wanted + str(egress.refused(407))
        assert "c2Vjc" not in repr(egress)


def test_a_name_is_written_in_letters_that_all_know() -> None:
    assert authority("bücher.example", 1) == "xn--bcher-kva.example:1"
    assert authority("::1", 2) == "[::1]:2"
