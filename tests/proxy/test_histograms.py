"""Tests of proxy.histograms: many values at once count as each alone."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from proxy.histograms import BatchHistogram

BOUNDS = (0.1, 0.25, 1.0)


def exposed(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line and "_sum" not in line]


@given(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.9, 1.0, 1.5, 1e9])))
def test_values_fall_into_the_buckets_they_would_alone(values: list[float]) -> None:
    together, alone = CollectorRegistry(), CollectorRegistry()
    BatchHistogram("wait", "", buckets=BOUNDS, registry=together).observe_all(values)
    histogram = Histogram("wait", "", buckets=BOUNDS, registry=alone)
    for value in values:
        histogram.observe(value)
    assert exposed(together) == exposed(alone)
    found = together.get_sample_value("wait_sum")
    assert found is not None
    assert abs(found - sum(values)) < 1e-6


def test_a_child_with_labels_takes_them_too() -> None:
    registry = CollectorRegistry()
    histogram = BatchHistogram("wait", "", ["phase"], buckets=BOUNDS, registry=registry)
    histogram.labels("connect").observe_all([0.2, 0.3])
    assert registry.get_sample_value("wait_count", {"phase": "connect"}) == 2
