"""What drift is measured against: samples of the calls an export was drawn from.

Of the train side, and of the test side by itself, the complete conversations that match the
filter, rows or not, one of each group, at most REFERENCE_GROUPS_MAX groups
(exporters.reservoir). The test side is there because it must not differ: comparing the two says
whether a comparison can be trusted. Text features are of every call in a sample, whatever the
recorder has measured.

Ranges of groups are sampled apart and put together; what is kept depends on all calls together
and not on how they were cut. Same calls, same bytes.

Limits: memory and file are REFERENCE_GROUPS_MAX rows a side: some 3 KB each, 60 MB, if prompts
and answers are of 1 KB.
"""

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from exporters.columns import table_of, window_of_table, with_scores
from exporters.periods import iso_time
from exporters.reference_facts import Facts, ReferenceEntry, TermNames, facts_of, name_terms
from exporters.reservoir import Reservoir
from exporters.window_files import write_window_file
from exporters.windows import (
    REFERENCE_FILE,
    REFERENCE_GROUPS_MAX,
    REFERENCE_TEST_FILE,
    Measured,
    counts_for_drift,
)
from storage.features import features_of
from storage.measured import read_score_values
from storage.prices import billed, cost_of
from storage.reader import StoreReader
from storage.rows import storable, time_of
from storage.terms import text_features_of
from storage.tool_sets import tool_set_of
from storage.trace import Side, Span
from storage.usage import counted

SIDES = (Side.TRAIN, Side.TEST)
FILES: Mapping[Side, str] = {Side.TRAIN: REFERENCE_FILE, Side.TEST: REFERENCE_TEST_FILE}

RankMaxes = Mapping[Side, int]  # of a side that is not in it, every group may get in


class Sample(msgspec.Struct, frozen=True):
    """What some ranges of groups gave. `started`: when the first and last of the calls did."""

    rows: tuple[Measured, ...] = ()
    call_count: int = 0
    started: tuple[datetime, datetime] | None = None


Samples = dict[Side, Sample]


class Sampler:
    """Samples calls; `rank_maxes` are those of the whole samples so far (of another sampler)."""

    def __init__(self, rank_maxes: RankMaxes | None = None) -> None:
        known = rank_maxes or {}
        self._sides = {side: _SideSampler(known.get(side)) for side in SIDES}

    @property
    def rank_maxes(self) -> RankMaxes:
        """Behind which rank no group of a side gets in any more."""
        ranks = {side: each.reservoir.rank_max for side, each in self._sides.items()}
        return {side: rank for side, rank in ranks.items() if rank is not None}

    def offer(self, side: Side, group_id: str, span: Span) -> None:
        """Count a call of a side that matches, if it is one that windows hold."""
        if side in self._sides and counts_for_drift(span):
            self._sides[side].offer(group_id, span)

    def add(self, samples: Samples) -> None:
        """Take in what was sampled of other groups."""
        for side, sample in samples.items():
            self._sides[side].add(sample)

    def samples(self) -> Samples:
        """Return what was kept."""
        return {side: each.sample() for side, each in self._sides.items()}


class _SideSampler:
    def __init__(self, rank_max: int | None) -> None:
        self.reservoir = Reservoir(REFERENCE_GROUPS_MAX, rank_max)
        self._started: tuple[datetime, datetime] | None = None
        self._first_ns: int | None = None
        self._last_ns = 0

    def offer(self, group_id: str, span: Span) -> None:
        started_at = span.started_at_ns // 1000
        self.reservoir.offer(group_id, span.id, started_at, lambda: measure(group_id, span))
        if self._first_ns is None or span.started_at_ns < self._first_ns:
            self._first_ns = span.started_at_ns
        self._last_ns = max(self._last_ns, span.started_at_ns)

    def add(self, sample: Sample) -> None:
        self.reservoir.add(sample.rows, sample.call_count)
        if sample.started is not None:
            both = [*sample.started, *(self._started or ())]
            self._started = (min(both), max(both))

    def sample(self) -> Sample:
        started = self._started
        if self._first_ns is not None:
            own = (time_of(self._first_ns // 1000), time_of(self._last_ns // 1000))
            both = [*own, *(started or ())]
            started = (min(both), max(both))
        return Sample(self.reservoir.rows(), self.reservoir.call_count, started)


def measure(group_id: str, span: Span) -> Measured:
    """Measure a call as the recorder does, texts too; scores are no part of it. Pure and total."""
    understood = span.understood
    usage, _ = counted(span)
    return Measured(
        span.id,
        group_id,
        _text(understood.request_model),
        _text(understood.response_model),
        _text(span.finish_reason),
        features_of(span),
        started_at=span.started_at_ns // 1000,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=cost_of(billed(span, usage)).usd,
        duration_ms=span.duration_ms,
        time_to_first_token_ms=span.time_to_first_token_ms,
        tools=sys.intern(tool_set_of(understood.tools).tools),
        text=text_features_of(span),
    )


class Drawn(NamedTuple):
    """The samples as they leave: a table for each side, and what the manifest says of them."""

    tables: dict[Side, pa.Table]
    samples: Samples
    facts: dict[str, Facts]
    terms: TermNames


def make_reference(reader: StoreReader, project: str, samples: Samples) -> Drawn:
    """Add what the store knows besides: scores, and what the commonest terms are.

    Raises what the store raises.
    """
    tables = {}
    for side, sample in samples.items():
        ids = [row.call_id for row in sample.rows]
        with reader.reading() as connection:
            scores = read_score_values(connection, project, ids)
        tables[side] = with_scores(table_of(sample.rows), scores)
    train = window_of_table(tables[Side.TRAIN], "train")
    return Drawn(tables, samples, facts_of(train), name_terms(reader, train))


def write_reference(directory: Path, reference: Drawn) -> dict[Side, ReferenceEntry]:
    """Write the file of each side; return what the manifest says of it. Raises OSError."""
    return {side: _write_side(directory / FILES[side], reference, side) for side in SIDES}


def _write_side(path: Path, reference: Drawn, side: Side) -> ReferenceEntry:
    table, sample = reference.tables[side], reference.samples[side]
    written = write_window_file(path, table)
    started = [iso_time(time) for time in sample.started or ()] or ["", ""]
    return ReferenceEntry(
        name=path.name,
        sha256=written.sha256,
        bytes=written.bytes,
        calls=sample.call_count,
        groups=table.num_rows,
        started_from=started[0],
        started_to=started[1],
    )


def _text(text: str) -> str:
    """Write a name as the store has it; of ten thousand equal ones, one is enough."""
    return sys.intern(storable(text))
