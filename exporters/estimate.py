"""How large a dataset will be, before it is made: from a sample of its calls.

The first groups of a few ranges, spread evenly, are made into rows as in the run itself, and what
they take is scaled to all calls. Conversations in one row for all their turns, filters, formats and
reasons are so accounted for; a few very large groups are not. A dataset that will not fit beside
what is on the disk is refused before anything is written.

Limits: SAMPLES ranges, CALLS_EACH calls of each, or as many of fewer ranges: some tenths of a
second. Of fewer calls than that nothing is sampled: their bodies are the bound.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.group_rows import RowPlan
from exporters.request import ExportError
from exporters.segment import write_segment
from storage.grouped import GroupRange, ProjectSize
from storage.reader import StoreReader

SAMPLES: Final = 16
CALLS_EACH: Final = 50
# Scratch files lie beside the rows for a moment, a range at a time; and an estimate may be wrong.
MARGIN_RATIO: Final = 1.2
MARGIN_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class Estimate:
    """What an export will take. `rows` and `bytes` are expected; `free_bytes` is on the disk."""

    calls: int
    rows: int
    bytes: int
    free_bytes: int


def estimate(
    reader: StoreReader,
    plan: RowPlan,
    ranges: Sequence[GroupRange],
    size: ProjectSize,
    scratch: Path,
) -> Estimate:
    """Estimate a run from some of its calls. Leaves nothing in `scratch`."""
    free_bytes = _free_bytes(scratch)
    if size.calls <= SAMPLES * CALLS_EACH:
        return Estimate(size.calls, size.calls, size.body_bytes, free_bytes)
    sampled = ranges[:: max(1, len(ranges) // SAMPLES)][:SAMPLES]
    calls_each = SAMPLES * CALLS_EACH // len(sampled)
    calls = rows = byte_count = 0
    for number, among in enumerate(sampled):
        segment = write_segment(reader, plan, number, among, scratch, calls_max=calls_each)
        calls += sum(segment.tally.calls[side] for side in segment.tally.calls if side in _SIDES)
        rows += segment.tally.rows.total()
        for path in scratch.iterdir():
            byte_count += path.stat().st_size
            path.unlink()
    scale = size.calls / max(calls, 1)
    return Estimate(size.calls, round(rows * scale), round(byte_count * scale), free_bytes)


def check_room(expected: Estimate) -> None:
    """Raise ExportError where the disk cannot hold what is expected."""
    needed = expected.bytes * MARGIN_RATIO + MARGIN_BYTES
    if needed > expected.free_bytes:
        raise ExportError(
            f"about {expected.rows:,} rows need {needed / 1e9:,.1f} GB for a while, and "
            f"{expected.free_bytes / 1e9:,.1f} GB are free: choose another disk, or fewer calls "
            "with --where. Nothing was written"
        )


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


_SIDES = frozenset({"train", "val", "test", "quarantine"})
