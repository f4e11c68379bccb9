"""The supervisor for Prometheus: how often it had to start a process again."""

import json
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class RestartCollector(Collector):
    """Reads what the supervisor writes at every restart: JSON, kind of process to count."""

    def __init__(self, restarts: Path) -> None:
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Read the file now."""
        family = CounterMetricFamily(
            "shalt_supervisor_restarts",
            "Child processes started again after they had died.",
            labels=["process"],
        )
        for process, count in json.loads(self._restarts.read_text()).items():
            family.add_metric([process], count)
        yield family
