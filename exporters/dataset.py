"""One export run: select, write, guard, record, publish. All of it, or nothing.

`export` reads one state of the store, group by group, and writes `train.jsonl`, `val.jsonl`,
`test.jsonl` and what proves them (exporters.manifest) beside the target. Only when all is synced
to disk, no group is in two files, and the store has written down what is about to leave, does
the directory get its name, in one rename (exporters.staging). The store is told first, for of the
two ways to be wrong one is harmless: a group believed to have left that has not.

The same store gives byte-identical files. Memory holds the calls of one group (up to a limit, see
exporters.selection), a sample of 20,000 measured calls, and 100 bytes for each group of val and
test; a group larger than that limit is read twice. What is not here: labels, near-duplicates,
several processes, and the turns an upstream kept for us (previous_response_id).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from importlib import metadata
from itertools import groupby
from pathlib import Path

import msgspec

from exporters.formats import FORMATS, Format, LeftOut
from exporters.manifest import (
    IDS_FILE,
    MANIFEST_VERSION,
    NEEDS_LABEL_FILE,
    SIDE_FILES,
    FileEntry,
    IdLine,
    Manifest,
    NeedsLabelLine,
    ReferenceEntry,
    SideEntry,
    manifest_json,
)
from exporters.selection import NEEDS_LABEL, Conversations, Reason, Turns, reason_against
from exporters.staging import Lines, staging
from exporters.windows import (
    MANIFEST_FILE,
    REFERENCE_FILE,
    REFERENCE_GROUPS_MAX,
    Reservoir,
    counts_for_drift,
    iso_time,
    measured,
)
from storage.derive import derive
from storage.features import FEATURE_VERSION, features_of
from storage.reader import StoreReader
from storage.reservation import Policy
from storage.rows import CallRow, DatasetItem, StoredCall
from storage.store import TraceStore
from storage.trace import DERIVE_VERSION, Side, Span

TEST_GROUPS_MIN = 200  # below, a test set tells two models apart only if they are far apart

Progress = Callable[[int, int], None]  # calls done, calls in all


class ExportError(Exception):
    """An export cannot be made as asked; the message says why and what to do."""


class GuardError(Exception):
    """A group would have left on two sides. Nothing was published."""


def export(
    store: TraceStore,
    project: str,
    directory: Path,
    *,
    format: str = "openai",
    where: str | None = None,
    turns: Turns = Turns.LEAF,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Write a dataset of a project into `directory`, which must not exist or be empty.

    `where` acts on train and val; the test side is exported whole. Raises ExportError,
    StagingError, GuardError, FilterError for a bad filter, StoreError, and OSError where the disk
    refuses. Scans the project's calls with their bodies, and without them once more for a filter.
    """
    if format not in FORMATS:
        raise ExportError(f"there is no format {format!r}: choose one of {', '.join(FORMATS)}")
    with staging(directory) as partial:
        with store.snapshot() as reader:
            manifest = _write_all(reader, project, partial, FORMATS[format], where, turns, progress)
        ids = partial / IDS_FILE
        check_disjoint(ids)
        data = manifest_json(manifest)
        with Lines(partial / MANIFEST_FILE) as file:
            file.write(data)
        store.record_dataset(project, str(directory.absolute()), file.sha256, _items(ids))
    return manifest


def check_disjoint(ids_path: Path) -> None:
    """Raise GuardError if a group has rows in two files, by what was written and not by why.

    Reads the file twice; holds the groups of val and test.
    """
    held_out: dict[str, str] = {}
    train = SIDE_FILES[Side.TRAIN]
    for is_train in (False, True):
        for line in _read_ids(ids_path):
            if (line.file == train) is is_train:
                other = held_out.get(line.group, line.file)
                if other != line.file:
                    raise GuardError(
                        f"group {line.group} is in {other} and in {line.file} (call {line.call}): "
                        "the store has it on two sides. Nothing was published"
                    )
                if not is_train:
                    held_out[line.group] = line.file


def _write_all(
    reader: StoreReader,
    project: str,
    partial: Path,
    format: Format,
    where: str | None,
    turns: Turns,
    progress: Progress,
) -> Manifest:
    """Write every file but the manifest, and return that."""
    policy = reader.policy(project)
    if policy is None:
        raise ExportError(f"project {project!r} has no calls to export")
    call_count = reader.count(project)
    with ExitStack() as stack:
        names = (*SIDE_FILES.values(), IDS_FILE, NEEDS_LABEL_FILE, REFERENCE_FILE)
        files = {name: stack.enter_context(Lines(partial / name)) for name in names}
        run = _Run(reader, format, turns, files)
        matching = _Matching(reader, project, where)
        calls = reader.scan(project, by_group=True)
        for group_id, group in groupby(calls, key=lambda call: call.row.group_id):
            run.add_group(group_id, group, matching.of(group_id))
            progress(run.calls.total(), call_count)
        run.write_sample()
    return run.manifest(project, policy, where)


class _Matching:
    """The ids a filter matches, group after group, in the order in which the groups are scanned."""

    def __init__(self, reader: StoreReader, project: str, where: str | None) -> None:
        self._groups = None
        if where is not None:
            pages = reader.features(project, where, by_group=True)
            rows = (call.row for page in pages for call in page)
            self._groups = groupby(rows, key=lambda row: row.group_id)
            self._next = next(self._groups, None)

    def of(self, group_id: str) -> Callable[[str], bool]:
        """Return what tells whether a call of the group matches. Ask for groups in order."""
        if self._groups is None:
            return lambda call_id: True
        if self._next is None or self._next[0] != group_id:
            return lambda call_id: False
        ids = {row.id for row in self._next[1]}
        self._next = next(self._groups, None)
        return ids.__contains__


class _Run:
    """What an export writes to and counts in while it goes through the groups."""

    def __init__(
        self, reader: StoreReader, format: Format, turns: Turns, files: dict[str, Lines]
    ) -> None:
        self.calls: Counter[Side] = Counter()
        self._reader = reader
        self._format = format
        self._turns = turns
        self._files = files
        self._groups: Counter[Side] = Counter()  # that have rows
        self._reasons: Counter[tuple[Side, Reason]] = Counter()
        self._left_out: Counter[tuple[Side, LeftOut]] = Counter()
        self._sample = Reservoir(REFERENCE_GROUPS_MAX)
        self._started: list[datetime] = []  # the first and the last of the sampled calls

    def add_group(
        self, group_id: str, calls: Iterable[StoredCall], matches: Callable[[str], bool]
    ) -> None:
        """Write the rows of a group, and count what became of each of its calls."""
        sides: dict[Side, Conversations] = {}
        for call in calls:
            row = call.row
            self.calls[row.side] += 1
            if call.capture is None:
                self._count(row, Reason.BODY_DELETED)
                continue
            span = derive(call.capture)
            reason = reason_against(span, row.side, matches(row.id))
            reason = reason or self._format.unfit(span.understood)
            if reason:
                self._count(row, reason)
            if row.side is Side.TRAIN and counts_for_drift(row) and matches(row.id):
                self._add_to_sample(row, span)
            if row.side not in sides:
                sides[row.side] = Conversations(self._turns, self._read_again)
            sides[row.side].add(span, reason)
        for side, conversations in sides.items():
            self._write_rows(side, group_id, conversations)

    def write_sample(self) -> None:
        """Write the reference for drift, once every group was added."""
        for row in self._sample.rows():
            self._files[REFERENCE_FILE].write(msgspec.json.encode(row))

    def manifest(self, project: str, policy: Policy, where: str | None) -> Manifest:
        """Sum up, once every file is closed."""
        reference = self._files[REFERENCE_FILE]
        started = [iso_time(time) for time in self._started] or ["", ""]
        return Manifest(
            version=MANIFEST_VERSION,
            shalt_version=metadata.version("shalt"),
            project=project,
            format=self._format.name,
            turns=self._turns,
            where=where,
            policy=policy,
            derive_version=DERIVE_VERSION,
            feature_version=FEATURE_VERSION,
            calls=self.calls.total(),
            sides={side: self._side_entry(side) for side in Side},
            files=tuple(
                FileEntry(name, file.sha256, file.bytes, file.rows)
                for name, file in self._files.items()
            ),
            reference=ReferenceEntry(
                name=REFERENCE_FILE,
                sha256=reference.sha256,
                calls=self._sample.call_count,
                groups=reference.rows,
                started_from=started[0],
                started_to=started[1],
            ),
            warnings=tuple(self._warnings()),
        )

    def _write_rows(self, side: Side, group_id: str, conversations: Conversations) -> None:
        name = SIDE_FILES.get(side, "")
        for position, example in enumerate(conversations.examples()):
            file, ids = self._files[name], self._files[IDS_FILE]
            line = IdLine(name, file.rows, example.call_id, group_id, example.continued)
            ids.write(msgspec.json.encode(line))
            file.write(self._format.row(example))
            self._groups[side] += position == 0
            for left_out in self._format.left_out(example):
                self._left_out[side, left_out] += 1
        self._reasons[side, Reason.CONTINUED] += conversations.continued_count

    def _count(self, row: CallRow, reason: Reason) -> None:
        self._reasons[row.side, reason] += 1
        if reason in NEEDS_LABEL:
            line = NeedsLabelLine(row.id, row.group_id, row.side, reason)
            self._files[NEEDS_LABEL_FILE].write(msgspec.json.encode(line))

    def _add_to_sample(self, row: CallRow, span: Span) -> None:
        self._sample.offer(row.group_id, row.id, lambda: measured(row, features_of(span)))
        self._started = [
            min([row.started_at, *self._started]),
            max([row.started_at, *self._started]),
        ]

    def _read_again(self, call_id: str) -> Span:
        call = self._reader.get(call_id)
        assert call is not None, "a snapshot loses no call"
        assert call.capture is not None, "nor its body"
        return derive(call.capture)

    def _side_entry(self, side: Side) -> SideEntry:
        return SideEntry(
            calls=self.calls[side],
            groups=self._groups[side],
            rows=self._files[SIDE_FILES[side]].rows if side in SIDE_FILES else 0,
            reasons={reason: n for reason in Reason if (n := self._reasons[side, reason])},
            left_out={what: n for what in LeftOut if (n := self._left_out[side, what])},
        )

    def _warnings(self) -> Iterator[str]:
        for name in SIDE_FILES.values():
            if self._files[name].rows == 0:
                yield f"{name} is empty: loaders refuse an empty file, so do not name it to them"
        test_groups = self._groups[Side.TEST]
        if 0 < test_groups < TEST_GROUPS_MIN:
            yield (
                f"{SIDE_FILES[Side.TEST]} has {test_groups} groups, fewer than {TEST_GROUPS_MIN}: "
                "only large differences between models will show"
            )
        if quarantined := self.calls[Side.QUARANTINE]:
            yield f"{quarantined} calls are in quarantine: their groups were found on two sides"


def _read_ids(path: Path) -> Iterator[IdLine]:
    with path.open("rb") as file:
        yield from map(_decode_id, file)


_decode_id = msgspec.json.Decoder(IdLine).decode


def _items(ids_path: Path) -> Iterator[DatasetItem]:
    """List every call that leaves, those inside other calls' rows too, each of them once."""
    sides = {name: side for side, name in SIDE_FILES.items()}
    group, seen = "", set[str]()
    for line in _read_ids(ids_path):
        if line.group != group:
            group, seen = line.group, set()
        for call_id in (line.call, *line.continued):
            if call_id not in seen:
                seen.add(call_id)
                yield DatasetItem(call_id, line.group, sides[line.file])
