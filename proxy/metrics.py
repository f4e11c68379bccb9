"""Calls and our own overhead for Prometheus, counted in the worker.

Workers are several processes: `prometheus_client` writes each one's values to a file, and the
console adds them up (multiprocess mode). Label values come from closed lists: the configured
upstreams, `Endpoint` and `Outcome`.

Calls that have ended are counted together, every 20 ms (proxy.recording): so their counting costs a
tenth of what it does one by one, and delays no call that follows at once. A worker that is killed
has not counted its last 20 ms here; the ledger has them.
"""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter

from proxy.histograms import BatchHistogram
from storage.capture import Endpoint, Outcome

_OVERHEAD_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
_FIRST_TOKEN_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_DURATION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)


class Phases(NamedTuple):
    """What shalt adds to a call, in seconds.

    `receive`: from the request's arrival until it is handed to an upstream connection, but for
    waits; `connect`: waiting for that connection, next to nothing where one is idle; `forward`:
    passing on what comes, both ways; `record`: writing the call down, when the client has its
    last byte.
    """

    receive: float
    connect: float
    forward: float
    record: float


class _Series:
    """The series of one upstream and endpoint, looked up once, and the calls not yet in them."""

    def __init__(self, metrics: "CallMetrics", upstream: str, endpoint: Endpoint) -> None:
        self._calls = {o: metrics.calls.labels(upstream, endpoint, o) for o in Outcome}
        self._overhead = [metrics.overhead.labels(upstream, phase) for phase in Phases._fields]
        self._first_token = metrics.first_token.labels(upstream, endpoint)
        self._duration = metrics.duration.labels(upstream, endpoint)
        self.ended: list[tuple[Outcome, Phases, float]] = []
        self.first_tokens: list[float] = []

    def count(self) -> None:
        """Count the calls that have ended."""
        ended, self.ended = self.ended, []  # at once: what fails here fails for these alone
        first_tokens, self.first_tokens = self.first_tokens, []
        outcomes, phases, durations = zip(*ended, strict=True)
        for outcome in set(outcomes):
            self._calls[outcome].inc(outcomes.count(outcome))
        for histogram, values in zip(self._overhead, zip(*phases, strict=True), strict=True):
            histogram.observe_all(values)
        self._duration.observe_all(durations)
        self._first_token.observe_all(first_tokens)


class CallMetrics:
    """What a worker counts of every call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "shalt_proxy_calls",
            "Calls that have ended, by how.",
            ["upstream", "endpoint", "outcome"],
            registry=registry,
        )
        self.overhead = BatchHistogram(
            "shalt_proxy_overhead_seconds",
            "What shalt adds to a call, by phase: receive, connect, forward, record.",
            ["upstream", "phase"],
            buckets=_OVERHEAD_BUCKETS,
            registry=registry,
        )
        self.first_token = BatchHistogram(
            "shalt_proxy_time_to_first_token_seconds",
            "From the request's arrival to the first byte of a streamed answer.",
            ["upstream", "endpoint"],
            buckets=_FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        self.duration = BatchHistogram(
            "shalt_proxy_duration_seconds",
            "From the request's arrival to the last byte of the answer.",
            ["upstream", "endpoint"],
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self.refused = Counter(
            "shalt_proxy_refused",
            "Requests and connections that a limit turned away before they were calls.",
            ["reason"],
            registry=registry,
        )
        self.cut = Counter(
            "shalt_proxy_bodies_cut",
            "Bodies of which not all was kept, by why: a limit, or what nobody could search.",
            ["reason"],
            registry=registry,
        )
        self._series: dict[tuple[str, Endpoint], _Series] = {}
        self._due: list[_Series] = []

    def observe(
        self,
        upstream: str,
        endpoint: Endpoint,
        outcome: Outcome,
        *,
        phases: "Phases",
        duration_seconds: float,
        first_token_seconds: float | None,
    ) -> None:
        """Take note of one call that has ended, for the next `count`.

        `first_token_seconds` is None unless it was a stream.
        """
        series = self._series.get((upstream, endpoint))
        if series is None:
            series = self._series[upstream, endpoint] = _Series(self, upstream, endpoint)
        if not series.ended:
            self._due.append(series)
        series.ended.append((outcome, phases, duration_seconds))
        if first_token_seconds is not None:
            series.first_tokens.append(first_token_seconds)

    def count(self) -> None:
        """Count the calls that have ended since it was last done."""
        while self._due:
            self._due.pop().count()
