"""Tests of proxy.passage: who may pass, and what failures mean. Calls are in test_relay.py."""

from pathlib import Path

import pytest

from proxy.connection import UpstreamCut, UpstreamNotHttp
from proxy.egress import UpstreamUnreachable
from proxy.passage import Gate, UpstreamFailure, outcome_of
from storage.capture import Outcome
from tests.relaying import running_relay, upstream_at


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (UpstreamUnreachable("no way"), Outcome.UPSTREAM_UNREACHABLE),
        (UpstreamCut("gone", before_first_byte=True), Outcome.UPSTREAM_UNREACHABLE),
        (UpstreamCut("gone", before_first_byte=False), Outcome.UPSTREAM_CUT),
        (UpstreamNotHttp("what?"), Outcome.UPSTREAM_ERROR),
    ],
)
def test_a_failure_of_the_upstream_has_one_outcome(
    failure: UpstreamFailure, outcome: Outcome
) -> None:
    assert outcome_of(failure) is outcome


def test_an_unknown_upstream_is_said_before_anything_else(tmp_path: Path) -> None:
    with running_relay(tmp_path, [upstream_at(1)], open_calls_max=0) as relay:
        said = [_refusal(relay.gate, path) for path in (b"/u/none/x", b"/v1/x", b"/review")]
    assert said == ["unknown_upstream", "too_many_calls", None]  # pages are no calls


def test_nobody_climbs_out_of_the_base_url_with_a_key_of_ours(tmp_path: Path) -> None:
    ours = upstream_at(1, key_header=(b"authorization", b"Bearer sk-ours"))
    with running_relay(tmp_path, [ours]) as relay:
        said = [_refusal(relay.gate, path) for path in (b"/v1/../admin", b"/v1/x")]
    assert said == ["climbing_path", None]
    with running_relay(tmp_path / "other", [upstream_at(1)]) as relay:
        assert _refusal(relay.gate, b"/v1/../admin") is None  # it is the client's key


def _refusal(gate: Gate, path: bytes) -> str | None:
    refusal = gate.admit(path, []).refusal
    return refusal.code if refusal else None
