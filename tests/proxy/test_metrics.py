"""Tests of proxy.metrics."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from proxy.metrics import CallMetrics, Phases
from storage.capture import Endpoint, Outcome


def count_two(metrics: CallMetrics) -> None:
    for first_token in (None, 0.2):
        metrics.observe(
            "openai",
            Endpoint.CHAT_COMPLETIONS,
            Outcome.COMPLETE,
            phases=Phases(receive=0.0002, connect=0.02, forward=0.0002, record=0.00001),
            duration_seconds=1.5,
            first_token_seconds=first_token,
        )


def test_a_call_is_counted_by_upstream_endpoint_and_outcome() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    count_two(metrics)
    metrics.count()
    count_two(metrics)
    metrics.count()
    metrics.count()  # nothing is counted twice
    text = generate_latest(registry).decode()
    labels = 'endpoint="chat_completions",outcome="complete",upstream="openai"'
    assert f"shalt_proxy_calls_total{{{labels}}} 4.0" in text
    name = "shalt_proxy_overhead_seconds_bucket"
    for phase, count in {"receive": 4.0, "connect": 0.0, "forward": 4.0, "record": 4.0}.items():
        assert f'{name}{{le="0.00025",phase="{phase}",upstream="openai"}} {count}' in text
    labels = 'endpoint="chat_completions",upstream="openai"'
    assert f"shalt_proxy_time_to_first_token_seconds_count{{{labels}}} 2.0" in text


def test_what_cannot_be_counted_is_no_burden_to_what_comes_later() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    metrics.observe(
        "openai",
        Endpoint.CHAT_COMPLETIONS,
        Outcome.COMPLETE,
        phases=Phases(0, 0, 0, 0),
        duration_seconds="long",  # type: ignore[arg-type]
        first_token_seconds=None,
    )
    with pytest.raises(TypeError):
        metrics.count()
    count_two(metrics)
    metrics.count()
    labels = {"endpoint": "chat_completions", "upstream": "openai"}
    name = "shalt_proxy_duration_seconds_count"
    assert registry.get_sample_value(name, labels) == 2
