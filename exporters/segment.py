"""One range of groups on its way into a dataset: calls to rows, in files of their own.

A segment is a function of a state of the store, a plan and a range. It reads the calls of the
range group after group, says of each why it is no row, makes rows of the others, and writes what
it made into scratch files beside those of the other segments: the rows of each file of the dataset,
and the lines that say of each row where it is from (IdLine; row numbers count from 0 in each
segment). exporters.merging puts them together in the order of the ranges.

Memory: the calls of one group, up to a limit (exporters.selection), a page of the store, and
the sample.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import msgspec

from exporters.formats import FORMATS, LeftOut
from exporters.manifest import IDS_FILE, NEEDS_LABEL_FILE, SIDE_FILES, IdLine, NeedsLabelLine
from exporters.reference import Sample, Sampler
from exporters.request import ExportRequest
from exporters.selection import NEEDS_LABEL, Reason, reason_against
from exporters.staging import Lines
from exporters.stitching import Histories
from exporters.turns import Conversations
from storage.derive import derive
from storage.grouped import GroupedCall, GroupRange, read_groups
from storage.reader import StoreReader
from storage.trace import Side, Span

# Some 25 MB of bodies: large enough that starting one costs nothing, small enough that the last
# ones keep all processes busy to the end.
SEGMENT_CALLS = 5_000

Advance = Callable[[int], None]  # calls read since it was last told


class SegmentPlan(msgspec.Struct, frozen=True):
    """What all segments of a run have in common."""

    request: ExportRequest


class Tally(msgspec.Struct):
    """What became of the calls; of several segments it adds up."""

    calls: Counter[Side] = msgspec.field(default_factory=Counter)
    groups: Counter[Side] = msgspec.field(default_factory=Counter)  # that have rows
    reasons: Counter[tuple[Side, Reason]] = msgspec.field(default_factory=Counter)
    left_out: Counter[tuple[Side, LeftOut]] = msgspec.field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Add another segment's counts."""
        self.calls += other.calls
        self.groups += other.groups
        self.reasons += other.reasons
        self.left_out += other.left_out


class Segment(msgspec.Struct, frozen=True):
    """What a segment gave; its rows are in scratch files. `rows`: how many, by file."""

    number: int
    rows: dict[str, int]
    tally: Tally
    sample: Sample


def scratch_path(directory: Path, number: int, name: str) -> Path:
    """Name the scratch file of a segment for a file of the dataset."""
    return directory / f"{number:06d}.{name}"


def write_segment(
    reader: StoreReader,
    plan: SegmentPlan,
    number: int,
    among: GroupRange,
    directory: Path,
    *,
    rank_max: int | None = None,
    advance: Advance = lambda calls: None,
) -> Segment:
    """Write the rows of a range of groups into `directory`.

    `rank_max` is that of the sample so far (exporters.reference). Raises what the store raises,
    and OSError where the disk refuses.
    """
    names = (*SIDE_FILES.values(), IDS_FILE, NEEDS_LABEL_FILE)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(Lines(scratch_path(directory, number, name), lasting=False))
            for name in names
        }
        run = _Run(reader, plan, files, rank_max)
        request = plan.request
        calls = read_groups(reader, request.project, request.where, among)
        for group_id, group in groupby(calls, key=lambda call: call.group_id):
            advance(run.add_group(group_id, group))
    rows = {name: files[name].rows for name in names}
    return Segment(number, rows, run.tally, run.sampler.sample())


class _Run:
    """What a segment writes to and counts in while it goes through its groups."""

    def __init__(
        self,
        reader: StoreReader,
        plan: SegmentPlan,
        files: dict[str, Lines],
        rank_max: int | None,
    ) -> None:
        self.tally = Tally()
        self.sampler = Sampler(rank_max)
        self._reader = reader
        self._plan = plan
        self._format = FORMATS[plan.request.format]
        self._files = files

    def add_group(self, group_id: str, calls: Iterable[GroupedCall]) -> int:
        """Write the rows of a group, count what became of each of its calls; return how many."""
        sides: dict[Side, Conversations] = {}
        histories = Histories(self._read)
        before = self.tally.calls.total()
        for (call, recorded), span in histories.whole(self._derived(calls)):
            reason = reason_against(span, call.side, call.matches)
            reason = reason or self._format.unfit(span.understood)
            if reason:
                self._count(call, reason)
            if call.side is Side.TRAIN and call.matches:
                self.sampler.offer(group_id, recorded)
            if call.side not in sides:
                sides[call.side] = Conversations(
                    self._plan.request.turns,
                    lambda call_id: self._read_again(histories, call_id),
                )
            sides[call.side].add(span, reason)
        for side, conversations in sides.items():
            self._write_rows(side, group_id, conversations)
        return self.tally.calls.total() - before

    def _derived(
        self, calls: Iterable[GroupedCall]
    ) -> Iterator[tuple[tuple[GroupedCall, Span], Span]]:
        """Count calls, and understand those that have a body."""
        for call in calls:
            self.tally.calls[call.side] += 1
            if call.capture is None:
                self._count(call, Reason.BODY_DELETED)
            else:
                span = derive(call.capture)
                yield (call, span), span

    def _write_rows(self, side: Side, group_id: str, conversations: Conversations) -> None:
        name = SIDE_FILES.get(side, "")
        for position, example in enumerate(conversations.examples()):
            file, ids = self._files[name], self._files[IDS_FILE]
            line = IdLine(name, file.rows, example.call_id, group_id, example.continued)
            ids.write(msgspec.json.encode(line))
            file.write(self._format.row(example))
            self.tally.groups[side] += position == 0
            for left_out in self._format.left_out(example):
                self.tally.left_out[side, left_out] += 1
        if conversations.continued_count:
            self.tally.reasons[side, Reason.CONTINUED] += conversations.continued_count

    def _count(self, call: GroupedCall, reason: Reason) -> None:
        self.tally.reasons[call.side, reason] += 1
        if reason in NEEDS_LABEL:
            line = NeedsLabelLine(call.id, call.group_id, call.side, reason)
            self._files[NEEDS_LABEL_FILE].write(msgspec.json.encode(line))

    def _read(self, call_id: str) -> Span | None:
        call = self._reader.get(call_id)
        return derive(call.capture) if call is not None and call.capture is not None else None

    def _read_again(self, histories: Histories, call_id: str) -> Span:
        span = self._read(call_id)
        assert span is not None, "a snapshot loses no call, nor its body"
        return histories.again(span)
