"""Where the rows are from: `ids.jsonl` read back, its groups and calls held against each other.

    rows      every row of every file has its line, in order
    groups    no group is in two files that must not share one
    calls     nor is a call, those inside other calls' rows included
    sides     every group is on the side that its `u` says, or the ledger said otherwise
    draw      the `u` of the groups that one draw divided lie evenly in 0..1

Train and val must share no group with each other nor with what is held out: test, targeted sets,
time hold-outs. Those may share groups among themselves. What the draw is of (DRAWN): every group
of train and val, of the time hold-out, which was taken from them, and of test; of the last two what
the filter would have kept for train (`IdLine.selected`). So it is seen if the test side was
filtered as train was, or thinned out.

Memory: 40 bytes for each row and 8 for each call inside another's row; names are compared by 64
bits of their hash, and those that seem to be shared are read again and compared in full.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.checks import Check, Problems, State
from exporters.manifest import Manifest
from exporters.representative import FALSE_ALARM_RATE
from exporters.row_lines import IDS_FILE, IdLine
from exporters.statistics import FloatArray, ks_uniform
from storage.reservation import side_of, u_of
from storage.trace import Apart, Side

SIDES = (Side.TRAIN, Side.VAL, Side.TEST)
TIME_HOLDOUT = Apart.TIME_HOLDOUT.value
DRAWN = (*SIDES, TIME_HOLDOUT)
TRAINED = ("train", "val")
# Groups that are compared in full because 64 bits of their hashes agree.
SHARED_MAX = 10_000

Hashes = NDArray[np.uint64]


@dataclass
class FileIds:
    """What `ids.jsonl` says of the rows of one file, row after row.

    `groups` and `u` have a place for each row; `calls` also the calls inside rows.
    """

    name: str
    groups: "array[int]" = field(default_factory=lambda: array("Q"))
    calls: "array[int]" = field(default_factory=lambda: array("Q"))
    u: "array[float]" = field(default_factory=lambda: array("d"))
    selected: bytearray = field(default_factory=bytearray)

    @property
    def part(self) -> str:
        """What the file is: `train`, `test`, `targeted-refunds`, …"""
        return part_of(self.name)


def part_of(name: str) -> str:
    """Name the part of a dataset that a file is: its name without what tells the format."""
    return name.removesuffix(".jsonl").removesuffix(".parquet")


def has_ids(name: str) -> bool:
    """Say whether the rows of a file have lines of their own in `ids.jsonl`."""
    part = part_of(name)
    return part != name and (part in DRAWN or part.startswith("targeted-"))


def hash64(text: str) -> int:
    """Hash a name to 64 bits."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def read_ids(directory: Path) -> Iterator[IdLine]:
    """Yield the lines of `ids.jsonl`; raise msgspec.MsgspecError for one that is none."""
    with (directory / IDS_FILE).open("rb") as file:
        yield from map(_decode, file)


class Ids:
    """All of `ids.jsonl`, by file; `check_rows` says whether it fits the files."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self._directory = directory
        self._manifest = manifest
        self._misplaced = Problems()
        self._sides = Problems()
        self._moved = 0
        self.files: dict[str, FileIds] = {}
        entries = {entry.name: entry.rows for entry in manifest.files if has_ids(entry.name)}
        group = ""
        for number, line in enumerate(read_ids(directory)):
            file = self.files.setdefault(line.file, FileIds(line.file))
            if line.row != len(file.groups):
                self._misplaced.add(
                    f"{IDS_FILE} line {number} is of row {line.row} of {line.file}, after "
                    f"{len(file.groups)} rows"
                )
            if line.group != group or not file.groups:
                group, group_hash = line.group, hash64(line.group)
                u = u_of(manifest.policy.salt, manifest.project, group)
                self._check_side(line, u)
            file.groups.append(group_hash)
            file.u.append(u)
            file.selected.append(line.selected and not line.synthetic)
            file.calls.extend(map(hash64, (line.call, *line.continued)))
        for name in sorted(entries.keys() | self.files.keys()):
            listed = self.row_count(name)
            if listed != entries.get(name, 0):
                self._misplaced.add(f"{name} has {entries.get(name, 0):,} rows, {listed:,} listed")
        for side in SIDES:
            self._check_sum(side, sum(n for name, n in entries.items() if part_of(name) == side))

    @property
    def group_count(self) -> int:
        """How many groups the files have; one in two of them counts twice."""
        return sum(len(np.unique(_array(file.groups))) for file in self.files.values())

    def groups_of(self, part: str) -> int:
        """How many groups a part of the dataset has."""
        files = [file for file in self.files.values() if file.part == part]
        return sum(len(np.unique(_array(file.groups))) for file in files)

    def row_count(self, name: str) -> int:
        """Say how many rows of a file are listed."""
        return len(self.files[name].groups) if name in self.files else 0

    def check_rows(self) -> Check:
        """Say whether every row has its line."""
        count = sum(len(file.groups) for file in self.files.values())
        return self._misplaced.check("rows", f"{count:,} rows, each with its call and its group")

    def check_sides(self) -> Check:
        """Say whether every group is where its `u` says it is."""
        policy = self._manifest.policy
        says = f"every group is on the side that u under salt {policy.salt} gives it"
        if self._moved:
            says += f", but {self._moved:,} rows that the ledger says were moved"
        return self._sides.check("sides", says)

    def check_groups(self) -> Check:
        """Say whether groups are shared by files that must not share any."""
        problems = Problems()
        for first, second, shared in self._shared(lambda file: file.groups):
            for name in self._names(first, second, shared, of_groups=True):
                problems.add(f"group {name} is in {first} and in {second}: train on neither")
        count = sum(self.groups_of(part) for part in TRAINED)
        says = f"{count:,} groups of train and val, none of them in another file"
        return problems.check("groups", says)

    def check_calls(self) -> Check:
        """Say whether calls are shared by files that must not share any."""
        problems = Problems()
        for first, second, shared in self._shared(lambda file: file.calls):
            for name in self._names(first, second, shared, of_groups=False):
                problems.add(f"call {name} is in {first} and in {second}: train on neither")
        count = sum(len(file.calls) for file in self.files.values() if file.part in TRAINED)
        says = f"{count:,} calls of train and val, none of them in another file"
        return problems.check("calls", says)

    def check_draw(self, disturbed: str) -> Check:
        """Test whether the `u` of all groups that were divided lie evenly.

        `disturbed`: why they need not, empty if they must.
        """
        u = self.drawn()
        if disturbed or not len(u):
            return Check("draw", State.SKIPPED, disturbed or "there are no groups")
        p_value = ks_uniform(u, 0.0, 1.0)
        problems = Problems()
        if p_value < FALSE_ALARM_RATE:
            ratio = self._manifest.policy.test_ratio
            problems.add(
                f"{(u < ratio).mean():.1%} of {len(u):,} groups are below the test ratio of "
                f"{ratio:.0%}: the sides were not made by one draw of the groups that are here; "
                "export again, and let nothing choose among the groups of the test side"
            )
        says = f"u of {len(u):,} groups lie evenly in 0..1 (Kolmogorov-Smirnov, p {p_value:.2g})"
        return problems.check("draw", says)

    def drawn(self) -> FloatArray:
        """Give the `u` of each group that one draw divided and the filter would keep."""
        every = [np.empty(0)]
        for file in self.files.values():
            if file.part in DRAWN:
                chosen = np.frombuffer(file.selected, dtype=np.uint8).astype(np.bool_)
                first = np.unique(_array(file.groups)[chosen], return_index=True)[1]
                every.append(np.frombuffer(file.u, dtype=np.float64)[chosen][first])
        return np.concatenate(every)

    def _check_sum(self, side: Side, rows: int) -> None:
        """Compare a file with what the manifest says became of the calls of its side."""
        entry = self._manifest.sides[side]
        if rows != entry.rows or entry.calls != entry.rows + sum(entry.reasons.values()):
            self._misplaced.add(
                f"of {entry.calls:,} calls of {side} the manifest counts {entry.rows:,} rows and "
                f"{sum(entry.reasons.values()):,} others, and the file has {rows:,} rows"
            )

    def _check_side(self, line: IdLine, u: float) -> None:
        part = part_of(line.file)
        if part not in SIDES:
            return
        policy = self._manifest.policy
        side = side_of(u, policy.test_ratio, policy.val_ratio)
        if side != part and line.moved:
            self._moved += 1
        elif side != part:
            self._sides.add(
                f"group {line.group} is in {line.file} (row {line.row}), but u = {u:.4f} puts it "
                f"into {side}, and the ledger gives no reason: the file was made otherwise"
            )

    def _shared(self, kind: Callable[[FileIds], "array[int]"]) -> Iterator[tuple[str, str, Hashes]]:
        """Yield pairs of files that must not share what they share, by its hashes."""
        files = list(self.files.values())
        for number, first in enumerate(files):
            for second in files[number + 1 :]:
                if first.part in TRAINED or second.part in TRAINED:
                    shared = np.intersect1d(_array(kind(first)), _array(kind(second)))
                    if len(shared):
                        yield first.name, second.name, shared

    def _names(self, first: str, second: str, shared: Hashes, *, of_groups: bool) -> Sequence[str]:
        """Read again what is shared; compare it in full."""
        wanted = set(shared[:SHARED_MAX].tolist())
        names: dict[str, set[str]] = {first: set(), second: set()}
        for line in read_ids(self._directory):
            if line.file in names:
                said = (line.group,) if of_groups else (line.call, *line.continued)
                names[line.file].update(name for name in said if hash64(name) in wanted)
        return sorted(names[first] & names[second])


_decode = msgspec.json.Decoder(IdLine).decode


def _array(hashes: "array[int]") -> Hashes:
    return np.frombuffer(hashes, dtype=np.uint64)
