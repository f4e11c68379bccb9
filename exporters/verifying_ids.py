"""Where the rows are from: `ids.jsonl` read back, its groups and calls held against each other.

    rows      every row of every file has its line, in the order of the groups
    groups    no group is in two files that must not share one
    calls     nor is a call, those inside other calls' rows included; none is a row twice
    sides     every group is on the side that its `u` says, or the ledger said otherwise, and then
              for a reason that takes a group there

Train and val must share no group with each other nor with what is held out: test, targeted sets,
time hold-outs. Those may share groups among themselves. `drawn` is what one draw divided (DRAWN):
every group of train and val, of the time hold-out, which was taken from them, and of test; of the
last two what the filter would have kept for train (`IdLine.selected`). So it is seen if the test
side was filtered as train was, or thinned out.

A reason that the ledger gives (`IdLine.moved`) is believed: no more than the words that exist, and
the sides they lead to, can be checked here. How many there were is said.

Memory: 48 bytes for each row and 8 for each call inside another's row; names are compared by 64
bits of their hash, and those that seem to be shared are read again and compared in full.
"""

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.checks import Check, Problems
from exporters.manifest import Manifest
from exporters.row_lines import IDS_FILE, IdLine
from exporters.row_shape import LeftOut
from exporters.statistics import FloatArray
from storage.counted import counted
from storage.reservation import Cause, side_of, u_of
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

    `groups`, `own` (the calls) and `u` have a place for each row; `calls` also the calls inside
    rows. `labels`: rows whose answer is a label, by its source. `unselected`: rows of calls that
    nobody made up, that are not selected and whose answer is no label.
    """

    name: str
    groups: "array[int]" = field(default_factory=lambda: array("Q"))
    own: "array[int]" = field(default_factory=lambda: array("Q"))
    calls: "array[int]" = field(default_factory=lambda: array("Q"))
    u: "array[float]" = field(default_factory=lambda: array("d"))
    selected: bytearray = field(default_factory=bytearray)
    labels: Counter[str] = field(default_factory=Counter)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    synthetic: int = 0
    unselected: int = 0
    partly: int = 0

    @property
    def part(self) -> str:
        """What the file is: `train`, `test`, `targeted-refunds`, …"""
        return part_of(self.name)

    @property
    def group_count(self) -> int:
        """How many groups have rows in the file."""
        return len(np.unique(array_of(self.groups)))

    def add(self, line: IdLine, group_hash: int, u: float) -> None:
        """Take in the line of one more row."""
        calls = [hash64(call) for call in (line.call, *line.continued)]
        self.groups.append(group_hash)
        self.own.append(calls[0])
        self.calls.extend(calls)
        self.u.append(u)
        self.selected.append(line.selected and not line.synthetic)
        if line.answer:
            self.labels[line.answer] += 1
        self.left_out.update(line.left_out)
        self.synthetic += line.synthetic
        self.unselected += not (line.selected or line.synthetic or line.answer)
        self.partly += line.selected and line.partly


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
        group, file_name = "", ""
        for number, line in enumerate(read_ids(directory)):
            file = self.files.setdefault(line.file, FileIds(line.file))
            if line.row != len(file.groups):
                self._misplaced.add(
                    f"{IDS_FILE} line {number} is of row {line.row} of {line.file}, after "
                    f"{counted(len(file.groups), 'row')}"
                )
            if line.group < group:
                self._misplaced.add(
                    f"{IDS_FILE} line {number} is of group {line.group}, after {group}: an export "
                    "writes groups in the order of their names, so its rows were put elsewhere"
                )
            if line.group != group or not number:
                group_hash = hash64(line.group)
                u = u_of(manifest.policy.salt, manifest.project, line.group)
            if (line.group, line.file) != (group, file_name):
                self._check_side(line, u)
            group, file_name = line.group, line.file
            file.add(line, group_hash, u)
        for name in sorted(entries.keys() | self.files.keys()):
            listed = self.row_count(name)
            if listed != entries.get(name, 0):
                self._misplaced.add(
                    f"{name} has {counted(entries.get(name, 0), 'row')}, {listed:,} listed"
                )
        for side in SIDES:
            self._check_sum(side, sum(n for name, n in entries.items() if part_of(name) == side))

    @property
    def group_count(self) -> int:
        """How many groups the files have; one in two of them counts twice."""
        return sum(file.group_count for file in self.files.values())

    def groups_of(self, part: str) -> int:
        """How many groups a part of the dataset has."""
        return sum(file.group_count for file in self.files.values() if file.part == part)

    def row_count(self, name: str) -> int:
        """Say how many rows of a file are listed."""
        return len(self.files[name].groups) if name in self.files else 0

    def check_rows(self) -> Check:
        """Say whether every row has its line."""
        count = sum(len(file.groups) for file in self.files.values())
        return self._misplaced.check(
            "rows", f"{counted(count, 'row')}, each with its call and its group"
        )

    def check_sides(self) -> Check:
        """Say whether every group is where its `u` says it is."""
        policy = self._manifest.policy
        says = f"every group is on the side that u under salt {policy.salt} gives it"
        if self._moved:
            says += f", but for {counted(self._moved, 'row')} moved, as the ledger says"
        return self._sides.check("sides", says)

    def check_groups(self) -> Check:
        """Say whether groups are shared by files that must not share any."""
        problems = Problems()
        for first, second, shared in self._shared(lambda file: file.groups):
            for name in self._names(first, second, shared, of_groups=True):
                problems.add(f"group {name} is in {first} and in {second}: train on neither")
        count = sum(self.groups_of(part) for part in TRAINED)
        says = f"{counted(count, 'group')} of train and val, none of them in another file"
        return problems.check("groups", says)

    def check_calls(self) -> Check:
        """Say whether calls are shared by files that must not share any, or are a row twice."""
        problems = Problems()
        for file in self.files.values():
            for name in self._doubled(file):
                problems.add(f"call {name} is several rows of {file.name}: it was copied there")
        for first, second, shared in self._shared(lambda file: file.calls):
            for name in self._names(first, second, shared, of_groups=False):
                problems.add(f"call {name} is in {first} and in {second}: train on neither")
        count = sum(len(file.calls) for file in self.files.values() if file.part in TRAINED)
        says = (
            f"{counted(count, 'call')} of train and val, none of them in another file, none twice"
        )
        return problems.check("calls", says)

    def drawn(self) -> FloatArray:
        """Give the `u` of each group that one draw divided and the filter would keep."""
        every = [np.empty(0)]
        for file in self.files.values():
            if file.part in DRAWN:
                chosen = np.frombuffer(file.selected, dtype=np.uint8).astype(np.bool_)
                first = np.unique(array_of(file.groups)[chosen], return_index=True)[1]
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
        if side == part:
            return
        if may_have_moved(line.moved, Side(part), policy.version):
            self._moved += 1
            return
        reason = f"{line.moved!r} takes none there" if line.moved else "the ledger gives no reason"
        self._sides.add(
            f"group {line.group} is in {line.file} (row {line.row}), but u = {u:.4f} puts it "
            f"into {side}, and {reason}: the file was made otherwise"
        )

    def _doubled(self, file: FileIds) -> Sequence[str]:
        """Name calls that are several rows of a file."""
        hashes, counts = np.unique(array_of(file.own), return_counts=True)
        wanted = set(hashes[counts > 1][:SHARED_MAX].tolist())
        if not wanted:
            return ()
        lines = (line for line in read_ids(self._directory) if line.file == file.name)
        rows = Counter(line.call for line in lines if hash64(line.call) in wanted)
        return sorted(call for call, count in rows.items() if count > 1)

    def _shared(self, kind: Callable[[FileIds], "array[int]"]) -> Iterator[tuple[str, str, Hashes]]:
        """Yield pairs of files that must not share what they share, by its hashes."""
        files = list(self.files.values())
        for number, first in enumerate(files):
            for second in files[number + 1 :]:
                if first.part in TRAINED or second.part in TRAINED:
                    shared = np.intersect1d(array_of(kind(first)), array_of(kind(second)))
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


def may_have_moved(reason: str, side: Side, policy_version: int) -> bool:
    """Tell whether the ledger can have a reason for a group on a side that its `u` is not on.

    A group only ever moves to where it is further held out (storage.sides). It stays on train, or
    on val, under a policy that would have it elsewhere, where an earlier one put it there.
    """
    if match := _POLICY.fullmatch(reason):
        return int(match[1]) < policy_version
    if reason == Cause.RATIO_RAISED and policy_version < 2:
        return False
    return any(reason == cause for cause in _LEADING_TO[side])


_POLICY: Final = re.compile(r"policy_([1-9][0-9]{0,8})")
_STAYING: Final = frozenset({Cause.QUARANTINE})  # another group joined it, whose calls are apart
_LEADING_TO: Final[Mapping[Side, Collection[Cause]]] = {
    Side.TRAIN: _STAYING,
    Side.VAL: _STAYING | {Cause.RATIO_RAISED, Cause.JOINED},
    Side.TEST: frozenset(Cause) - {Cause.FIRST_CALL},
}
_decode = msgspec.json.Decoder(IdLine).decode


def array_of(hashes: "array[int]") -> Hashes:
    """Look at hashes as numpy has them."""
    return np.frombuffer(hashes, dtype=np.uint64)
