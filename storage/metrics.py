"""The recorder and the spool for Prometheus.

`RecorderMetrics` is counted by the recorder. `SpoolCollector` is asked at each scrape, by the
console: it reads a few small files and one row of the store for each worker.
"""

import time
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from storage import segments
from storage.capture import Capture
from storage.database import StoreUnavailable
from storage.label_rows import count_waiting
from storage.labels import Said, Score
from storage.ledger import LedgerReader
from storage.reader import StoreReader
from storage.replay import START, SpoolReader
from storage.rows import Checkpoint
from storage.spool import Position
from storage.trace import Span

_OTHER_MODEL = "other"
_BATCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
# How many frames of a backlog are looked at to find how old it is.
_FRAMES_LOOKED_AT = 20


class RecorderMetrics:
    """What the recorder counts. `models` are the model names that may become label values."""

    def __init__(self, registry: CollectorRegistry, models: Iterable[str]) -> None:
        self._models = frozenset(models)
        self._tokens = Counter(
            "shalt_recorder_tokens",
            "Tokens as the upstreams counted them, of calls recorded.",
            ["upstream", "model", "kind"],
            registry=registry,
        )
        self._recorded = Counter(
            "shalt_recorder_calls", "Calls stored by this recorder.", registry=registry
        )
        self._scores = Counter(
            "shalt_scores",
            "Scores this recorder took from the spool, repeated ones included.",
            registry=registry,
        )
        self._labels = Counter(
            "shalt_labels",
            "Labels, and verdicts on labels, this recorder took from the spool.",
            registry=registry,
        )
        self._torn_bytes = Counter(
            "shalt_recorder_torn_bytes",
            "Bytes at the end of dead workers' spools that were no whole frame.",
            registry=registry,
        )
        self._store_failures = Counter(
            "shalt_recorder_store_failures",
            "Tries to store a batch that failed because the store was not there.",
            registry=registry,
        )
        self._batch = Histogram(
            "shalt_recorder_batch_seconds",
            "Time to derive and store one batch.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self._lag = Gauge(
            "shalt_recorder_lag_seconds",
            "From the end of the newest recorded call to its being in the store.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._committed_at = Gauge(
            "shalt_recorder_last_commit_timestamp_seconds",
            "When the recorder last stored something, seconds since 1970.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def stored(self, spans: list[Span], *, seconds: float, now_ns: int) -> None:
        """Count a batch that took `seconds` and was committed at `now_ns`."""
        self._recorded.inc(len(spans))
        self._batch.observe(seconds)
        self._committed_at.set(now_ns / 1e9)
        if spans:
            ended_ns = max(span.started_at_ns + int(span.duration_ms * 1e6) for span in spans)
            self._lag.set(max(now_ns - ended_ns, 0) / 1e9)
        tokens: Counts[tuple[str, str, str]] = Counts()
        for span in spans:
            usage = span.understood.usage
            model = span.understood.request_model
            model = model if model in self._models else _OTHER_MODEL
            for kind, count in (
                ("input", usage.input_tokens),
                ("output", usage.output_tokens),
                ("cached", usage.cached_tokens),
                ("reasoning", usage.reasoning_tokens),
            ):
                if count is not None and count > 0:
                    tokens[span.upstream, model, kind] += count
        for labels, total in tokens.items():
            self._tokens.labels(*labels).inc(total)

    def said(self, said: Iterable[Said]) -> None:
        """Count scores, labels and verdicts that were committed."""
        for each in said:
            (self._scores if isinstance(each, Score) else self._labels).inc()

    def torn(self, byte_count: int) -> None:
        """Count bytes of a torn tail."""
        self._torn_bytes.inc(byte_count)

    def store_failed(self) -> None:
        """Count a try that failed."""
        self._store_failures.inc()


class SpoolCollector(Collector):
    """The ledger, and how much waits in the spool and for how long."""

    def __init__(self, spool: Path, store: StoreReader) -> None:
        self._spool = spool
        self._store = store
        self._ledger = LedgerReader(spool, store)

    def collect(self) -> Iterator[Metric]:
        """Read it all now."""
        ledger = self._ledger.read()
        yield CounterMetricFamily(
            "shalt_ledger_accepted", "Calls accepted by workers.", value=ledger.accepted
        )
        yield CounterMetricFamily(
            "shalt_ledger_stored", "Calls stored, erased ones included.", value=ledger.stored
        )
        yield CounterMetricFamily(
            "shalt_ledger_sampled_out", "Calls left out by sampling.", value=ledger.sampled_out
        )
        yield CounterMetricFamily(
            "shalt_ledger_opted_out",
            "Calls not recorded because their request said so.",
            value=ledger.opted_out,
        )
        dropped = CounterMetricFamily(
            "shalt_ledger_dropped", "Calls that could not be recorded, by why.", labels=["reason"]
        )
        for reason, count in ledger.dropped.items():
            dropped.add_metric([reason], count)
        yield dropped
        yield GaugeMetricFamily(
            "shalt_ledger_backlog", "Calls in the spool, not in the store yet.", ledger.backlog
        )
        yield GaugeMetricFamily(
            "shalt_ledger_in_flight", "Calls that have not ended.", ledger.in_flight
        )
        yield GaugeMetricFamily(
            "shalt_spool_bytes", "Bytes of spool files.", segments.spool_bytes(self._spool)
        )
        yield GaugeMetricFamily(
            "shalt_spool_oldest_seconds",
            "Age of the oldest call in the spool that is not in the store; 0 when all are.",
            oldest_seconds(self._spool, self._ledger.checkpoints),
        )
        yield GaugeMetricFamily(
            "shalt_store_up", "1 when the store can be read, else 0.", float(ledger.store_ready)
        )
        yield GaugeMetricFamily(
            "shalt_feedback_waiting",
            "Scores and labels in the store whose call is not there yet; 0 while it is not read.",
            float(waiting_for_calls(self._store) if ledger.store_ready else 0),
        )


def waiting_for_calls(store: StoreReader) -> int:
    """Count the scores and labels in the store whose call is not; 0 where it cannot be read."""
    try:
        with store.reading() as connection:
            return count_waiting(connection)
    except StoreUnavailable:
        return 0


def oldest_seconds(spool: Path, checkpoints: Mapping[str, Checkpoint]) -> float:
    """Tell how many seconds ago the oldest call that waits in the spool had started.

    `checkpoints` say how far the writers' spools are stored. A clock set back makes it 0.
    """
    oldest_ns: list[int] = []
    for name in segments.writers(spool):
        known = checkpoints.get(name)
        position = Position(known.segment, known.offset) if known else START
        try:
            frames = SpoolReader(spool / name, position).read(_FRAMES_LOOKED_AT, 2**20)
        except FileNotFoundError:
            continue  # finished this moment
        oldest_ns += [f.payload.started_at_ns for f in frames if isinstance(f.payload, Capture)]
    return max(time.time_ns() - min(oldest_ns), 0) / 1e9 if oldest_ns else 0.0
