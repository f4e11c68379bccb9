"""Windows as they are read from a store.

A window of a time holds the groups that began in it: their first call that counts and that the
filter matches started then. A conversation that goes on for longer than the window would else be
in many, and a short window would have more of long conversations than the training set has, of
which each is in it once. What goes on is asked of the store: of a group whose first calls were
deleted by their age, the first that is left is the first. What began in a time stays there, so
windows add up (exporters.pooling). A window of a filter, without a time, holds every group once.

Three columns of every call that counts are read, and of the chosen ones, one of each
group, what was measured of them; never a body. CPU: 2 microseconds a call and 16 a chosen one,
8 a call where a conversation has three. Memory: 300 MB for 100,000 groups with text features of
20,000.
"""

from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import compress
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from exporters.columns import SCHEMA, sample_bits, window_of_table, with_scores
from exporters.exported import load_reference
from exporters.periods import (
    Between,
    Exported,
    Matching,
    Previous,
    WindowSpec,
    range_filter,
    range_text,
)
from exporters.reservoir import choose_calls
from exporters.windows import (
    CONVERSATIONS,
    TEXT_ROWS_MAX,
    WINDOW_GROUPS_MAX,
    Window,
    WindowError,
    in_sample,
)
from storage.measured import (
    ROWS_AT_ONCE,
    begun_before,
    read_candidates,
    read_columns,
    read_score_values,
    read_terms,
    read_tool_sets,
)
from storage.reader import StoreReader
from storage.rows import microseconds_of
from storage.terms import FAMILIES

BEGUN_GROUPS_MIN: Final = 200  # with fewer no verdict is given: exporters.drift.GROUPS_MIN
# Where fewer than one of twenty groups began in the window they have a call in, they go on for more
# than twenty windows: for ever, as a session does that is the name of a machine.
BEGUN_RATIO_MIN: Final = 0.05


def load_window(reader: StoreReader, project: str, spec: WindowSpec) -> Window:
    """Read a window's calls, one of each group.

    Raises WindowError where an export cannot be read, and what the store raises (FilterError for
    a filter that is not one).
    """
    match spec:
        case Exported(directory):
            return load_reference(directory).train
        case Previous():
            raise WindowError("a window before another one can only be the reference")
        case Matching(where):
            label = f"where:{where}"
        case Between():
            label = f"where:{range_filter(spec)}" if spec.where else range_text(spec)
    with reader.reading() as connection:
        sketch = read_window(connection, project, spec, WINDOW_GROUPS_MAX)
        table = with_stored_scores(connection, project, sketch.table)
    return replace(window_of_table(table, label, sketch.call_count), notes=sketch.notes)


class Sketch(NamedTuple):
    """Chosen calls, one of each group, in the order of their ids; `call_count`: chosen from."""

    table: pa.Table
    call_count: int
    notes: tuple[str, ...] = ()


def read_window(
    connection: Connection, project: str, spec: Between | Matching, groups_max: int
) -> Sketch:
    """Read the groups that began in a time, or all that a filter matches.

    Where so few began in the time that most of what goes on must be without end, such as sessions
    that are a machine's name, every group that has a call in it counts, and a note says so.
    """
    begun = read_sketch(connection, project, spec, groups_max)
    if isinstance(spec, Matching) or begun.table.num_rows >= BEGUN_GROUPS_MIN:
        return begun
    every = read_sketch(connection, project, Matching(range_filter(spec) or ""), groups_max)
    return every_group(begun, every)


def every_group(begun: Sketch, every: Sketch) -> Sketch:
    """Choose between the groups that began in a time and all that have a call in it."""
    if begun.table.num_rows >= every.table.num_rows * BEGUN_RATIO_MIN:
        return begun
    note = (
        f"only {begun.table.num_rows:,} of {every.table.num_rows:,} groups began within the time "
        "of a window, so those that go on without end count in it, too"
    )
    return every._replace(notes=(note,))


def read_sketch(
    connection: Connection, project: str, spec: Between | Matching, groups_max: int
) -> Sketch:
    """Scan the calls of a time or of a filter, and read what was measured of those that are chosen.

    Of a time the groups that began in it. But for scores: they come later than their call, and are
    read when a window is made.
    """

    def went_on(group_ids: Sequence[str]) -> Set[str]:
        if isinstance(spec, Matching) or spec.start is None:
            return frozenset()
        start, of_time = microseconds_of(spec.start), spec.where or None
        return begun_before(connection, project, of_time, CONVERSATIONS, group_ids, start)

    where = spec.where if isinstance(spec, Matching) else range_filter(spec)
    candidates = read_candidates(connection, project, where or None, CONVERSATIONS)
    chosen, call_count = choose_calls(candidates, groups_max, went_on)
    table = _read_table(connection, chosen)
    return Sketch(_with_terms(connection, table, sample_bits(table, TEXT_ROWS_MAX)), call_count)


def read_measured(connection: Connection, call_ids: Sequence[str]) -> pa.Table:
    """Read what was measured of calls, terms too, where there are any; in the order of their ids.

    As of a sample that has every call.
    """
    return _with_terms(connection, _read_table(connection, call_ids), 0)


def with_stored_scores(connection: Connection, project: str, table: pa.Table) -> pa.Table:
    """Add the scores that the store has of a table's calls by now."""
    ids = table["call_id"].to_pylist()
    return with_scores(table, read_score_values(connection, project, ids))


def _read_table(connection: Connection, call_ids: Sequence[str]) -> pa.Table:
    """Read what was measured of calls, but for terms and scores, in the order of their ids."""
    table = read_columns(connection, call_ids, SCHEMA)
    hashes = table["tools_hash"].unique().to_pylist()
    tools = read_tool_sets(connection, hashes)
    written = pa.array([tools.get(each, "") for each in hashes], pa.string())
    codes = pc.index_in(table["tools_hash"], pa.array(hashes, pa.string()))
    return _replace(table, "tools", written.take(codes.combine_chunks()))


def _with_terms(connection: Connection, table: pa.Table, bits: int) -> pa.Table:
    """Read the terms of the calls that are in the sample of so many bits."""
    chunks: list[list[pa.Array]] = [[] for _ in range(1 + len(FAMILIES))]
    is_sampled = table["sample_bits"].is_valid().to_pylist()
    ids = table["call_id"].to_pylist()
    for start in range(0, len(ids), ROWS_AT_ONCE):  # page by page: they are most of a window
        page = ids[start : start + ROWS_AT_ONCE]
        sampled = compress(page, is_sampled[start : start + ROWS_AT_ONCE])
        terms = read_terms(connection, [id for id in sampled if in_sample(id, bits)])
        chunks[0].append(pa.array([bits if id in terms else None for id in page], pa.int32()))
        for number, of_family in enumerate(chunks[1:]):
            blobs = [terms[id][number] if id in terms else None for id in page]
            of_family.append(pa.array(blobs, pa.binary()))
    table = _replace(table, "sample_bits", pa.chunked_array(chunks[0], pa.int32()))
    for name, of_family in zip(FAMILIES, chunks[1:], strict=True):
        table = _replace(table, name, pa.chunked_array(of_family, pa.binary()))
    return table


def _replace(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    number = table.schema.get_field_index(name)
    return table.set_column(number, table.schema.field(number), values)
