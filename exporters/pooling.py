"""Sketches of parts of a time, pooled to that of the whole.

A sketch is one call of each group, of many groups those that hash lowest. Of a group's calls in
two sketches the one of the earlier slot of the clock, in one slot the one that hashes lower, is
that of both parts together, and the groups that hash lowest of all are among the lowest of each
part. So what is pooled is what one look at all calls would have chosen, exactly, whatever the cut,
the order and the host: a bottom-k sketch (Cohen and Kaplan, "Summarizing Data using Bottom-k
Sketches", PODC 2007). A part that is pooled twice changes nothing but the count of calls.

Two groups whose ids have the same first 64 bits of SHA-256 count as one: in a week of 3 million
groups once in four million weeks.

Memory: 48 bytes for each row of every part, and the rows that are chosen.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from exporters.columns import SCHEMA
from exporters.loading import Sketch
from exporters.window_files import GROUP_ROWS, check_columns, write_window_file
from exporters.windows import SLOT_MICROSECONDS, IntArray, WindowError, rank_of

RankArray = NDArray[np.uint64]

_RANKS: Final = ("group_rank", "call_rank")
_NOTES: Final = b"shalt"


class Ranks(NamedTuple):
    """Of every row the rank of its group, the slot that its call started in, the call's rank."""

    groups: RankArray
    slots: IntArray
    calls: RankArray


class Part(Protocol):
    """A sketch to be pooled: who ranks how is known before any row is read."""

    @property
    def call_count(self) -> int: ...
    def ranks(self) -> "Ranks":
        """Say of every row how it ranks."""
        ...

    def take(self, rows: IntArray) -> pa.Table:
        """Read some rows, whose numbers ascend."""
        ...


def pool(parts: Sequence[Part], groups_max: int) -> Sketch:
    """Make one sketch of many, of at most `groups_max` groups. Parts should share no call.

    Exact where each part has at least its `groups_max` groups that rank first, or all it has.
    """
    ranks = [part.ranks() for part in parts]
    groups = np.concatenate([np.empty(0, np.uint64), *(each.groups for each in ranks)])
    slots = np.concatenate([np.empty(0, np.int64), *(each.slots for each in ranks)])
    calls = np.concatenate([np.empty(0, np.uint64), *(each.calls for each in ranks)])
    starts = np.cumsum([0, *(len(each.groups) for each in ranks)])
    order = np.lexsort((calls, slots, groups))
    ranked = groups[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = ranked[1:] != ranked[:-1]
    chosen = np.sort(order[is_first][:groups_max])
    tables = [SCHEMA.empty_table()]
    for number, part in enumerate(parts):
        low, high = np.searchsorted(chosen, starts[number : number + 2])
        if low < high:
            tables.append(part.take(chosen[low:high] - starts[number]))
    table = pa.concat_tables(tables).sort_by("call_id")
    return Sketch(table, sum(part.call_count for part in parts))


class Held:
    """A sketch in memory."""

    def __init__(self, sketch: Sketch) -> None:
        self.call_count = sketch.call_count
        self._table = sketch.table

    def ranks(self) -> Ranks:
        groups, calls = (_ranks_of(self._table, name) for name in ("group_id", "call_id"))
        return Ranks(groups, _slots_of(self._table), calls)

    def take(self, rows: IntArray) -> pa.Table:
        return self._table.take(pa.array(rows))


class Filed:
    """A sketch in a file, with `notes` of whoever wrote it. Rows are in the order of their ranks.

    So those that a larger sketch has room for stand at its beginning, and little else is read.
    Raises WindowError where the file is none of this version, OSError where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = parquet.ParquetFile(path)
            schema = self._file.schema_arrow
            notes = json.loads((schema.metadata or {})[_NOTES])
            self.call_count = int(notes["calls"])
            self.notes: dict[str, Any] = notes["notes"]
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise WindowError(f"{path} is no file of a sketch: {error}") from error
        check_columns(path, schema)
        self.row_count: int = self._file.metadata.num_rows

    def ranks(self) -> Ranks:
        table = self._file.read([*_RANKS, "started_at"], use_threads=False)
        groups, calls = (table[name].to_numpy() for name in _RANKS)
        return Ranks(groups, _slots_of(table), calls)

    def take(self, rows: IntArray) -> pa.Table:
        groups = np.unique(rows // GROUP_ROWS)
        before = np.searchsorted(groups, rows // GROUP_ROWS) * GROUP_ROWS
        table = self._file.read_row_groups(groups.tolist(), SCHEMA.names, use_threads=False)
        if len(rows) < table.num_rows:
            table = table.take(pa.array(before + rows % GROUP_ROWS))
        return table.cast(SCHEMA)

    def call_ids(self) -> list[str]:
        """Read the ids of its calls."""
        ids: list[str] = self._file.read(["call_id"], use_threads=False)["call_id"].to_pylist()
        return ids


def write_sketch(path: Path, sketch: Sketch, notes: dict[str, Any]) -> None:
    """Write a sketch as a file that `Filed` reads, safe on disk. Raises OSError."""
    table = sketch.table
    for name, of in zip(_RANKS, ("group_id", "call_id"), strict=True):
        table = table.append_column(name, pa.array(_ranks_of(table, of)))
    table = table.sort_by([("group_rank", "ascending"), ("call_rank", "ascending")])
    said = json.dumps({"calls": sketch.call_count, "notes": notes}).encode()
    write_window_file(path, table.replace_schema_metadata({_NOTES: said}))


def _ranks_of(table: pa.Table, name: str) -> RankArray:
    ids = table[name].to_pylist()
    return np.fromiter(map(rank_of, ids), np.uint64, len(ids))


def _slots_of(table: pa.Table) -> IntArray:
    starts: IntArray = table["started_at"].to_numpy()
    return starts // SLOT_MICROSECONDS
