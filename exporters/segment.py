"""One range of groups on its way into a dataset: calls to rows, in files of their own.

A segment is a function of a state of the store, a plan and a range. It reads the calls of the
range group after group and writes what becomes of them (exporters.group_rows) into scratch files
beside those of the other segments (exporters.scratch). exporters.merging puts them together in the
order of the ranges.

Memory: the calls of one group, up to a limit (exporters.turns), a page of the store, and what is
measured of its calls.
"""

from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from pathlib import Path

import msgspec

from exporters.formats import FORMATS
from exporters.group_rows import GroupWriter, RowPlan
from exporters.scratch import ScratchFiles
from exporters.tally import Tally
from exporters.windows import Measured
from storage.grouped import GroupRange, read_groups
from storage.reader import StoreReader

# Some 25 MB of bodies: large enough that starting one costs nothing, small enough that the last
# ones keep all processes busy to the end.
SEGMENT_CALLS = 5_000

Advance = Callable[[int], None]  # calls read since it was last told


class Segment(msgspec.Struct, frozen=True):
    """What a segment gave; its rows are in scratch files. `rows`: lines of each of them.

    `measured`: what the plan wanted measured of its calls.
    """

    number: int
    rows: dict[str, int]
    tally: Tally
    measured: list[Measured]


def write_segment(
    reader: StoreReader,
    plan: RowPlan,
    number: int,
    among: GroupRange,
    directory: Path,
    *,
    calls_max: int | None = None,
    advance: Advance = lambda calls: None,
) -> Segment:
    """Write the rows of a range of groups into `directory`.

    With `calls_max`, of its first groups alone, until they have so many calls. Raises what the
    store raises, and OSError where the disk refuses.
    """
    request = plan.request
    calls = read_groups(
        reader,
        request.project,
        request.where,
        among,
        labels=plan.has_labels,
        scores=FORMATS[request.format].is_preference,
    )
    with ScratchFiles(directory, number, plan.row_files) as files, closing(calls):
        writer = GroupWriter(reader, plan, files)
        done = 0
        for group_id, group in groupby(calls, key=lambda call: call.group_id):
            count = writer.add_group(group_id, group)
            advance(count)
            done += count
            if calls_max is not None and done >= calls_max:
                break
        writer.flush()
        rows = files.rows()
    return Segment(number, rows, writer.tally, writer.measured)
