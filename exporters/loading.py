"""Windows as they are read from a store.

Two columns of every call that counts are read, and of the chosen ones, one of each
group, what was measured of them; never a body. CPU: 2 microseconds a call and 16 a chosen one,
8 a call where a conversation has three. Memory: 300 MB for 100,000 groups with text features of
20,000.
"""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

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
    before,
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
    read_candidates,
    read_columns,
    read_score_values,
    read_terms,
    read_tool_sets,
)
from storage.reader import StoreReader
from storage.terms import FAMILIES


def load_windows(
    reader: StoreReader, project: str, reference: WindowSpec, current: WindowSpec
) -> tuple[Window, Window]:
    """Read the two windows of a comparison; `previous` is the time before the current one."""
    if isinstance(reference, Previous):
        reference = before(current)
    return load_window(reader, project, reference), load_window(reader, project, current)


def load_window(reader: StoreReader, project: str, spec: WindowSpec) -> Window:
    """Read a window's calls, one of each group.

    Raises WindowError where an export cannot be read, and what the store raises (FilterError for
    a filter that is not one).
    """
    match spec:
        case Exported(directory):
            return load_reference(directory).train
        case Between(start, end):
            bounds = Between(start, end)
            return _load_matching(reader, project, range_text(bounds), range_filter(bounds))
        case Matching(where):
            return _load_matching(reader, project, f"where:{where}", where)
        case Previous():
            raise WindowError("a window before another one can only be the reference")


def _load_matching(reader: StoreReader, project: str, label: str, where: str | None) -> Window:
    with reader.reading() as connection:
        sketch = read_sketch(connection, project, where, WINDOW_GROUPS_MAX)
        table = with_stored_scores(connection, project, sketch.table)
    return window_of_table(table, label, sketch.call_count)


class Sketch(NamedTuple):
    """Chosen calls, one of each group, in the order of their ids; `call_count`: chosen from."""

    table: pa.Table
    call_count: int


def read_sketch(connection: Connection, project: str, where: str | None, groups_max: int) -> Sketch:
    """Scan the calls a filter matches, and read what was measured of those that are chosen.

    But for scores: they come later than their call, and are read when a window is made.
    """
    candidates = read_candidates(connection, project, where, CONVERSATIONS)
    chosen, call_count = choose_calls(candidates, groups_max)
    table = _read_table(connection, chosen)
    return Sketch(_with_terms(connection, table, sample_bits(table, TEXT_ROWS_MAX)), call_count)


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
