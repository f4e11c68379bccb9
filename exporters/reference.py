"""What drift is measured against: samples of the calls an export was drawn from.

Of the train side, and of the test side by itself, the complete conversations that match the
filter, rows or not, one of each group, at most REFERENCE_GROUPS_MAX groups
(exporters.reservoir). The test side is there because it must not differ: comparing the two says
whether a comparison can be trusted. Text features are of every call in a sample, whatever the
recorder has measured.

Where the calls are of BEGINNING_DAYS_MIN days or more, a sample holds the groups that began after
the first day. Whatever goes on when a time begins has a call in its first hours, and would stand
there like so many beginnings: an hour of the week that had them would never again be like itself.

Who is in a sample is known before a body is read (`draw`). What the recorder measured of those
calls is read from the store; only of the others (`unmeasured`), whose texts it did not measure or
has let go of, or by an earlier version, the texts are measured again, when their segment has read
them. Same calls, same bytes, however they were cut into ranges.

Limits: memory and file are REFERENCE_GROUPS_MAX rows a side: some 3 KB each, 60 MB, if prompts
and answers are of 1 KB. Cost: 4 microseconds a call, 60 for each in a sample, 300 where it must
be measured.
"""

import sys
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from exporters.columns import table_of, window_of_table, with_scores
from exporters.loading import BEGUN_GROUPS_MIN, read_measured
from exporters.parts import Parts
from exporters.periods import iso_time
from exporters.reference_facts import Facts, ReferenceEntry, TermNames, facts_of, name_terms
from exporters.reservoir import Candidate, Chosen, Reservoir, lowest
from exporters.window_files import write_window_file
from exporters.windows import (
    CONVERSATIONS,
    REFERENCE_FILE,
    REFERENCE_GROUPS_MAX,
    REFERENCE_TEST_FILE,
    Measured,
)
from storage.features import FEATURE_VERSION, features_of
from storage.id_range import IdRange
from storage.measured import (
    EVERY_ID,
    begun_before,
    first_and_last,
    measured_whole,
    read_leaving,
    read_score_values,
)
from storage.prices import billed, cost_of
from storage.reader import StoreReader
from storage.rows import storable, time_of
from storage.terms import text_features_of
from storage.tool_sets import tool_set_of
from storage.trace import Side, Span
from storage.usage import usage_of

MICROSECONDS_MAX = 2**63  # later than any call
BEGINNING_DAYS_MIN = 10  # so that the day left out is a tenth of the sample at most
_DAY_MICROSECONDS = 86_400_000_000
SIDES = (Side.TRAIN, Side.TEST)
FILES: Mapping[Side, str] = {Side.TRAIN: REFERENCE_FILE, Side.TEST: REFERENCE_TEST_FILE}


class Sample(NamedTuple):
    """The calls of a sample, in the order of their ids, out of `call_count` calls.

    `started`: when the first and the last of all these did; None where there are none.
    """

    call_ids: Sequence[str]
    call_count: int
    started: tuple[datetime, datetime] | None


Samples = Mapping[Side, Sample]


class Choice(NamedTuple):
    """What is chosen of a range of calls: one of each group; times as the store has them."""

    calls: Mapping[str, Chosen]
    call_count: int
    first: int
    last: int


Choices = Mapping[Side, Choice]


def draw(reader: StoreReader, project: str, where: str | None, parts: Parts) -> Samples:
    """Choose the calls of both samples. Scans the calls of both sides; raises FilterError."""
    begins = beginning(reader, project, where)
    drawn = partial(choose, reader, project, where, parts)
    return samples_of([drawn(begins)], begins, lambda: [drawn(0)])


def unmeasured(reader: StoreReader, call_ids: Sequence[str]) -> frozenset[str]:
    """Say of which calls of a sample not all is stored that `measure` would measure."""
    with reader.reading() as connection:
        return frozenset(call_ids) - measured_whole(connection, call_ids, FEATURE_VERSION)


def beginning(reader: StoreReader, project: str, where: str | None) -> int:
    """Say from when on groups are beginnings, in microseconds; 0 where all are taken for such.

    Scans the calls of the filter.
    """
    with reader.reading() as connection:
        first, last = first_and_last(connection, project, where, CONVERSATIONS)
    is_long = last - first >= BEGINNING_DAYS_MIN * _DAY_MICROSECONDS
    return first + _DAY_MICROSECONDS if is_long else 0


def choose(
    reader: StoreReader,
    project: str,
    where: str | None,
    parts: Parts,
    begins: int,
    ids: IdRange = EVERY_ID,
) -> Choices:
    """Choose calls for both samples among some, of groups that began in time."""

    def went_on(group_ids: Sequence[str]) -> Set[str]:
        if not begins:
            return frozenset()
        return begun_before(connection, project, where, CONVERSATIONS, group_ids, begins)

    reservoirs = {side: Reservoir(REFERENCE_GROUPS_MAX, went_on) for side in SIDES}
    first, last = dict.fromkeys(SIDES, MICROSECONDS_MAX), dict.fromkeys(SIDES, 0)
    with reader.reading() as connection:
        for page in read_leaving(connection, project, where, CONVERSATIONS, SIDES, ids):
            kept: dict[str, list[Candidate]] = {side.value: [] for side in SIDES}
            for call_id, group_id, started_at, side in page:
                if parts.cause(group_id) is None:
                    kept[side].append((call_id, group_id, started_at))
            for side in SIDES:
                reservoirs[side].add(kept[side])
                times = [started_at for _, _, started_at in kept[side]]
                first[side] = min([first[side], *times])
                last[side] = max([last[side], *times])
        return {
            side: Choice(each.chosen(), each.call_count, first[side], last[side])
            for side, each in reservoirs.items()
        }


def samples_of(
    choices: Sequence[Choices], begins: int, again: Callable[[], Sequence[Choices]]
) -> Samples:
    """Make the samples of what was chosen of all ranges.

    `again` chooses of all groups, for a side of which so few began in time that all may go on
    without end.
    """
    samples = {side: _sample_of([each[side] for each in choices]) for side in SIDES}
    few = [side for side in SIDES if len(samples[side].call_ids) < BEGUN_GROUPS_MIN]
    if begins and few:
        every = again()
        samples |= {side: _sample_of([each[side] for each in every]) for side in few}
    return samples


def _sample_of(choices: Sequence[Choice]) -> Sample:
    call_ids = lowest((each.calls for each in choices), REFERENCE_GROUPS_MAX)
    call_count = sum(each.call_count for each in choices)
    first, last = min(each.first for each in choices), max(each.last for each in choices)
    started = (time_of(first), time_of(last)) if call_count else None
    return Sample(call_ids, call_count, started)


def measure(group_id: str, span: Span) -> Measured:
    """Measure a call as the recorder does, texts too; scores are no part of it. Pure and total."""
    understood = span.understood
    usage, _ = usage_of(span)
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
    """The samples as they leave: the file of each side, and what the manifest says of them."""

    entries: Mapping[Side, ReferenceEntry]
    samples: Samples
    facts: dict[str, Facts]
    terms: TermNames


def write_reference(
    directory: Path,
    reader: StoreReader,
    project: str,
    samples: Samples,
    measured: list[Measured],
) -> Drawn:
    """Write the sample of each side: what is stored, and what was `measured` again, with scores;
    say of that of train how it is distributed, and what its commonest terms are.

    One side after the other, and `measured` is emptied on the way: a table takes 80 MB, and its
    rows as objects no less. Raises what the store raises, and OSError.
    """
    again = {row.call_id: row for row in measured}
    measured.clear()
    facts: dict[str, Facts] = {}
    terms: TermNames = {}
    entries: dict[Side, ReferenceEntry] = {}
    for side in SIDES:
        sample = samples[side]
        table = _table(reader, project, sample.call_ids, again)
        if side is Side.TRAIN:
            train = window_of_table(table, "train")
            facts, terms = facts_of(train), name_terms(reader, train)
            del train
        entries[side] = _write_side(directory / FILES[side], table, sample)
        del table
    return Drawn(entries, samples, facts, terms)


def _write_side(path: Path, table: pa.Table, sample: Sample) -> ReferenceEntry:
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


def _table(
    reader: StoreReader, project: str, call_ids: Sequence[str], again: dict[str, Measured]
) -> pa.Table:
    """Make a table of calls; those that were measured `again` are taken out of there."""
    with reader.reading() as connection:
        table = read_measured(connection, [each for each in call_ids if each not in again])
        if not again.keys().isdisjoint(call_ids):
            rows = table_of([again.pop(call_id) for call_id in call_ids if call_id in again])
            table = pa.concat_tables([table, rows]).sort_by("call_id")
        return with_scores(table, read_score_values(connection, project, call_ids))


def _text(text: str) -> str:
    """Write a name as the store has it; of ten thousand equal ones, one is enough."""
    return sys.intern(storable(text))
