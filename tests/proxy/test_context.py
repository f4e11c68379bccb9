"""Tests of proxy.context: what headers ask for, and which calls a sample keeps."""

from pathlib import Path

import pytest

from proxy.context import RecordMode, is_sampled, read_context
from storage.capture import Headers
from storage.roster import read_roster
from storage.segments import writers
from tests.client import exchange, request
from tests.relaying import running_relay, upstream_at, wait_until
from tests.upstream import running_upstream


@pytest.mark.parametrize(
    ("headers", "mode"),
    [
        ([], None),
        ([(b"x-shalt-record", b"full")], "full"),
        ([(b"x-shalt-record", b" Metadata ")], "metadata"),
        ([(b"helicone-omit-request", b"true")], "metadata"),
        ([(b"helicone-omit-response", b"true")], "metadata"),
        ([(b"helicone-omit-response", b"false")], None),
        ([(b"x-litellm-enable-message-redaction", b"True")], "metadata"),
        ([(b"op-log-request", b"false")], "none"),
        ([(b"op-log-request", b"true")], None),
        ([(b"op-log-request", b"false"), (b"x-shalt-record", b"full")], "full"),
    ],
)
def test_what_is_kept_can_be_asked_for_in_several_words(
    headers: Headers, mode: RecordMode | None
) -> None:
    assert read_context(headers, own_project="", default_project="d").mode == mode


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip\r\ntransfer-encoding: chunked"])
def test_a_transfer_coding_that_nobody_would_undo_is_refused(tmp_path: Path, coding: bytes) -> None:
    head = b"POST /v1/plain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: %b\r\n\r\n0\r\n\r\n"
    last = b"POST /v1/plain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    last += b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)]) as relay,
    ):
        received = exchange(relay.port, head % coding + last)
        assert received.startswith(b"HTTP/1.1 501 ")
        assert b"x-shalt-error: unknown_coding" in received
        assert received.count(b"HTTP/1.1 200 ") == 1
        assert len(upstream.heads) == 1


def test_half_of_the_calls_are_about_half_of_them() -> None:
    kept = sum(is_sampled(b"%032x" % number, 0.5) for number in range(10_000))
    assert 4_800 < kept < 5_200
    assert not any(is_sampled(b"%d" % number, 0) for number in range(1000))
    assert all(is_sampled(b"%d" % number, 1) for number in range(1000))


def test_a_session_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], sample_ratio=0.5) as relay,
    ):
        names = [f"session {number}" for number in range(20)]
        for name in names * 3:
            request(relay.port, "/v1/plain", headers={"x-shalt-session": name})
        expected = {name for name in names if is_sampled(name.encode(), 0.5)}
        assert 0 < len(expected) < len(names)
        kept = relay.calls(3 * len(expected))
        sessions = [dict(call.request_headers)[b"x-shalt-session"].decode() for call in kept]
        assert sorted(sessions) == sorted([*expected] * 3)
        wait_until(lambda: relay.tally().in_flight == 0)
        tally = relay.tally()
        assert (tally.accepted, tally.spooled) == (60, len(kept))
        assert tally.sampled_out == 60 - len(kept)


def test_a_key_is_no_project_for_projects_are_kept() -> None:
    key = b"sk-" + b"a1B2c3D4e5F6g7H8i9"
    wanted = read_context([(b"x-shalt-project", key)], own_project="", default_project="d")
    assert wanted.refusal is not None
    assert wanted.project == "d"


def test_turns_of_one_trace_are_sampled_alike() -> None:
    trace = b"00-%032x-%016x-01"
    first, second = (
        read_context([(b"traceparent", trace % (7, span))], own_project="", default_project="d")
        for span in (1, 2)
    )
    assert first.sampled_by == second.sampled_by == b"%032x" % 7


def test_the_ids_of_calls_left_out_are_known(tmp_path: Path) -> None:
    with (
        running_upstream() as upstream,
        running_relay(tmp_path, [upstream_at(upstream.port)], sample_ratio=0) as relay,
    ):
        chance = request(relay.port, "/v1/plain").header("x-shalt-call-id")
        own_will = request(relay.port, "/v1/plain", headers={"x-shalt-record": "none"})
        asked = request(relay.port, "/v1/plain", headers={"x-shalt-record": "full"})
        assert [call.id for call in relay.calls(1)] == [asked.header("x-shalt-call-id")]
        known = read_roster(tmp_path / writers(tmp_path)[0]).dropped
        assert known == {chance: "sampled_out", own_will.header("x-shalt-call-id"): "opted_out"}
