"""Tests of proxy.websocket: a real client, a real server, a real upstream, on loopback."""

import asyncio
import base64
import random
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from proxy.access import Access
from storage.capture import Capture, Endpoint, Outcome, SystemClock, endpoint_of
from storage.derive import derive
from storage.frames import TEXT, MessageReader
from storage.spool import FrameKind
from tests.ports import refusing_port
from tests.relaying import RunningRelay, running_relay, upstream_at, wait_until
from tests.sockets import (
    GREETING,
    POURED_BYTES,
    POURED_MESSAGES,
    SocketUpstream,
    running_sockets,
)
from tests.upstream import running_upstream

KEY = "sk-" + "a1B2c3D4e5F6g7H8i9J0"


@pytest.fixture
def upstream() -> Iterator[SocketUpstream]:
    with running_sockets(compress=True) as seen:
        yield seen


@pytest.fixture
def relay(upstream: SocketUpstream, tmp_path: Path) -> Iterator[RunningRelay]:
    raw = upstream_at(upstream.raw_port, "raw")
    hurried = upstream_at(upstream.port, "hurried", first_byte_seconds=0.2)
    with running_relay(tmp_path, [upstream_at(upstream.port), raw, hurried]) as running:
        yield running


def opened(relay: RunningRelay, path: str = "/v1/realtime", **given: object) -> ClientConnection:
    """Open a WebSocket through the relay, without compression unless it is given."""
    settings: dict[str, Any] = {"compression": None, "max_size": None, **given}
    return connect(f"ws://127.0.0.1:{relay.port}{path}", legacy=True, **settings)


def handshake(relay: RunningRelay, more: str = "", path: str = "/u/raw/raw") -> bytes:
    """Write a handshake by hand."""
    key = base64.b64encode(bytes(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: here:1\r\nX-Z: 1\r\nConnection: keep-alive, Upgrade\r\n"
        f"X-A: 2\r\nUpgrade: websocket\r\nX-A: 3\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n{more}\r\n"
    ).encode()


def switched(relay: RunningRelay, more: str = "") -> tuple[socket.socket, bytes]:
    """Shake hands by hand; return the socket, and the answer with what came behind it."""
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=60)
    client.sendall(handshake(relay, more))
    answer = b""
    while not answer.endswith(b"early"):
        answer += client.recv(65536)
    return client, answer


def read(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = client.recv(65536)
        assert piece, "the relay closed the socket"
        data += piece
    return data


def received(client: ClientConnection, count: int) -> list[str | bytes]:
    return [client.recv() for _ in range(count)]


def texts(capture: Capture, *, of_response: bool) -> list[bytes]:
    """The text messages that were recorded of one direction."""
    body = capture.response_body if of_response else capture.request_body
    messages = MessageReader(2**26).feed(body.data)
    return [message.payload for message in messages if message.opcode == TEXT]


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_handshake_passes_as_it_came_and_nothing_but_the_id_is_added(
    relay: RunningRelay, upstream: SocketUpstream
) -> None:
    client, answer = switched(relay, more="Sec-WebSocket-Extensions: x-odd; a=1\r\n")
    sent = upstream.heads[0]
    came = handshake(relay, "Sec-WebSocket-Extensions: x-odd; a=1\r\n")
    lines = [line.lower() for line in came.split(b"\r\n")[2:]]
    assert [line.lower() for line in sent.split(b"\r\n")[2:]] == lines
    assert sent.startswith(b"GET /v1/raw HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % upstream.raw_port)
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 101 Switching Protocols"
    names = [line.partition(b":")[0] for line in head[1:]]
    expected = [b"upgrade", b"connection", b"sec-websocket-accept", b"x-odd", b"x-shalt-call-id"]
    assert names == expected
    client.close()
    call = relay.calls(1)[0]
    assert call.id.encode() == head[-1].partition(b": ")[2]


def test_a_thousand_messages_echo_with_the_same_bytes(relay: RunningRelay) -> None:
    chance = random.Random(7)
    messages = [
        chance.randbytes(chance.choice((0, 1, 125, 126, 3000, 70_000))) for _ in range(1000)
    ]
    with opened(relay) as client:
        assert client.recv() == GREETING
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(received, client, 1000)
            for message in messages:
                client.send(message)
            assert reading.result() == messages
    call = relay.calls(1)[0]
    assert call.outcome is Outcome.COMPLETE
    reader = MessageReader(2**26)
    recorded = [message.payload for message in reader.feed(call.request_body.data)]
    assert recorded[:-1] == messages
    assert call.request_body.length == len(call.request_body.data)


def test_compression_and_subprotocols_are_the_upstreams_business(
    relay: RunningRelay, upstream: SocketUpstream
) -> None:
    protocols = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{KEY}")]
    with opened(relay, compression="deflate", subprotocols=protocols) as client:
        client.recv()
        for number in range(20):
            client.send('{"text": "much the same text, again and again"}' + str(number))
            assert str(client.recv()).endswith(str(number))
        assert client.subprotocol == "realtime"
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]
    assert upstream.requests[0].headers["sec-websocket-protocol"].endswith(KEY)
    call = relay.calls(1)[0]
    assert call.request_body.length < 600  # as it passed
    assert texts(call, of_response=False)[3].endswith(b"again and again" + b'"}3')


def test_pings_pass_through(relay: RunningRelay) -> None:
    with opened(relay) as client:
        assert client.ping(b"are you there").wait(60)
    assert b"are you there" in relay.calls(1)[0].response_body.data


def test_a_close_code_of_the_upstream_reaches_the_client(relay: RunningRelay) -> None:
    client = opened(relay, "/v1/leave")
    assert client.recv() == "bye"
    with pytest.raises(ConnectionClosed) as closed:
        client.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "done")
    assert relay.calls(1)[0].outcome is Outcome.COMPLETE


def test_a_close_code_of_the_client_reaches_the_upstream(
    relay: RunningRelay, upstream: SocketUpstream
) -> None:
    opened(relay).close(4001)
    assert relay.calls(1)[0].outcome is Outcome.COMPLETE
    wait_until(lambda: upstream.closed)
    assert upstream.closed == [4001]


def test_an_upstream_that_is_cut_off_cuts_the_client_off(relay: RunningRelay) -> None:
    client = opened(relay, "/v1/cut")
    with pytest.raises(ConnectionClosed) as closed:
        received(client, 2)
    assert closed.value.rcvd is None
    assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_CUT


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_client_that_goes_is_gone_for_the_upstream(
    relay: RunningRelay, upstream: SocketUpstream, reset: bool
) -> None:
    client = opened(relay, "/v1/silent")
    if reset:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.shutdown(socket.SHUT_RDWR) if not reset else client.socket.close()
    call = relay.calls(1)[0]
    assert (call.outcome, call.status_code) == (Outcome.CLIENT_GONE, 101)
    wait_until(lambda: upstream.closed)
    assert upstream.closed == [1006]


def test_a_refusal_passes_like_any_answer(relay: RunningRelay) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(relay, "/v1/refuse")
    answer = refused.value.response
    assert (answer.status_code, answer.body) == (401, b'{"error": {"message": "no key"}}')
    call = relay.calls(1)[0]
    assert answer.headers["x-shalt-call-id"] == call.id
    assert (call.outcome, call.status_code) == (Outcome.UPSTREAM_ERROR, 401)


def test_a_handshake_without_an_answer_times_out(relay: RunningRelay) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(relay, "/u/hurried/hang")
    assert refused.value.response.status_code == 504
    assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_TIMEOUT


def test_a_client_that_leaves_during_the_handshake_is_gone(
    relay: RunningRelay, upstream: SocketUpstream
) -> None:
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        client.sendall(handshake(relay, path="/v1/hang"))
        wait_until(lambda: upstream.requests)
    assert relay.calls(1)[0].outcome is Outcome.CLIENT_GONE


def test_a_handshake_that_reaches_nobody_is_502(tmp_path: Path) -> None:
    with refusing_port() as port, running_relay(tmp_path, [upstream_at(port)]) as relay:
        with pytest.raises(InvalidStatus) as refused:
            opened(relay)
        assert refused.value.response.status_code == 502
        assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_UNREACHABLE


def test_garbage_passes_both_ways_and_is_recorded(relay: RunningRelay) -> None:
    garbage = random.Random(11).randbytes(300_000)
    client, answer = switched(relay)
    sending = threading.Thread(target=client.sendall, args=(garbage,))
    sending.start()
    assert read(client, len(garbage)) == garbage
    sending.join()
    client.close()
    call = relay.calls(1)[0]
    assert call.response_body.length == len(garbage) + 5
    assert len(call.request_body.data) == call.request_body.length == len(garbage)
    assert "not read as frames" in derive(call).understood.note


def test_what_the_client_sends_before_the_answer_is_passed_first(relay: RunningRelay) -> None:
    data = b"\x81\x85\0\0\0\0hello\x81\x85\0\0\0\0again"
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client:
        client.sendall(handshake(relay) + data)
        answer = b""
        while not answer.endswith(b"again"):
            answer += client.recv(65536)
    assert answer.partition(b"\r\n\r\nearly")[2] == data


def test_what_follows_a_refused_handshake_is_no_request(tmp_path: Path) -> None:
    with (
        running_upstream() as plain,
        running_relay(tmp_path, [upstream_at(plain.port)]) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client,
    ):
        hidden = b"POST /v1/hidden HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
        client.sendall(handshake(relay, path="/v1/plain") + hidden)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.endswith(b'{"object": "plain"}')
        assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_ERROR
    assert [head.split()[1] for head in plain.heads] == [b"/v1/plain"]


def test_more_than_may_wait_before_the_answer_passes_too(relay: RunningRelay) -> None:
    data = b"\x82\xff" + (400_000).to_bytes(8) + bytes(4) + b"e" * 400_000
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client:
        sending = threading.Thread(target=client.sendall, args=(handshake(relay) + data,))
        sending.start()
        received = b""
        while len(received) < len(data) or not received.endswith(b"e" * 100_000):
            received += client.recv(65536)
        sending.join()
    assert received.partition(b"\r\n\r\nearly")[2] == data


def test_a_half_closed_socket_still_gets_what_the_upstream_has_to_say(relay: RunningRelay) -> None:
    client, _ = switched(relay)
    client.sendall(b"x" * 100_000)
    client.shutdown(socket.SHUT_WR)
    assert read(client, 100_000) == b"x" * 100_000
    assert client.recv(1) == b""
    client.close()
    assert relay.calls(1)[0].response_body.length == 100_005


def test_an_upstream_is_not_read_while_the_client_does_not_read(
    relay: RunningRelay, upstream: SocketUpstream
) -> None:
    with opened(relay, "/v1/pour", max_queue=1) as client:
        client.recv()
        before = -1
        while before != upstream.poured:  # until it stands still
            before = upstream.poured
            threading.Event().wait(0.1)
        assert before < POURED_MESSAGES // 2
        whole = sum(len(message) == POURED_BYTES for message in client)
    assert 1 + whole == POURED_MESSAGES
    assert relay.calls(1)[0].response_body.length > POURED_MESSAGES * POURED_BYTES


def test_two_hundred_sockets_at_once_never_mix(relay: RunningRelay) -> None:
    def talk(number: int) -> bool:
        mark = f"{number:04d}-" * 40
        with opened(relay, open_timeout=60) as client:
            client.recv()
            for turn in range(5):
                client.send(f"{mark}{turn}")
            return received(client, 5) == [f"{mark}{turn}" for turn in range(5)]

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(talk, range(200)))
    marks = set()
    for call in relay.calls(200):
        sent, told = texts(call, of_response=False), texts(call, of_response=True)
        assert told == [GREETING.encode(), *sent]
        assert len({text[:-1] for text in sent}) == 1
        marks.add(sent[0])
    assert len(marks) == 200


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_key_in_a_message_is_in_no_file(
    relay: RunningRelay, tmp_path: Path, compression: str | None
) -> None:
    protocol = Subprotocol(f"openai-insecure-api-key.{KEY}x")
    with opened(relay, compression=compression, subprotocols=[protocol, "realtime"]) as client:
        client.recv()
        said = ["before", f'{{"key": "{KEY}"}}', "after", '{"delta": "sk-a1B2c3"}']
        said += ['{"delta": "D4e5F6g7H8i9J0"}', "between", "the end"]
        for text in said:
            client.send(text)
            assert client.recv() == text
    call = relay.calls(1)[0]
    assert call.redacted
    for of_response in (False, True):
        kept = texts(call, of_response=of_response)[-7:]
        assert [kept[0], kept[2], kept[5], kept[6]] == [b"before", b"after", b"between", b"the end"]
        assert kept[1].startswith(b'{"key": "redacted:')
        assert b"sk-a1B2c3" not in kept[3]
        assert b"D4e5F6g7H8i9J0" not in kept[4]
    written = everything(tmp_path)
    assert KEY.encode() not in written
    assert b"D4e5F6g7H8i9J0" not in written


def test_a_key_that_shalt_holds_replaces_the_clients(tmp_path: Path) -> None:
    with running_sockets() as upstream:
        held = upstream_at(upstream.port, key_header=(b"authorization", b"Bearer held"))
        with running_relay(tmp_path, [held]) as relay:
            protocols = [Subprotocol(f"openai-insecure-api-key.{KEY}"), Subprotocol("realtime")]
            opened(relay, subprotocols=protocols).close()
    headers = upstream.requests[0].headers
    assert (headers["authorization"], headers["sec-websocket-protocol"]) == (
        "Bearer held",
        "realtime",
    )


def test_access_and_limits_hold_for_sockets_too(tmp_path: Path) -> None:
    with running_sockets() as upstream:
        given = [upstream_at(upstream.port)]
        access = Access(tmp_path / "none", None, allowed_origins=frozenset(), clock=SystemClock())
        for number, settings in enumerate(({"access": access}, {"open_calls_max": 0})):
            with running_relay(tmp_path / str(number), given, **settings) as relay:  # type: ignore[arg-type]
                with pytest.raises(InvalidStatus) as refused:
                    opened(relay)
                assert refused.value.response.status_code == (401, 503)[number]
    assert upstream.requests == []


def test_what_is_beyond_the_limit_is_passed_but_not_kept(
    upstream: SocketUpstream, tmp_path: Path
) -> None:
    with running_relay(tmp_path, [upstream_at(upstream.port)], body_bytes_max=1000) as relay:
        with opened(relay) as client:
            client.recv()
            client.send("y" * 5000)
            assert client.recv() == "y" * 5000
        call = relay.calls(1)[0]
    assert call.request_body.truncated
    assert len(call.request_body.data) == 1000
    assert call.request_body.length > 5000


@pytest.mark.parametrize(("mode", "spooled"), [("none", 0), ("metadata", 1)])
def test_what_is_not_to_be_recorded_is_not(relay: RunningRelay, mode: str, spooled: int) -> None:
    with opened(relay, additional_headers={"x-shalt-record": mode}) as client:
        client.recv()
        client.send("not for the record, please")
        client.recv()
    wait_until(lambda: relay.tally().in_flight == 0)  # it is counted after it is no longer open
    assert relay.tally().opted_out == 1 - spooled
    assert len(relay.calls(spooled)) == spooled
    assert b"please" not in everything(relay.spool)


def test_openais_client_speaks_realtime_through_it(relay: RunningRelay) -> None:
    async def talk() -> list[str]:
        client = AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{relay.port}/v1")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            first = await connection.recv()
            await connection.send({"type": "response.cancel"})
            return [first.type, (await connection.recv()).type]

    assert asyncio.run(talk()) == ["session.created", "response.cancel"]
    assert derive(relay.calls(1)[0]).understood.request_model == "gpt-realtime"


def test_an_open_socket_is_in_the_spool_before_it_ends(relay: RunningRelay) -> None:
    with opened(relay) as client:
        client.recv()
        client.send("first")
        client.recv()
        wait_until(lambda: FrameKind.PART in relay.frames())
        assert FrameKind.BEGIN in relay.frames()
        assert FrameKind.END not in relay.frames()


def test_a_stopped_relay_says_1001_to_both_sides(tmp_path: Path) -> None:
    with running_sockets() as upstream:
        with running_relay(tmp_path, [upstream_at(upstream.port)]) as relay:
            client = opened(relay)
            client.recv()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        wait_until(lambda: upstream.closed)
        assert upstream.closed == [1001]
        call = relay.calls(1)[0]
        assert call.outcome is Outcome.INTERRUPTED


def test_other_protocols_that_are_offered_are_ignored(tmp_path: Path) -> None:
    with (
        running_sockets() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client:
            ask = (
                b"GET /v1/refuse HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
            )
            client.sendall(ask + ask)
            answers = b""
            while answers.count(b"HTTP/1.1 4") + answers.count(b"HTTP/1.1 5") < 2:
                answers += client.recv(65536)
    assert len(relay.calls(2)) == 2


@pytest.mark.parametrize("cut", [1, 10, 10_000])
def test_a_body_behind_an_offer_that_is_ignored_is_kept(tmp_path: Path, cut: int) -> None:
    """Java's HTTP client offers h2c with every request."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    sized = b"POST /v1/upload HTTP/1.1\r\n" + offer + b"host: x\r\ncontent-length: 5\r\n\r\nhello"
    chunked = b"POST /v1/upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n" + offer
    chunked += b"\r\n5\r\nhello\r\n0\r\n\r\n"
    socket_with_body = sized.replace(b"h2c", b"websocket").replace(b"POST", b"GET")
    last = b"POST /v1/plain HTTP/1.0\r\nhost: x\r\n" + offer + b"\r\n"
    data = sized + chunked + socket_with_body + last
    with (
        running_upstream() as plain,
        running_relay(tmp_path, [upstream_at(plain.port)]) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), cut):
            client.sendall(data[at : at + cut])
        calls = relay.calls(4)
        assert [call.request_body.data for call in calls] == [b"hello"] * 3 + [b""]
        assert [call.status_code for call in calls] == [200] * 4
        kept = calls[0].request_headers
        assert [name for name, _ in kept][:3] == [b"connection", b"upgrade", b"http2-settings"]
        assert not any(b"upgrade: " in head.lower() for head in plain.heads)


def test_a_socket_is_a_call_of_the_realtime_endpoint(relay: RunningRelay) -> None:
    with opened(relay, "/v1/realtime?model=gpt-realtime") as client:
        client.recv()
    call = relay.calls(1)[0]
    assert endpoint_of(call.method, call.target) is Endpoint.REALTIME
    span = derive(call)
    assert (span.understood.request_model, span.understood.streamed) == ("gpt-realtime", True)
    assert call.first_byte_ns is not None
