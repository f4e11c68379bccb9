"""Erasures and retention between the recorder's batches, within a share of the time.

An erasure may take half of it, retention a quarter: calls are stored meanwhile, more slowly. What
fails is tried again; nothing here stops the recorder.
"""

import logging
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from storage.database import StoreUnavailable
from storage.eraser import Eraser
from storage.retention import Retention

log = logging.getLogger(__name__)

ERASING_TIME_RATIO: Final = 0.5
RETAINING_TIME_RATIO: Final = 0.25
POLL_SECONDS: Final = 0.5  # between two looks for something to do
RETRY_SECONDS: Final = 5.0


class UpkeepMetrics:
    """What was deleted, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.erased = Counter(
            "shalt_erasure_calls", "Calls deleted because somebody asked.", registry=registry
        )
        self.bodies = Counter(
            "shalt_retention_bodies", "Bodies deleted for their age.", registry=registry
        )
        self.calls = Counter(
            "shalt_retention_calls", "Calls deleted for their age.", registry=registry
        )
        self.expired = Counter(
            "shalt_feedback_expired",
            "Scores and labels deleted because their call did not come.",
            registry=registry,
        )
        self.failures = Counter(
            "shalt_upkeep_failures",
            "Steps of erasing or retention that failed and are tried again.",
            registry=registry,
        )


class Upkeep:
    """What the recorder does besides recording."""

    def __init__(self, eraser: Eraser, retention: Retention, metrics: UpkeepMetrics) -> None:
        self._eraser = eraser
        self._retention = retention
        self._metrics = metrics
        self._not_before = 0.0

    def step(self) -> bool:
        """Do a piece of work if it is time for one; tell whether there was any."""
        started = time.monotonic()
        if started < self._not_before:
            return False
        try:
            ratio = self._work()
        except (StoreUnavailable, OSError) as error:
            log.warning("upkeep failed, trying again error=%s", error)
            self._metrics.failures.inc()
            self._not_before = time.monotonic() + RETRY_SECONDS
            return False
        ended = time.monotonic()
        pause = (ended - started) * (1 / ratio - 1) if ratio else POLL_SECONDS
        self._not_before = ended + pause
        return ratio > 0

    def close(self) -> None:
        """Leave the rest to the next recorder."""
        self._eraser.close()

    def _work(self) -> float:
        """Do a piece; return the share of time that such work may have, 0 if there was none."""
        erased, bodies, calls, expired = self._counts()
        try:
            if self._eraser.step():
                return ERASING_TIME_RATIO
            return RETAINING_TIME_RATIO if self._retention.step() else 0.0
        finally:
            erased_now, bodies_now, calls_now, expired_now = self._counts()
            self._metrics.erased.inc(erased_now - erased)
            self._metrics.bodies.inc(bodies_now - bodies)
            self._metrics.calls.inc(calls_now - calls)
            self._metrics.expired.inc(expired_now - expired)

    def _counts(self) -> tuple[int, int, int, int]:
        retention = self._retention
        deleted = retention.bodies_count, retention.calls_count, retention.expired_count
        return self._eraser.erased_count, *deleted
