"""Nested subsets of train, for a learning curve: each is contained in the next larger one.

Groups are taken in the order of `u` (storage.reservation), whole: a subset of 25 % has the quarter
of the train groups whose `u` is lowest, rounded up, with all their rows in the order of train. As
`u` is a hash, each is a random sample of train, and stays nested when calls are added later. 100 %
is train itself, and no file of its own.

Memory: 8 bytes for each group of train. Reads train and `ids.jsonl` once.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from exporters.manifest import FileEntry, SubsetEntry
from exporters.merging import entry_of, open_rows, read_ids
from exporters.parquet_files import read_lines
from exporters.row_lines import IDS_FILE, file_of
from storage.reservation import Policy, u_of
from storage.trace import Side


def write_subsets(
    directory: Path, percents: Sequence[float], project: str, policy: Policy, suffix: str
) -> tuple[Sequence[SubsetEntry], Sequence[FileEntry]]:
    """Write the subsets of a dataset's train file beside it, smallest first.

    `percents` of train's groups, 0..100. Raises OSError where the disk refuses.
    """
    percents = sorted(percent for percent in percents if percent < 100)
    if not percents:
        return (), ()
    train = file_of(Side.TRAIN, suffix)
    groups = [
        (u_of(policy.salt, project, group), rows) for group, rows in _groups(directory, train)
    ]
    ordered = sorted(u for u, _ in groups)
    counts = [math.ceil(len(ordered) * percent / 100) for percent in percents]
    limits = [ordered[count - 1] if count else 0.0 for count in counts]
    names = [file_of(f"{Side.TRAIN}-{percent:g}", suffix) for percent in percents]
    lines = _lines(directory / train)
    with ExitStack() as stack:
        files = [open_rows(stack, directory / name) for name in names]
        for u, rows in groups:
            wanted = [
                file for file, limit in zip(files, limits, strict=True) if u <= limit and ordered
            ]
            for _ in range(rows):
                line = next(lines)
                for file in wanted:
                    file.write(line)
    entries = [
        SubsetEntry(name, percent, limit, count, file.rows)
        for name, percent, limit, count, file in zip(
            names, percents, limits, counts, files, strict=True
        )
    ]
    return entries, [entry_of(file) for file in files]


def _groups(directory: Path, train: str) -> Iterator[tuple[str, int]]:
    """Yield the groups of train in their order, and how many rows each has."""
    lines = (line for line in read_ids(directory / IDS_FILE) if line.file == train)
    for group, of_group in groupby(lines, key=lambda line: line.group):
        yield group, sum(1 for _ in of_group)


def _lines(path: Path) -> Iterator[bytes]:
    """Read the rows of a file as lines without their ends."""
    if path.suffix == ".parquet":
        yield from read_lines(path)
    else:
        with path.open("rb") as file:
            for line in file:
                yield line.removesuffix(b"\n")
