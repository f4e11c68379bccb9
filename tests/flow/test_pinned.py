"""A client names a path, never an address: nothing it sends, and no upstream, leads elsewhere.

Traps listen where the requests try to lead; not one connection may arrive there. The corpus is that
of the gateways' own advisories (CVE-2024-6587, CVE-2026-41487, CVE-2026-49468 and their kind).
"""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.dialling import Address
from proxy.egress import Credentials, Egress
from proxy.upstream import UpstreamPool
from tests.client import request
from tests.egress import running_egress
from tests.relaying import RunningRelay, running_relay, upstream_at
from tests.upstream import Upstream, running_upstream

HELD, OTHER, CLIENTS = b"Bearer held-canary", b"Bearer other-canary", b"Bearer client-canary"

# {trap} is a trap's host and port, {real} the upstream's.
TARGETS = [
    "http://{trap}/v1/x", "http://{real}@{trap}/v1/x", "http://{trap}/u/openai/x", "https://{trap}",
    "http://{trap}#@{real}/v1/x", "http://{trap}\\@{real}/v1/x", "HTTP://{trap}:80/v1/x",
    "ftp://{trap}/v1/x", "file:///etc/passwd", "{trap}", "*", "?x=http://{trap}",
    "//{trap}/v1/x", "///{trap}/v1/x", "/\\{trap}/v1/x", "\\\\{trap}\\v1", "/v1//{trap}/x",
    "/v1/@{trap}/x", "/v1@{trap}/x", "/v1:@{trap}/x", "/v1:80@{trap}/x", "/v1.{trap}/x",
    "/v1/http://{trap}/x", "/v1/..//{trap}/x", "/v1/../../x", "/v1/..\\..\\{trap}",
    "/v1/%2e%2e/%2e",
    "/v1%2f%2f{trap}/x", "/v1/%2f%2f{trap}", "/v1%40{trap}/x", "/v1/%0d%0aHost:%20{trap}/x",
    "/v1/x%00{trap}", "/v1/x%23@{trap}", "/v1/x#@{trap}", "/v1;@{trap}/x", "/v1/..;/{trap}",
    "/v1?@{trap}/x", "/v1/x?api_base=http://{trap}&base_url=http://{trap}&url=http://{trap}",
    "/u/{trap}/x", "/u/http://{trap}/x", "/u/@{trap}/x", "/u/openai@{trap}/x",
    "/u/openai:80@{trap}",
    "/u/openai.{trap}/x", "/u/openai//{trap}/x", "/u/openai/../{trap}/x", "/u//{trap}/x", "/u/../x",
    "/u/%6fpenai/x", "/u/openai%2f..%2f{trap}", "/u/OPENAI/x", "/u/", "/u", "/u/console/x",
    "/v1/\u2025/x", "/v1\uff0f\uff0f{trap}",
]  # fmt: skip
HEADERS = [
    "Host: {trap}", "Host: {real}@{trap}", "Host: {trap}/#@{real}", "Host: {real}\r\nHost: {trap}",
    "Host: ", "Host: {real}\r\n {trap}", "Host: {real}, {trap}", "Host\t: {trap}", "Host: a\x00b",
    "X-Forwarded-Host: {trap}", "X-Forwarded-Server: {trap}", "Forwarded: host={trap};for=1",
    "X-Host: {trap}", "X-Original-URL: http://{trap}/", "X-Rewrite-URL: http://{trap}/",
    "X-HTTP-Host-Override: {trap}", "X-Forwarded-For: {trap}", "X-Real-IP: {trap}",
    "Helicone-Target-URL: http://{trap}", "Helicone-OpenAI-Api-Base: http://{trap}/v1",
    "x-portkey-custom-host: http://{trap}/v1", "x-litellm-api-base: http://{trap}/v1",
    "api-base: http://{trap}", "x-shalt-upstream: http://{trap}", "x-shalt-base-url: http://{trap}",
    "Proxy: http://{trap}", "HTTP_PROXY: http://{trap}", "Proxy-Connection: keep-alive",
    "Referer: http://{trap}/", "Origin: http://{trap}", "Via: 1.1 {trap}", "Alt-Used: {trap}",
    "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk",
]  # fmt: skip
BODIES = [
    {name: value}
    for name in ("api_base", "base_url", "baseUrl", "url", "endpoint", "host", "proxy", "model")
    for value in ("http://{trap}/v1", {"url": "http://{trap}"}, ["//{trap}"])
]


@dataclass
class Traps:
    """Listeners that nothing may reach, by host and port; `real` is the upstream's place."""

    listeners: dict[str, socket.socket]
    real: str

    def fill(self, template: str) -> Iterator[str]:
        """Point what a client sends at each trap."""
        for trap in self.listeners:
            yield template.replace("{trap}", trap).replace("{real}", self.real)

    def connection_count(self) -> int:
        count = 0
        for listener in self.listeners.values():
            try:
                while listener.accept():
                    count += 1
            except BlockingIOError:
                continue
        return count


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as seen:
        yield seen


@pytest.fixture
def traps(upstream: Upstream) -> Iterator[Traps]:
    with ExitStack() as stack:
        listeners = {}
        hosts = [("127.0.0.2", socket.AF_INET), ("127.0.0.1", socket.AF_INET)]
        hosts += [("::1", socket.AF_INET6)] if socket.has_dualstack_ipv6() else []
        for host, family in hosts:
            listener = stack.enter_context(socket.create_server((host, 0), family=family))
            listener.setblocking(False)
            port = listener.getsockname()[1]
            listeners[f"[{host}]:{port}" if ":" in host else f"{host}:{port}"] = listener
        yield Traps(listeners, f"127.0.0.1:{upstream.port}")


@pytest.fixture
def relay(upstream: Upstream, tmp_path: Path) -> Iterator[RunningRelay]:
    """A relay that holds a key for its upstream, and another one for another upstream there."""
    held = upstream_at(upstream.port, key_header=(b"authorization", HELD))
    other = upstream_at(upstream.port, "other", key_header=(b"authorization", OTHER))
    with running_relay(tmp_path, [held, other]) as running:
        yield running


def send(port: int, line: str, headers: str = "Host: x", body: bytes = b"{}") -> bytes:
    """Send a request as it is and return what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        head = f"{line}\r\n{headers}\r\nAuthorization: {CLIENTS.decode()}\r\nConnection: close\r\n"
        client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        received = b""
        try:
            while piece := client.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
        return received


def check(upstream: Upstream, traps: Traps) -> None:
    """See that all went to the upstream, as its own requests, with its own key alone."""
    assert traps.connection_count() == 0
    for head in upstream.heads:
        lines = head.lower().split(b"\r\n")
        assert [line for line in lines if line.startswith(b"host:")] == [
            b"host: " + traps.real.encode()
        ]
        assert lines.count(b"authorization: " + HELD.lower()) == 1
        assert b"other-canary" not in head
        assert b"client-canary" not in head
        assert lines[0].split(b" ")[1].startswith(b"/v1")


def test_no_target_leads_elsewhere(relay: RunningRelay, upstream: Upstream, traps: Traps) -> None:
    for target in TARGETS:
        for filled in traps.fill(target):
            for method in ("POST", "CONNECT") if target == "{trap}" else ("POST",):
                answer = send(relay.port, f"{method} {filled} HTTP/1.1")
                assert answer.startswith(b"HTTP/1.1 ")
                assert b"held-canary" not in answer
    assert len(upstream.heads) > 20  # some are paths of the upstream's, odd as they are
    check(upstream, traps)


def test_no_header_leads_elsewhere(relay: RunningRelay, upstream: Upstream, traps: Traps) -> None:
    for headers in HEADERS:
        for filled in traps.fill(headers):
            for version in ("1.0", "1.1"):
                host = "" if "Host" in headers.partition(":")[0] else "Host: x\r\n"
                answer = send(relay.port, f"POST /v1/plain HTTP/{version}", host + filled)
                assert answer.startswith(b"HTTP/1.1 ")
    assert len(upstream.heads) > 60
    check(upstream, traps)


def test_no_body_leads_elsewhere(relay: RunningRelay, upstream: Upstream, traps: Traps) -> None:
    for body in BODIES:
        for filled in traps.fill(json.dumps(body)):
            answer = send(relay.port, "POST /v1/plain HTTP/1.1", body=filled.encode())
            assert answer.startswith(b"HTTP/1.1 200 ")
    check(upstream, traps)


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_a_redirect_is_the_clients_to_follow(
    relay: RunningRelay, upstream: Upstream, traps: Traps, status: str
) -> None:
    for location in traps.fill("http://{trap}/latest/meta-data"):
        asked = {"x-status": status, "x-location": location}
        answer = request(relay.port, "/v1/moved", headers=asked)
        assert (answer.status, answer.header("location")) == (int(status), location)
    assert len(upstream.heads) == len(traps.listeners)
    check(upstream, traps)


def test_no_target_leads_elsewhere_through_an_egress_proxy(
    upstream: Upstream, traps: Traps, tmp_path: Path
) -> None:
    with running_egress(upstream.port) as proxy:
        egress = Egress("127.0.0.1", proxy.port, Credentials(b"proxy", b"canary"))
        address = Address("api.example", 80, egress=egress)
        behind = upstream_at(
            1, pool=UpstreamPool(address, connections_max=1), host=b"api.example",
            base_path=b"http://api.example", egress=egress, key_header=(b"authorization", HELD),
        )  # fmt: skip
        with running_relay(tmp_path, [behind]) as relay:
            for target in TARGETS:
                for filled in traps.fill(target):
                    send(relay.port, f"POST {filled} HTTP/1.1", f"Host: {traps.real}")
    assert traps.connection_count() == 0
    assert len(proxy.heads) > 20
    for asked in proxy.targets:
        rest = asked.removeprefix(b"POST http://api.example")
        assert rest != asked
        assert rest[:1] in (b"", b"/", b"?")
    assert all(b"cHJveHk6Y2FuYXJ5" not in head for head in upstream.heads)
