"""Rows are fingerprinted, measured and counted while they are read once."""

from pathlib import Path

import numpy as np
import pytest

from exporters import verifying_rows
from exporters.checks import State
from exporters.fingerprints import FINGERPRINT
from exporters.tokens import find_tokenizer
from exporters.verifying_files import read_manifest
from exporters.verifying_ids import Ids
from exporters.verifying_rows import RowPass
from tests.exporters.forged import copied, honest_export


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return honest_export(tmp_path_factory.mktemp("honest"), 120)


def passed(directory: Path, scratch: Path) -> RowPass:
    manifest = read_manifest(directory)
    ids = Ids(directory, manifest)
    return RowPass(directory, manifest, ids, scratch, find_tokenizer("no_such_package"))


def test_every_row_has_its_fingerprint(honest: Path, tmp_path: Path) -> None:
    rows = passed(honest, tmp_path)
    assert sorted(rows.fingerprints) == ["test.jsonl", "train.jsonl", "val.jsonl"]
    count = sum(len(np.fromfile(path, FINGERPRINT)) for path in rows.fingerprints.values())
    assert count == 120
    assert rows.fingerprints["test.jsonl"].stat().st_size % FINGERPRINT.itemsize == 0
    assert rows.check_rows().state is State.OK


def test_every_group_is_known_by_its_side(honest: Path, tmp_path: Path) -> None:
    groups = passed(honest, tmp_path).facts.groups()
    test = read_manifest(honest).sides
    assert len(groups.test) == 120
    assert groups.test.sum() == next(e.groups for side, e in test.items() if side == "test")
    assert set(groups.categories["model"]) == {"tiny", "large"}
    assert len(set(groups.categories["weekday"])) == 7


def test_of_many_groups_those_that_hash_lowest_are_kept(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying_rows, "GROUPS_MAX", 30)
    assert len(passed(honest, tmp_path).facts.groups().test) == 30


def test_of_many_rows_the_tokens_are_estimated_and_the_longest_counted(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (every,) = [each for each in passed(honest, tmp_path).tokens if each.file == "train.jsonl"]
    monkeypatch.setattr(verifying_rows, "ROWS_COUNTED_MAX", 20)
    (some,) = [each for each in passed(honest, tmp_path).tokens if each.file == "train.jsonl"]
    assert not some.exact
    assert (some.rows, some.longest, some.longest_row) == (
        every.rows,
        every.longest,
        every.longest_row,
    )
    assert some.total == pytest.approx(every.total, rel=0.05)


def test_a_broken_line_leaves_the_others_in_their_places(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "export")
    path = directory / "train.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([b"{\n", *lines[1:]]))
    rows, whole = passed(directory, tmp_path), passed(honest, directory)
    assert rows.check_rows().problems[0].startswith("train.jsonl row 0: ")
    broken, sound = (
        np.fromfile(each.fingerprints["train.jsonl"], FINGERPRINT) for each in (rows, whole)
    )
    assert broken[0]["row"] != sound[0]["row"]
    assert (broken[1:]["row"] == sound[1:]["row"]).all()


def test_rows_that_nobody_listed_are_no_part_of_what_is_valid(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "export")
    path = directory / "train.jsonl"
    path.write_bytes(path.read_bytes() + 2 * path.read_bytes().splitlines(keepends=True)[0])
    said = passed(directory, tmp_path).check_rows()
    assert said.state is State.FAILED
    assert said.problems[0].startswith("train.jsonl has 2 rows beyond those of ids.jsonl")
