"""One export run: plan, segments, merge, record, publish. All of it, or nothing.

    plan      from columns alone: what the segments have in common (exporters.planning)
    segments  ranges of groups, each a function of one state of the store, run here or by a pool
              of processes (exporters.segment, exporters.pool)
    merge     what they made, put together in the order of the ranges (exporters.merging)

`export` writes `train.jsonl`, `val.jsonl`, `test.jsonl` and what proves them (exporters.manifest)
beside the target. Only when all is synced to disk, no group is in two files, and the store has
written down what is about to leave, does the directory get its name, in one rename
(exporters.staging). The store is told first, for of the two ways to be wrong one is harmless: a
group believed to have left that has not.

The same store gives byte-identical files, by whatever number of processes. Memory: see
exporters.segment for each process; here a sample of 20,000 measured calls, and 100 bytes for
each group of val and test.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import msgspec

from exporters.formats import LeftOut
from exporters.manifest import (
    IDS_FILE,
    MANIFEST_VERSION,
    SIDE_FILES,
    FileEntry,
    Manifest,
    ReferenceEntry,
    SideEntry,
    manifest_json,
)
from exporters.merging import entry_of, merge, read_ids
from exporters.planning import Plan, make_plan
from exporters.pool import Pool, default_processes, open_pool
from exporters.reference import Sample, Sampler
from exporters.request import ExportRequest, check_request
from exporters.segment import SEGMENT_CALLS, Segment, Tally, write_segment
from exporters.selection import Reason
from exporters.staging import Lines, staging
from exporters.windows import MANIFEST_FILE, REFERENCE_FILE, iso_time
from storage import shared_state
from storage.features import FEATURE_VERSION
from storage.reader import StoreReader
from storage.rows import DatasetItem
from storage.store import TraceStore
from storage.trace import DERIVE_VERSION, Side

TEST_GROUPS_MIN = 200  # below, a test set tells two models apart only if they are far apart
# Fewer calls than this are read sooner than another process has started.
POOL_CALLS_MIN = 2 * SEGMENT_CALLS
_SCRATCH = "scratch"


class Stage(StrEnum):
    """What an export is at, in this order."""

    PLAN = "planning"
    READ = "reading calls"
    WRITE = "writing files"


Progress = Callable[[Stage, int, int], None]  # done, in all


class GuardError(Exception):
    """A group would have left on two sides. Nothing was published."""


def export(
    store: TraceStore,
    request: ExportRequest,
    directory: Path,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Manifest:
    """Write a dataset of a project into `directory`, which must not exist or be empty.

    `processes`: how many read at the same time; None for as many as there are cores, where there
    are calls enough. Raises ExportError, StagingError, GuardError, FilterError for a bad filter,
    StoreError, and OSError where the disk refuses. Scans the project's calls with their bodies.
    """
    check_request(request)
    with staging(directory) as partial:
        progress(Stage.PLAN, 0, 1)
        scratch = partial / _SCRATCH
        scratch.mkdir()
        with _open_state(store, request, processes) as (reader, pool):
            plan = make_plan(reader, request)
            progress(Stage.PLAN, 1, 1)
            segments, sample = _write_segments(reader, pool, plan, scratch, progress)
        files = _merge(partial, scratch, segments, sample, progress)
        scratch.rmdir()
        check_disjoint(partial / IDS_FILE)
        manifest = _manifest(request, plan, segments, sample, files)
        with Lines(partial / MANIFEST_FILE) as file:
            file.write(manifest_json(manifest))
        items = _items(partial / IDS_FILE)
        store.record_dataset(request.project, str(directory.absolute()), file.sha256, items)
    return manifest


def check_disjoint(ids_path: Path) -> None:
    """Raise GuardError if a group has rows in two files, by what was written and not by why.

    Reads the file twice; holds the groups of val and test.
    """
    held_out: dict[str, str] = {}
    train = SIDE_FILES[Side.TRAIN]
    for is_train in (False, True):
        for line in read_ids(ids_path):
            if (line.file == train) is is_train:
                other = held_out.get(line.group, line.file)
                if other != line.file:
                    raise GuardError(
                        f"group {line.group} is in {other} and in {line.file} (call {line.call}): "
                        "the store has it on two sides. Nothing was published"
                    )
                if not is_train:
                    held_out[line.group] = line.file


@contextmanager
def _open_state(
    store: TraceStore, request: ExportRequest, processes: int | None
) -> Iterator[tuple[StoreReader, Pool | None]]:
    """Look at one state of the store, here and in as many processes as the calls are worth."""
    calls = store.count(request.project)
    if processes is None:
        processes = default_processes() if calls >= POOL_CALLS_MIN else 1
    if processes == 1:
        with store.snapshot() as reader:
            yield reader, None
    else:
        with open_pool(store, processes) as pool, shared_state.share(store, pool.join) as reader:
            yield reader, pool


def _write_segments(
    reader: StoreReader, pool: Pool | None, plan: Plan, scratch: Path, progress: Progress
) -> tuple[Sequence[Segment], Sample]:
    """Write all segments; return them in the order of their ranges, and the sample of them all."""
    sampler = Sampler()
    done = 0

    def advance(calls: int) -> None:
        nonlocal done
        done += calls
        progress(Stage.READ, done, plan.calls)

    written: list[Segment] = []
    if pool is None:
        for number, among in enumerate(plan.ranges):
            rank_max = sampler.rank_max
            segment = write_segment(
                reader, plan.segment, number, among, scratch, rank_max=rank_max, advance=advance
            )
            sampler.add(segment.sample)
            written.append(msgspec.structs.replace(segment, sample=Sample()))
    else:
        rank_max_of = lambda: sampler.rank_max  # noqa: E731  it changes with every segment
        for segment in pool.segments(plan.segment, plan.ranges, scratch, rank_max_of):
            sampler.add(segment.sample)
            written.append(msgspec.structs.replace(segment, sample=Sample()))
            advance(segment.tally.calls.total())
    written.sort(key=lambda segment: segment.number)
    return written, sampler.sample()


def _merge(
    partial: Path,
    scratch: Path,
    segments: Sequence[Segment],
    sample: Sample,
    progress: Progress,
) -> Sequence[FileEntry]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(Stage.WRITE, done, len(segments))

    files = merge(partial, scratch, segments, advance)
    with Lines(partial / REFERENCE_FILE) as reference:
        for row in sample.rows:
            reference.write(msgspec.json.encode(row))
    return [*files, entry_of(reference)]


def _manifest(
    request: ExportRequest,
    plan: Plan,
    segments: Sequence[Segment],
    sample: Sample,
    files: Sequence[FileEntry],
) -> Manifest:
    tally = Tally()
    for segment in segments:
        tally.add(segment.tally)
    entries = {file.name: file for file in files}
    reference = entries[REFERENCE_FILE]
    started = [iso_time(time) for time in sample.started or ()] or ["", ""]
    return Manifest(
        version=MANIFEST_VERSION,
        shalt_version=metadata.version("shalt"),
        project=request.project,
        format=request.format,
        turns=request.turns,
        where=request.where,
        policy=plan.policy,
        derive_version=DERIVE_VERSION,
        feature_version=FEATURE_VERSION,
        calls=tally.calls.total(),
        sides={side: _side_entry(side, tally, entries) for side in Side},
        files=tuple(files),
        reference=ReferenceEntry(
            name=REFERENCE_FILE,
            sha256=reference.sha256,
            calls=sample.call_count,
            groups=reference.rows,
            started_from=started[0],
            started_to=started[1],
        ),
        warnings=tuple(_warnings(tally, entries)),
    )


def _side_entry(side: Side, tally: Tally, entries: dict[str, FileEntry]) -> SideEntry:
    return SideEntry(
        calls=tally.calls[side],
        groups=tally.groups[side],
        rows=entries[SIDE_FILES[side]].rows if side in SIDE_FILES else 0,
        reasons={reason: n for reason in Reason if (n := tally.reasons[side, reason])},
        left_out={what: n for what in LeftOut if (n := tally.left_out[side, what])},
    )


def _warnings(tally: Tally, entries: dict[str, FileEntry]) -> Iterator[str]:
    for name in SIDE_FILES.values():
        if entries[name].rows == 0:
            yield f"{name} is empty: loaders refuse an empty file, so do not name it to them"
    test_groups = tally.groups[Side.TEST]
    if 0 < test_groups < TEST_GROUPS_MIN:
        yield (
            f"{SIDE_FILES[Side.TEST]} has {test_groups} groups, fewer than {TEST_GROUPS_MIN}: "
            "only large differences between models will show"
        )
    if quarantined := tally.calls[Side.QUARANTINE]:
        yield f"{quarantined} calls are in quarantine: their groups were found on two sides"


def _items(ids_path: Path) -> Iterator[DatasetItem]:
    """List every call that leaves, those inside other calls' rows too, each of them once."""
    sides = {name: side for side, name in SIDE_FILES.items()}
    group, seen = "", set[str]()
    for line in read_ids(ids_path):
        if line.group != group:
            group, seen = line.group, set()
        for call_id in (line.call, *line.continued):
            if call_id not in seen:
                seen.add(call_id)
                yield DatasetItem(call_id, line.group, sides[line.file])
