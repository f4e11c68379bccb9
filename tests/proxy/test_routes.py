"""Tests of proxy.routes."""

from dataclasses import replace

import pytest

from proxy.dialling import Address
from proxy.egress import Credentials, Egress
from proxy.routes import Routes, Upstream, climbs, request_head, response_headers
from proxy.upstream import UpstreamPool
from storage.capture import Dialect


def upstream(name: str, base_path: bytes = b"/v1", host: bytes | None = b"api.example") -> Upstream:
    pool = UpstreamPool(Address("127.0.0.1", 1), connections_max=1)
    return Upstream(name, Dialect.OPENAI, pool, host, base_path, None, 1, 1, 1)


def routes() -> Routes:
    given = [upstream("openai"), upstream("replay", b"")]
    return Routes(given, default="openai", console=upstream("console", b"", None))


@pytest.mark.parametrize(
    ("path", "name", "there"),
    [
        (b"/v1/chat/completions", "openai", b"/v1/chat/completions"),
        (b"/v1", "openai", b"/v1"),
        (b"/u/replay/v1beta/models/x:y", "replay", b"/v1beta/models/x:y"),
        (b"/u/openai/chat/completions", "openai", b"/v1/chat/completions"),
        (b"/v1//evil.example/x", "openai", b"/v1//evil.example/x"),
        (b"/v1/../../x", "openai", b"/v1/../../x"),
        (b"/v1@evil.example/", "console", b"/v1@evil.example/"),
        (b"/v1beta/x", "console", b"/v1beta/x"),
        (b"//v1/x", "console", b"//v1/x"),
        (b"/metrics", "console", b"/metrics"),
    ],
)
def test_a_path_has_one_place_to_go(path: bytes, name: str, there: bytes) -> None:
    route = routes().find(path)
    assert route.upstream is not None
    assert (route.upstream.name, route.path) == (name, there)
    assert (route.mode == "unrecorded") == (name == "console")


@pytest.mark.parametrize(
    ("path", "does"),
    [
        (b"/v1/chat/completions", False),
        (b"/v1/models/a..b:c%20d", False),
        (b"/v1/../admin", True),
        (b"/v1/x/..", True),
        (b"/v1/%2e%2E/admin", True),
        (b"/v1/x%2f..%2fadmin", True),
        (b"/v1/..\\admin", True),
    ],
)
def test_a_path_that_climbs_is_told_however_it_is_written(path: bytes, does: bool) -> None:
    assert climbs(path) is does


@pytest.mark.parametrize(
    ("path", "name", "there"),
    [
        (b"/v1/messages", "claude", b"/base/v1/messages"),
        (b"/v1/messages/batches", "claude", b"/base/v1/messages/batches"),
        (b"/v1/messages/count_tokens", "openai", b"/v1/v1/messages/count_tokens"),
        (b"/v1/messages_x", "openai", b"/v1/messages_x"),
        (b"/v1/chat/completions", "openai", b"/v1/chat/completions"),
        (b"/api/chat", "claude", b"/base/api/chat"),
        (b"/api/chats", "console", b"/api/chats"),
        (b"/u/claude/api/chat", "claude", b"/base/api/chat"),
    ],
)
def test_a_mount_needs_no_name_and_the_longest_one_counts(
    path: bytes, name: str, there: bytes
) -> None:
    counting = replace(upstream("openai"), mounts=(b"/v1/messages/count_tokens",))
    claude = replace(upstream("claude", b"/base"), mounts=(b"/v1/messages", b"/api/chat"))
    found = Routes([counting, claude], default="openai", console=upstream("console", b"", None))
    route = found.find(path)
    assert route.upstream is not None
    assert (route.upstream.name, route.path) == (name, there)


@pytest.mark.parametrize("path", [b"/u/nowhere/x", b"/u/", b"/u/evil.example:80/x", b"/u/%6fpenai"])
def test_a_name_that_is_not_configured_leads_nowhere(path: bytes) -> None:
    assert routes().find(path).upstream is None


def test_headers_keep_their_order_and_host_its_place() -> None:
    headers = [(b"a", b"1"), (b"host", b"shalt"), (b"b", b"2"), (b"a", b"3")]
    head, chunked = request_head(upstream("openai"), "POST", b"/v1/x", b"q=1", headers)
    assert head == (b"POST /v1/x?q=1 HTTP/1.1\r\na: 1\r\nhost: api.example\r\nb: 2\r\na: 3\r\n\r\n")
    assert not chunked


def test_a_chunked_request_stays_chunked() -> None:
    headers = [(b"host", b"x"), (b"transfer-encoding", b"chunked")]
    head, chunked = request_head(upstream("openai"), "POST", b"/v1/x", b"", headers)
    assert chunked
    assert head.count(b"transfer-encoding: chunked\r\n") == 1


def test_a_trace_gets_no_key_of_ours_to_repeat() -> None:
    egress = Egress("proxy", 3128, Credentials(b"o", b"n"))
    held = replace(upstream("openai"), key_header=(b"authorization", b"Bearer x"), egress=egress)
    for method, told in (("POST", True), ("TRACE", False)):
        head, _ = request_head(held, method, b"/v1/x", b"", [(b"authorization", b"Bearer y")])
        assert (b"authorization: Bearer x" in head) is told
        assert (b"proxy-authorization" in head) is told
        assert b"Bearer y" not in head


def test_an_egress_proxy_gets_whole_urls_and_its_credentials_and_nothing_of_the_clients() -> None:
    egress = Egress("proxy", 3128, Credentials(b"o", b"n"))
    behind = replace(upstream("openai", b"http://api.example/v1"), egress=egress)
    route = Routes([behind], default="openai", console=upstream("console", b"", None))
    found = route.find(b"/v1/chat/completions")
    assert found.upstream is behind
    headers = [(b"host", b"evil"), (b"proxy-authorization", b"Basic Y2xpZW50")]
    head, _ = request_head(behind, "POST", found.path, b"", headers)
    assert head == (
        b"POST http://api.example/v1/chat/completions HTTP/1.1\r\nhost: api.example\r\n"
        b"proxy-authorization: Basic bzpu\r\n\r\n"
    )


def test_the_console_is_told_which_request_it_is_and_by_us_alone() -> None:
    headers = [(b"x-shalt-request", b"made up"), (b"accept", b"*/*")]
    head, _ = request_head(upstream("console", b"", None), "POST", b"/", b"", headers, b"an id")
    assert head.count(b"x-shalt-request") == 1
    assert b"\r\nx-shalt-request: an id\r\n" in head
    head, _ = request_head(upstream("openai"), "POST", b"/", b"", headers)
    assert b"x-shalt" not in head


def test_the_console_sees_the_clients_host() -> None:
    console = upstream("console", b"", None)
    head, _ = request_head(console, "GET", b"/", b"", [(b"host", b"localhost:8400")])
    assert b"host: localhost:8400\r\n" in head


def test_connection_cannot_take_the_framing_away() -> None:
    headers = [
        (b"host", b"x"),
        (b"connection", b"close"),
        (b"connection", b"Content-Length, x-hop, host"),
        (b"content-length", b"5"),
        (b"x-hop", b"1"),
        (b"host", b"y"),
    ]
    head, _ = request_head(upstream("openai"), "POST", b"/v1/x", b"", headers)
    assert head == b"POST /v1/x HTTP/1.1\r\nhost: api.example\r\ncontent-length: 5\r\n\r\n"


def test_an_answer_loses_what_is_hop_by_hop_and_gains_the_id() -> None:
    headers = [
        (b"connection", b"x-hop, keep-alive"),
        (b"x-hop", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"x-end", b"2"),
    ]
    assert response_headers(200, headers, b"id") == [(b"x-end", b"2"), (b"x-shalt-call-id", b"id")]


def test_an_answer_without_a_body_has_no_length() -> None:
    assert response_headers(304, [(b"content-length", b"20")], b"") == []
    assert response_headers(200, [(b"content-length", b"20")], b"") == [(b"content-length", b"20")]


@pytest.mark.parametrize("is_gateway", [False, True])
def test_keys_to_other_gateways_reach_such_a_gateway_only(is_gateway: bool) -> None:
    keys = [(b"helicone-auth", b"a"), (b"x-litellm-api-key", b"b"), (b"x-portkey-api-key", b"c")]
    headers = [(b"host", b"x"), *keys, (b"helicone-property-app", b"shop")]
    there = replace(upstream("openai"), is_gateway=is_gateway)
    head, _ = request_head(there, "POST", b"/v1/x", b"", headers)
    assert all((name + b": " in head) is is_gateway for name, _ in keys)
    assert b"helicone-property-app: shop\r\n" in head
