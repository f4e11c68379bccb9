"""Tests of proxy.metrics."""

from prometheus_client import CollectorRegistry, generate_latest

from proxy.metrics import CallMetrics
from storage.capture import Endpoint, Outcome


def test_a_call_is_counted_by_upstream_endpoint_and_outcome() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    for first_token in (None, 0.2):
        metrics.observe(
            "openai",
            Endpoint.CHAT_COMPLETIONS,
            Outcome.COMPLETE,
            overhead_seconds=0.0002,
            duration_seconds=1.5,
            first_token_seconds=first_token,
        )
    text = generate_latest(registry).decode()
    labels = 'endpoint="chat_completions",outcome="complete",upstream="openai"'
    assert f"shalt_proxy_calls_total{{{labels}}} 2.0" in text
    assert 'shalt_proxy_overhead_seconds_bucket{le="0.00025",upstream="openai"} 2.0' in text
    labels = 'endpoint="chat_completions",upstream="openai"'
    assert f"shalt_proxy_time_to_first_token_seconds_count{{{labels}}} 1.0" in text
