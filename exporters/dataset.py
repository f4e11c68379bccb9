"""One export run: plan, segments, guard, merge, record, publish. All of it, or nothing.

    plan      from columns, and a few bodies: what all rows have in common (exporters.planning);
              how large it will be, and whether the disk can hold it (exporters.estimate)
    segments  ranges of groups, each a function of one state of the store, run here or by a pool
              of processes (exporters.segment, exporters.pool)
    guard     which rows may not leave after all (exporters.holding_out)
    merge     what the segments made, put together in the order of the ranges (exporters.merging),
              and nested subsets of it (exporters.subsets); configs of trainers beside them

`export` writes the files of rows and what proves them (exporters.manifest) beside the target. Only
when all is synced to disk, no group is trained on and held out, and the store has written down what
is about to leave, does the directory get its name, in one rename (exporters.staging). The store is
told first, for of the two ways to be wrong one is harmless: a group believed to have left that has
not.

The same store gives byte-identical files, by whatever number of processes. Memory: see
exporters.segment for each process; here a sample of 20,000 measured calls, 100 bytes for each group
that is held out, and what the guard keeps (exporters.guard).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec

from exporters.card import CARD_FILE, card
from exporters.describing import describe, with_file
from exporters.estimate import Estimate, check_room, estimate
from exporters.guard import GuardError
from exporters.holding_out import Verdict, judge
from exporters.manifest import FileEntry, Manifest, manifest_json
from exporters.manifest_reading import MANIFEST_FILE
from exporters.merging import entry_of, merge, read_leaving
from exporters.parts import TRAINED, side_of_part
from exporters.planning import Plan, make_plan
from exporters.pool import Here, Looker, Pool, default_processes, open_pool
from exporters.reference import Drawn, write_reference
from exporters.request import ExportRequest, check_request, shape_of
from exporters.row_lines import IDS_FILE, CallLine, file_of
from exporters.scratch import LISTS
from exporters.segment import SEGMENT_CALLS, Segment, write_segment
from exporters.staging import Lines, staging
from exporters.subsets import write_subsets
from exporters.tally import Tally
from exporters.templates import TEMPLATES_FILE, templates_json
from exporters.trainers import TrainerFacts, card_header, trainer_files
from exporters.windows import Measured
from storage import shared_state
from storage.reader import StoreReader
from storage.rows import DatasetItem
from storage.store import TraceStore
from storage.trace import Apart, Side

# Fewer calls than this are read sooner than another process has started.
POOL_CALLS_MIN = 2 * SEGMENT_CALLS
_SCRATCH = "scratch"


class Stage(StrEnum):
    """What an export is at, in this order."""

    PLAN = "planning"
    READ = "reading calls"
    GUARD = "comparing"
    WRITE = "writing files"


Progress = Callable[[Stage, int, int], None]  # done, in all


def export(
    store: TraceStore,
    request: ExportRequest,
    directory: Path,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
    expect: Callable[[Estimate], None] = lambda expected: None,
) -> Manifest:
    """Write a dataset of a project into `directory`, which must not exist or be empty.

    `processes`: how many read at the same time; None for as many as there are cores, where there
    are calls enough. `expect` is told what it will take before it begins. Raises ExportError,
    BiasError, StagingError, GuardError, FilterError for a bad filter, StoreError, and OSError where
    the disk refuses. Scans the project's calls with their bodies.
    """
    check_request(request)
    with staging(directory) as partial:
        progress(Stage.PLAN, 0, 1)
        scratch = partial / _SCRATCH
        scratch.mkdir()
        with _open_state(store, request, processes) as (reader, pool):
            plan = make_plan(reader, request, pool)
            expected = estimate(reader, plan.rows, plan.ranges, plan.size, scratch)
            expect(expected)
            check_room(expected)
            progress(Stage.PLAN, 1, 1)
            segments, measured = _write_segments(reader, pool, plan, scratch, progress)
            reference = write_reference(partial, reader, request.project, plan.samples, measured)
            progress(Stage.GUARD, 0, 1)
            verdict = judge(scratch, segments, request, plan.rows.row_files, plan.rows.suffix)
            progress(Stage.GUARD, 1, 1)
            merged = _merge(
                partial, scratch, plan, segments, verdict, pool or Here(reader), progress
            )
        manifest = _describe(partial, plan, segments, verdict, reference, merged)
        check_disjoint(partial / IDS_FILE, plan.rows.suffix)
        with Lines(partial / MANIFEST_FILE) as file:
            file.write(manifest_json(manifest))
        items = _items(partial / IDS_FILE)
        named = _named(partial, reference)
        store.record_dataset(request.project, str(directory.absolute()), file.sha256, items, named)
    return manifest


def check_disjoint(ids_path: Path, suffix: str = "jsonl") -> None:
    """Raise GuardError if a group is trained on and held out, or in train and val.

    By what was written, and not by why. Reads the file twice; holds the groups that are not in
    train.
    """
    apart: dict[str, str] = {}
    train, val = (file_of(side, suffix) for side in TRAINED)
    for is_train in (False, True):
        for line in read_leaving(ids_path):
            if (line.file == train) is is_train:
                other = apart.get(line.group, line.file)
                if other != line.file and {other, line.file} & {train, val}:
                    raise GuardError(
                        f"group {line.group} is in {other} and in {line.file} (call {line.call}): "
                        "the store has it on two sides. Nothing was published"
                    )
                if not is_train:
                    apart[line.group] = line.file


@contextmanager
def _open_state(
    store: TraceStore, request: ExportRequest, processes: int | None
) -> Iterator[tuple[StoreReader, Pool | None]]:
    """Look at one state of the store, here and in as many processes as the calls are worth."""
    if processes is None:
        calls = store.count(request.project)
        processes = default_processes() if calls >= POOL_CALLS_MIN else 1
    if processes == 1:
        with store.snapshot() as reader:
            yield reader, None
    else:
        with open_pool(store, processes) as pool, shared_state.share(store, pool.join) as reader:
            yield reader, pool


def _write_segments(
    reader: StoreReader, pool: Pool | None, plan: Plan, scratch: Path, progress: Progress
) -> tuple[Sequence[Segment], list[Measured]]:
    """Write all segments; return them in the order of their ranges, and what all have measured."""
    done = 0

    def advance(calls: int) -> None:
        nonlocal done
        done += calls
        progress(Stage.READ, done, plan.size.calls)

    written: list[Segment] = []
    measured: list[Measured] = []

    def add(segment: Segment) -> None:
        measured.extend(segment.measured)
        written.append(msgspec.structs.replace(segment, measured=[]))

    if pool is None:
        for number, among in enumerate(plan.ranges):
            add(write_segment(reader, plan.rows, number, among, scratch, advance=advance))
    else:
        for segment in pool.segments(plan.rows, plan.ranges, scratch):
            add(segment)
            advance(sum(segment.tally.calls[side] for side in Side))
    written.sort(key=lambda segment: segment.number)
    return written, measured


def _merge(
    partial: Path,
    scratch: Path,
    plan: Plan,
    segments: Sequence[Segment],
    verdict: Verdict,
    looker: Looker,
    progress: Progress,
) -> Sequence[FileEntry]:
    """Put together what the segments wrote; nothing is left of it in `scratch`, nor that."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(Stage.WRITE, done, len(segments))

    rows, dropped = plan.rows.row_files, verdict.dropped
    merged = merge(partial, scratch, segments, looker, rows=rows, dropped=dropped, advance=advance)
    scratch.rmdir()
    return merged


def _describe(
    partial: Path,
    plan: Plan,
    segments: Sequence[Segment],
    verdict: Verdict,
    reference: Drawn,
    merged: Sequence[FileEntry],
) -> Manifest:
    """Write everything that is made of the rows but the manifest, and return that."""
    files = [*merged]
    files += [
        FileEntry(each.name, each.sha256, each.bytes, each.groups)
        for each in reference.entries.values()
    ]
    request, suffix = plan.rows.request, plan.rows.suffix
    subsets, of_subsets = write_subsets(
        partial, request.subsets, request.project, plan.policy, suffix
    )
    files += of_subsets
    tally = Tally()
    for segment in segments:
        tally.add(segment.tally)
    text = templates_json(plan.rows.templates).decode()
    files.append(_write_text(partial / TEMPLATES_FILE, text))
    facts = _trainer_facts(plan, tally, files)
    for name, config in trainer_files(facts).items():
        files.append(_write_text(partial / name, config.decode()))
    manifest = describe(plan, tally, verdict, reference, subsets, files)
    text = card_header(facts) + card(manifest)
    return with_file(manifest, _write_text(partial / CARD_FILE, text))


def _trainer_facts(plan: Plan, tally: Tally, files: Sequence[FileEntry]) -> TrainerFacts:
    request = plan.rows.request
    rows = {file.name: file.rows for file in files}
    sums = {file.name: file.sha256 for file in files}
    train, val = (file_of(side, plan.rows.suffix) for side in TRAINED)
    return TrainerFacts(
        format=request.format,
        train_file=train if rows[train] else "",
        val_file=val if rows[val] else "",
        longest_row_bytes=max(tally.longest[side] for side in TRAINED),
        last_only=shape_of(request).last_only,
        method=request.method,
        rows_sha256=hashlib.sha256((sums[train] + sums[val]).encode()).hexdigest(),
    )


def _write_text(path: Path, text: str) -> FileEntry:
    with Lines(path) as file:
        for line in text.splitlines():
            file.write(line.encode("utf-8", "surrogatepass"))
    return entry_of(file)


def _items(ids_path: Path) -> Iterator[DatasetItem]:
    """List every call that leaves, those inside other calls' rows too, each of them once."""
    group, seen = "", set[str]()
    sides: dict[str, Side | Apart] = {}
    for line in read_leaving(ids_path):
        if line.group != group:
            group, seen = line.group, set()
        if line.file not in sides:
            sides[line.file] = side_of_part(line.file.rpartition(".")[0])
        for call_id in (line.call, *line.continued):
            if call_id not in seen:
                seen.add(call_id)
                yield DatasetItem(call_id, line.group, sides[line.file])


def _named(partial: Path, reference: Drawn) -> Iterator[str]:
    """List the calls that are in a list or a sample, rows or not."""
    for name in LISTS:
        with (partial / name).open("rb") as file:
            yield from (_decode_call(line).call for line in file)
    for sample in reference.samples.values():
        yield from sample.call_ids


_decode_call = msgspec.json.Decoder(CallLine).decode
