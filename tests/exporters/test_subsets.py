"""Subsets are nested, whole groups, and chosen by the hash of the group alone."""

from pathlib import Path

import msgspec
import pytest

from exporters.row_lines import IDS_FILE, IdLine
from exporters.subsets import write_subsets
from storage.reservation import Policy, u_of

POLICY = Policy(1, "0123456789abcdef" * 2, 0.1, 0.05)
PERCENTS = (12.5, 25.0, 50.0, 100.0)


@pytest.fixture(name="dataset")
def _dataset(tmp_path: Path) -> Path:
    """40 groups of one or two rows; each row is its call's name."""
    lines: list[IdLine] = []
    rows: list[str] = []
    for group in range(40):
        for turn in range(1 + group % 2):
            call = f"{group}-{turn}"
            lines.append(IdLine("train.jsonl", len(rows), call, f"group {group}"))
            rows.append(call)
        lines.append(IdLine("test.jsonl", group, f"t{group}", f"test {group}"))
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    (tmp_path / IDS_FILE).write_bytes(data)
    (tmp_path / "train.jsonl").write_text("".join(f"{row}\n" for row in rows))
    return tmp_path


def test_each_subset_is_in_the_next_and_has_its_share_of_the_groups(dataset: Path) -> None:
    entries, files = write_subsets(dataset, PERCENTS, "default", POLICY, "jsonl")
    assert [entry.groups for entry in entries] == [5, 10, 20]
    assert [file.name for file in files] == [
        "train-12.5.jsonl",
        "train-25.jsonl",
        "train-50.jsonl",
    ]
    rows = [(dataset / entry.name).read_text().split() for entry in entries]
    rows.append((dataset / "train.jsonl").read_text().split())
    for smaller, larger in zip(rows, rows[1:], strict=False):
        assert [row for row in larger if row in set(smaller)] == smaller
        assert len(smaller) < len(larger)


def test_groups_are_whole_and_those_with_the_lowest_hash(dataset: Path) -> None:
    (entry, *_), _ = write_subsets(dataset, (25.0,), "default", POLICY, "jsonl")
    rows = (dataset / entry.name).read_text().split()
    lowest = sorted(range(40), key=lambda g: u_of(POLICY.salt, "default", f"group {g}"))[:10]
    assert rows == [f"{g}-{turn}" for g in sorted(lowest) for turn in range(1 + g % 2)]
    assert entry.u_max == u_of(POLICY.salt, "default", f"group {lowest[-1]}")


def test_the_whole_is_no_file_of_its_own(dataset: Path) -> None:
    assert write_subsets(dataset, (100.0,), "default", POLICY, "jsonl") == ((), ())


def test_of_an_empty_train_there_are_empty_subsets(tmp_path: Path) -> None:
    (tmp_path / IDS_FILE).write_bytes(b"")
    (tmp_path / "train.jsonl").write_bytes(b"")
    entries, _ = write_subsets(tmp_path, (50.0,), "default", POLICY, "jsonl")
    assert [(entry.groups, entry.rows) for entry in entries] == [(0, 0)]
