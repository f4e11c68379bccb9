"""Tests of proxy.relay: a real client, a real server, a real upstream, on loopback.

What needs nothing special runs twice: as in a worker, where plain calls are carried directly
(proxy.direct), and all by the application.
"""

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from proxy.dialling import Address
from proxy.relay import Message, Relay
from proxy.upstream import UpstreamPool
from storage.capture import DropReason, Outcome
from storage.spool import FrameKind, SpoolLimits
from tests.client import request, send_and_leave
from tests.ports import refusing_port
from tests.relaying import RunningRelay, running_relay, upstream_at, wait_until
from tests.upstream import BIG_BYTES, EVENTS, GZIPPED, Upstream, running_upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as seen:
        yield seen


@pytest.fixture(params=[True, False], ids=["direct", "application"])
def relay(
    upstream: Upstream, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[RunningRelay]:
    upstreams = [
        upstream_at(upstream.port),
        upstream_at(upstream.port, "hurried", first_byte_seconds=0.2),
        upstream_at(upstream.port, "restless", idle_seconds=0.2),
    ]
    with running_relay(tmp_path, upstreams, direct=request.param) as running:
        yield running


def test_answer_and_request_pass_unchanged(relay: RunningRelay, upstream: Upstream) -> None:
    answer = request(relay.port, "/v1/echo?a=%2F&b=c%20d", b'{"a":  1}', headers={"X-Own": "1"})
    head, _, body = answer.body.partition(b"\r\n\r\n")
    assert answer.status == 200
    assert head.startswith(b"POST /v1/echo?a=%2F&b=c%20d HTTP/1.1\r\n")
    assert b"x-own: 1" in head.lower()
    assert f"host: 127.0.0.1:{upstream.port}".encode() in head
    assert body == b'{"a":  1}'


def test_nothing_is_added_but_the_id_of_the_call(relay: RunningRelay) -> None:
    answer = request(relay.port, "/v1/plain")
    names = sorted(name.lower() for name, _ in answer.headers)
    assert names == ["content-length", "content-type", "x-shalt-call-id"]
    assert answer.header("x-shalt-call-id") == relay.calls(1)[0].id


def test_an_upstream_cannot_speak_in_our_name(relay: RunningRelay) -> None:
    answer = request(relay.port, "/v1/posing")
    ours = [(name, value) for name, value in answer.headers if name.lower().startswith("x-shalt")]
    assert ours == [("x-shalt-call-id", relay.calls(1)[0].id)]
    assert (b"x-shalt-error", b"forged") in relay.calls(1)[0].response_headers


def test_a_status_that_does_not_exist_is_502_and_not_waited_out(relay: RunningRelay) -> None:
    answer = request(relay.port, "/v1/zero")
    assert (answer.status, answer.header("x-shalt-error")) == (502, "upstream_not_http")
    assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_ERROR


def test_headers_for_shalt_and_hop_by_hop_ones_stay_here(
    relay: RunningRelay, upstream: Upstream
) -> None:
    ours = {"x-shalt-session": "s", "x-shalt-tag-a": "b", "te": "x", "connection": "x-hop"}
    request(relay.port, "/v1/plain", headers={**ours, "x-hop": "1", "x-end": "2"})
    sent = upstream.sent().lower()
    assert b"x-shalt" not in sent
    assert b"te:" not in sent
    assert b"x-hop" not in sent
    assert b"x-end: 2" in sent
    assert (b"x-shalt-session", b"s") in relay.calls(1)[0].request_headers


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v1/chunked", 200, b"hello world"),
        ("/v1/stream", 200, b"".join(EVENTS)),
        ("/v1/gzip", 200, GZIPPED),
        ("/v1/old", 200, b"old school"),
        ("/v1/early", 200, b"final"),
        ("/v1/empty", 204, b""),
        ("/v1/unchanged", 304, b""),
        ("/v1/odd", 777, b"odd"),
    ],
)
def test_every_kind_of_answer_passes_and_is_recorded(
    relay: RunningRelay, path: str, status: int, body: bytes
) -> None:
    answer = request(relay.port, path)
    assert (answer.status, answer.body, answer.whole) == (status, body, True)
    capture = relay.calls(1)[0]
    assert capture.status_code == status
    assert capture.response_body.data == body
    assert capture.outcome is (Outcome.COMPLETE if status < 400 else Outcome.UPSTREAM_ERROR)


def test_repeated_and_latin_headers_pass_in_order(relay: RunningRelay) -> None:
    answer = request(relay.port, "/v1/odd")
    assert [v for n, v in answer.headers if n == "set-cookie"] == ["a=1", "b=2"]
    assert answer.header("x-latin") == "caf\xe9"


def test_cookies_of_one_client_never_reach_another(relay: RunningRelay, upstream: Upstream) -> None:
    request(relay.port, "/v1/odd")
    request(relay.port, "/v1/plain")
    assert b"cookie" not in upstream.sent().lower()


def test_head_has_no_body_and_the_next_call_is_right(relay: RunningRelay) -> None:
    answer = request(relay.port, "/v1/plain", b"", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == "19"
    assert request(relay.port, "/v1/plain").body == b'{"object": "plain"}'


def test_an_upstream_connection_is_used_again(relay: RunningRelay, upstream: Upstream) -> None:
    for _ in range(5):
        request(relay.port, "/v1/plain")
    assert upstream.connection_count == 1


def test_a_stale_connection_costs_no_call(relay: RunningRelay) -> None:
    for _ in range(40):
        assert request(relay.port, "/v1/stale").body == b"ok"
    assert {capture.outcome for capture in relay.calls(40)} == {Outcome.COMPLETE}


def test_a_connection_that_dies_late_without_a_byte_costs_no_call(relay: RunningRelay) -> None:
    for number in range(4):  # every second one meets a connection that closes after 100 ms
        body = b"number %d" % number
        assert request(relay.port, "/v1/tired", body).body == body
    assert [c.request_body.length for c in relay.calls(4)] == [8] * 4


def test_a_named_upstream_is_called_at_its_own_path(tmp_path: Path) -> None:
    with running_upstream() as first, running_upstream() as second:
        upstreams = [upstream_at(first.port), upstream_at(second.port, "other", base_path=b"")]
        with running_relay(tmp_path, upstreams) as relay:
            request(relay.port, "/u/other/v9/plain")
            request(relay.port, "/u/openai/plain")
            assert relay.calls(2)[0].upstream == "other"
    assert second.sent().startswith(b"POST /v9/plain ")
    assert first.sent().startswith(b"POST /v1/plain ")


def test_a_key_that_shalt_holds_replaces_the_clients(tmp_path: Path) -> None:
    with running_upstream() as upstream:
        held = upstream_at(upstream.port, key_header=(b"authorization", b"Bearer held"))
        with running_relay(tmp_path, [held]) as relay:
            request(relay.port, "/v1/plain", headers={"Authorization": "Bearer client"})
    assert b"Bearer held" in upstream.sent()
    assert b"client" not in upstream.sent()


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [
        ("/v1/silent", 502, Outcome.UPSTREAM_UNREACHABLE),
        ("/v1/garbage", 502, Outcome.UPSTREAM_ERROR),
        ("/u/hurried/hang", 504, Outcome.UPSTREAM_TIMEOUT),
    ],
)
def test_our_own_failures_speak_the_dialect(
    relay: RunningRelay, path: str, status: int, outcome: Outcome
) -> None:
    answer = request(relay.port, path)
    assert answer.status == status
    error = answer.json()["error"]
    assert isinstance(error, dict)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == answer.header("x-shalt-error")
    assert relay.calls(1)[0].outcome is outcome


def test_anthropics_clients_get_anthropics_envelope(relay: RunningRelay) -> None:
    answer = request(relay.port, "/u/nowhere/v1/messages")
    assert answer.status == 404
    assert answer.json()["type"] == "error"
    assert relay.calls(1)[0].outcome is Outcome.REFUSED


def test_an_upstream_that_is_not_there_is_502(tmp_path: Path) -> None:
    with refusing_port() as port, running_relay(tmp_path, [upstream_at(port)]) as relay:
        assert request(relay.port, "/v1/plain").status == 502
        assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize(
    ("path", "kept", "outcome"),
    [
        ("/v1/cut", b"x" * 100, Outcome.UPSTREAM_CUT),
        ("/v1/cut-chunk", b"hello", Outcome.UPSTREAM_CUT),
        ("/u/restless/stall", b"a little", Outcome.UPSTREAM_TIMEOUT),
    ],
)
def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(
    relay: RunningRelay, path: str, kept: bytes, outcome: Outcome
) -> None:
    answer = request(relay.port, path)
    assert (answer.status, answer.body, answer.whole) == (200, kept, False)
    capture = relay.calls(1)[0]
    assert (capture.outcome, capture.response_body.length) == (outcome, len(kept))


@pytest.mark.parametrize("path", ["slow", "hang"])
def test_a_lost_client_cancels_upstream(relay: RunningRelay, upstream: Upstream, path: str) -> None:
    client = send_and_leave(relay.port, f"/v1/{path}")
    wait_until(lambda: relay.frames() and upstream.heads)  # it has been going on for 50 ms
    client.close()
    wait_until(lambda: upstream.lost)  # how soon that is, benchmarks/relay_limits.py measures
    assert relay.calls(1)[0].outcome is Outcome.CLIENT_GONE


def test_draining_reads_the_answer_to_its_end(upstream: Upstream, tmp_path: Path) -> None:
    with running_relay(tmp_path, [upstream_at(upstream.port)], on_client_gone="drain") as relay:
        client = send_and_leave(relay.port, "/v1/held")
        client.recv(10)
        client.close()
        for _ in range(3):  # turns of the relay's loop, in which it sees that the client has left
            request(relay.port, "/v1/plain", headers={"x-shalt-record": "none"})
        upstream.go_on.set()
        capture = relay.calls(1)[0]
        assert capture.outcome is Outcome.CLIENT_GONE
        assert capture.response_body.length == 11


def test_a_client_that_leaves_with_half_a_request_is_one_record(relay: RunningRelay) -> None:
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        client.sendall(b"POST /v1/plain HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
        wait_until(lambda: relay.recording.open_count)
    capture = relay.calls(1)[0]
    assert (capture.outcome, capture.request_body.data) == (Outcome.CLIENT_GONE, b"half")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_passes_in_bounded_memory(relay: RunningRelay, chunked: bool) -> None:
    body = os.urandom(2**20) * 10
    with socket.create_connection(("127.0.0.1", relay.port), timeout=30) as client:
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
        client.sendall(b"POST /v1/upload HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
        if chunked:
            for start in range(0, len(body), 100_000):
                piece = body[start : start + 100_000]
                client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.sendall(b"0\r\n\r\n")
        else:
            client.sendall(body)
        answer = client.recv(65536)
    assert hashlib.sha256(body).hexdigest().encode() in answer
    capture = relay.calls(1)[0]
    assert capture.request_body.length == len(body)
    assert relay.frames()[0] is FrameKind.BEGIN


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "application"])
def test_a_large_answer_waits_for_a_slow_reader(
    upstream: Upstream, tmp_path: Path, direct: bool
) -> None:
    given = [upstream_at(upstream.port)]
    with running_relay(tmp_path, given, direct=direct, body_bytes_max=2**24) as relay:
        client = send_and_leave(relay.port, "/v1/big")
        wait_until(relay.frames)  # it holds a MiB or 50 ms of it: nobody reads, the buffers fill
        received = 0
        while received < BIG_BYTES:
            received += len(client.recv(2**20))
        client.close()
        capture = relay.calls(1)[0]
    assert capture.response_body.length == BIG_BYTES
    assert capture.response_body.truncated
    assert capture.response_body.sha256 == hashlib.sha256(b"z" * BIG_BYTES).hexdigest()


def test_an_answer_before_the_end_of_the_request_passes(relay: RunningRelay) -> None:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client:
        client.sendall(b"POST /v1/refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\nbegin")
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert relay.calls(1)[0].outcome is Outcome.UPSTREAM_ERROR
    assert request(relay.port, "/v1/plain").status == 200


def test_100_continue_is_answered(relay: RunningRelay) -> None:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client:
        client.sendall(
            b"POST /v1/upload HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
            b"content-length: 5\r\n\r\n"
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"hello")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_many_calls_at_once_keep_their_own_bytes(relay: RunningRelay) -> None:
    answers: dict[int, bytes] = {}

    def call(number: int) -> None:
        answers[number] = request(relay.port, "/v1/echo", b"marker %d." % number).body

    threads = [threading.Thread(target=call, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(body.endswith(b"marker %d." % number) for number, body in answers.items())
    captures = relay.calls(100)
    assert all(c.response_body.data.endswith(c.request_body.data) for c in captures)
    assert len({capture.id for capture in captures}) == 100


def test_a_long_call_is_begun_in_the_spool_before_it_ends(relay: RunningRelay) -> None:
    client = send_and_leave(relay.port, "/v1/slow")
    wait_until(lambda: relay.frames()[:2] == [FrameKind.BEGIN, FrameKind.PART])
    client.close()
    relay.calls(1)
    assert relay.frames()[-1] is FrameKind.END


def test_a_request_hidden_in_a_body_reaches_nobody_elses_connection(
    relay: RunningRelay, upstream: Upstream
) -> None:
    hidden = b"POST /v1/steal HTTP/1.1\r\nx-ignore: "
    request(relay.port, "/v1/plain", hidden, headers={"connection": "content-length"})
    request(relay.port, "/v1/echo", headers={"authorization": "Bearer of-somebody-else"})
    assert [head.split(b" ")[1] for head in upstream.heads] == [b"/v1/plain", b"/v1/echo"]


def test_a_body_waits_for_its_connection_however_long_that_takes(
    upstream: Upstream, tmp_path: Path
) -> None:
    pool = UpstreamPool(Address("127.0.0.1", upstream.port), connections_max=1)
    with running_relay(tmp_path, [upstream_at(upstream.port, pool=pool)]) as relay:
        answers: list[bytes] = []
        paths = ["/v1/chunked"] * 4 + ["/v1/upload"] * 4  # one after the other, 50 ms each
        threads = [
            threading.Thread(
                target=lambda path=path: answers.append(request(relay.port, path, b"x" * 3000).body)
            )
            for path in paths
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert min(answers).startswith(b"3000 ")
    assert len([answer for answer in answers if answer.startswith(b"3000 ")]) == 4


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "application"])
def test_a_body_that_comes_while_there_is_no_connection_yet_loses_no_piece(
    upstream: Upstream, tmp_path: Path, direct: bool
) -> None:
    pool = UpstreamPool(Address("127.0.0.1", upstream.port), connections_max=1)
    given = [upstream_at(upstream.port, pool=pool)]
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n"
    with (
        running_relay(tmp_path, given, direct=direct) as relay,
        send_and_leave(relay.port, "/v1/held"),
        socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client,
    ):
        wait_until(lambda: upstream.heads)
        client.sendall(head + b"one")
        # So old are both now that the client's leaving is watched for.
        wait_until(lambda: relay.frames().count(FrameKind.BEGIN) == 2)
        for piece in (b"two", b"end"):
            client.sendall(piece)
            request(relay.port, "/u/nowhere")  # by whose end the relay has read it
        upstream.go_on.set()
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.endswith(b"\r\n\r\nonetwoend")


def test_the_name_of_an_unknown_upstream_is_not_repeated(relay: RunningRelay) -> None:
    answer = request(relay.port, "/u/MySecretKey123/v1/x")
    assert b"MySecretKey123" not in answer.body
    assert "MySecretKey123" not in relay.calls(1)[0].error


def test_no_secret_reaches_the_disk(relay: RunningRelay) -> None:
    secret = "sk-canary-0123456789abcdef"
    headers = {
        "authorization": f"Bearer {secret}", "x-api-key": secret, "api-key": secret,
        "cookie": f"a={secret}", "x-goog-api-key": secret, "x-custom": secret,
        "helicone-auth": f"Bearer {secret}", "x-shalt-key": secret,
    }  # fmt: skip
    request(relay.port, f"/v1/plain?key={secret}&b={secret}", headers=headers)
    relay.calls(1)
    written = b"".join(path.read_bytes() for path in relay.spool.rglob("*") if path.is_file())
    assert b"canary" not in written
    assert b"redacted:" in written


def test_opting_out_leaves_a_count_and_nothing_else(relay: RunningRelay) -> None:
    request(relay.port, "/v1/plain", b"private words", headers={"x-shalt-record": "none"})
    wait_until(lambda: relay.tally().opted_out == 1)
    written = b"".join(path.read_bytes() for path in relay.spool.rglob("*") if path.is_file())
    assert b"private" not in written


def test_metadata_only_keeps_lengths_and_no_body(relay: RunningRelay) -> None:
    request(relay.port, "/v1/plain", b"private words", headers={"x-shalt-record": "metadata"})
    capture = relay.calls(1)[0]
    assert (capture.request_body.data, capture.request_body.length) == (b"", 13)
    assert capture.request_body.sha256 == hashlib.sha256(b"private words").hexdigest()


def test_where_the_time_went_is_told_to_who_asks(relay: RunningRelay, upstream: Upstream) -> None:
    plain = request(relay.port, "/v1/late-echo")
    asked = request(relay.port, "/v1/late-echo", headers={"x-shalt-timing": "1"})
    assert plain.header("server-timing") == ""
    told = dict(part.split(";dur=") for part in asked.header("server-timing").split(", "))
    assert list(told) == ["receive", "connect", "upstream"]
    assert float(told["upstream"]) >= 190
    assert float(told["receive"]) >= 0
    assert b"x-shalt-timing" not in upstream.sent()


def test_what_shalt_adds_is_measured_by_phase(relay: RunningRelay) -> None:
    request(relay.port, "/v1/plain")
    relay.calls(1)
    metric = relay.recording.metrics.overhead

    def by_phase(suffix: str) -> dict[str, float]:
        samples = [sample for family in metric.collect() for sample in family.samples]
        return {s.labels["phase"]: s.value for s in samples if s.name.endswith(suffix)}

    counts = {"receive": 1, "connect": 1, "forward": 1, "record": 1}
    wait_until(lambda: by_phase("_count") == counts)
    assert all(seconds > 0 for seconds in by_phase("_sum").values())


def test_a_mistyped_header_for_shalt_is_said_so(relay: RunningRelay) -> None:
    answer = request(relay.port, "/v1/plain", headers={"x-shalt-record": "sometimes"})
    assert (answer.status, answer.header("x-shalt-error")) == (400, "bad_header")


def test_a_body_over_the_limit_passes_and_is_kept_in_part(
    upstream: Upstream, tmp_path: Path
) -> None:
    with running_relay(tmp_path, [upstream_at(upstream.port)], body_bytes_max=10) as relay:
        answer = request(relay.port, "/v1/upload", b"0123456789abcdef")
        assert answer.body.startswith(b"16 ")
        body = relay.calls(1)[0].request_body
    assert (body.data, body.length, body.truncated) == (b"0123456789", 16, True)
    assert body.sha256 == hashlib.sha256(b"0123456789abcdef").hexdigest()


@pytest.mark.parametrize("path", ["/v1/plain", "/v1/chunked", "/v1/stream"])
def test_synced_always_means_synced_before_the_last_byte(
    upstream: Upstream, tmp_path: Path, path: str
) -> None:
    with running_relay(tmp_path, [upstream_at(upstream.port)], sync="always") as relay:
        assert request(relay.port, path).whole
        assert relay.tally().spooled == 1  # without waiting: it was there before the answer was


def test_a_full_spool_lets_calls_pass_and_counts_them(upstream: Upstream, tmp_path: Path) -> None:
    limits = SpoolLimits(spool_bytes=1, segment_bytes=1)
    with running_relay(tmp_path, [upstream_at(upstream.port)], limits=limits) as relay:
        request(relay.port, "/v1/plain")
        wait_until(lambda: relay.recording.full)
        assert request(relay.port, "/v1/plain").status == 200
        wait_until(lambda: relay.tally().dropped[DropReason.SPOOL_FULL] == 1)


def test_a_full_spool_refuses_calls_where_that_is_wanted(
    upstream: Upstream, tmp_path: Path
) -> None:
    limits = SpoolLimits(spool_bytes=1, segment_bytes=1)
    with running_relay(
        tmp_path, [upstream_at(upstream.port)], limits=limits, refuse_when_full=True
    ) as relay:
        request(relay.port, "/v1/plain")
        wait_until(lambda: relay.recording.full)
        assert request(relay.port, "/v1/plain").header("x-shalt-error") == "spool_full"


def test_every_accepted_call_is_counted_once(relay: RunningRelay) -> None:
    for path in ("/v1/plain", "/v1/cut", "/v1/silent", "/u/none/x", "/v1/stream"):
        request(relay.port, path)
    wait_until(lambda: relay.tally().in_flight == 0)
    assert (relay.tally().accepted, relay.tally().spooled) == (5, 5)


def test_a_fault_beside_a_call_costs_that_call_alone(relay: RunningRelay) -> None:
    received = iter([{"type": "http.request", "body": b"half", "more_body": True}])
    sent: list[Message] = []

    async def receive() -> Message:
        try:
            return next(received)
        except StopIteration:
            raise ZeroDivisionError("a fault of the server's") from None

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "raw_path": b"/v1/hang", "path": "/v1/hang"}
    headers = [(b"content-length", b"9")]
    call = Relay(relay.gate)({**scope, "query_string": b"", "headers": headers}, receive, send)
    asyncio.run_coroutine_threadsafe(_run(call), relay.loop).result(60)
    assert sent[0]["status"] == 500
    assert (b"x-shalt-error", b"shalt_fault") in sent[0]["headers"]
    assert relay.calls(1)[0].outcome is Outcome.INTERRUPTED
    assert request(relay.port, "/v1/plain").status == 200


async def _run(call: Awaitable[None]) -> None:
    await call
