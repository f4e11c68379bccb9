"""What drift is measured against: a sample of the calls an export was drawn from.

Of the train side the complete conversations that match the filter, rows or not, one of each group,
at most REFERENCE_GROUPS_MAX groups (exporters.windows.Reservoir). Ranges of groups are sampled
apart and put together; what is kept depends on all calls together and not on how they were cut.
"""

import sys
from datetime import datetime

import msgspec

from exporters.reservoir import Reservoir
from exporters.windows import REFERENCE_GROUPS_MAX, Measured, counts_for_drift
from storage.features import features_of
from storage.rows import storable, time_of
from storage.trace import Span


class Sample(msgspec.Struct, frozen=True):
    """What some ranges of groups gave. `started`: when the first and last of the calls did."""

    rows: tuple[Measured, ...] = ()
    call_count: int = 0
    started: tuple[datetime, datetime] | None = None


class Sampler:
    """Samples calls; `rank_max` is that of the whole sample so far (`rank_max` of another)."""

    def __init__(self, rank_max: int | None = None) -> None:
        self._reservoir = Reservoir(REFERENCE_GROUPS_MAX, rank_max)
        self._first_ns: int | None = None
        self._last_ns = 0
        self._started: tuple[datetime, datetime] | None = None

    @property
    def rank_max(self) -> int | None:
        """Behind which rank no group gets in any more."""
        return self._reservoir.rank_max

    def offer(self, group_id: str, span: Span) -> None:
        """Count a call of the train side that matches, if it is one that windows hold."""
        if not counts_for_drift(span):
            return
        self._reservoir.offer(group_id, span.id, lambda: _measured(group_id, span))
        if self._first_ns is None or span.started_at_ns < self._first_ns:
            self._first_ns = span.started_at_ns
        self._last_ns = max(self._last_ns, span.started_at_ns)

    def add(self, sample: Sample) -> None:
        """Take in what was sampled of other groups."""
        self._reservoir.add(sample.rows, sample.call_count)
        if sample.started is not None:
            both = [*sample.started, *(self._started or ())]
            self._started = (min(both), max(both))

    def sample(self) -> Sample:
        """Return what was kept."""
        started = self._started
        if self._first_ns is not None:
            own = (time_of(self._first_ns // 1000), time_of(self._last_ns // 1000))
            both = [*own, *(started or ())]
            started = (min(both), max(both))
        return Sample(self._reservoir.rows(), self._reservoir.call_count, started)


def _measured(group_id: str, span: Span) -> Measured:
    understood = span.understood
    return Measured(
        span.id,
        group_id,
        _text(understood.request_model),
        _text(understood.response_model),
        _text(span.finish_reason),
        features_of(span),
    )


def _text(text: str) -> str:
    """Write a name as the store has it; of ten thousand equal ones, one is enough."""
    return sys.intern(storable(text))
