"""A manifest that counts otherwise than its rows is told so, in a sentence each."""

from pathlib import Path

import msgspec
import pytest

from exporters.checks import State
from exporters.dataset import export
from exporters.manifest import Manifest
from exporters.request import ExportRequest
from exporters.verifying_counts import check_counts
from exporters.verifying_files import read_manifest
from exporters.verifying_ids import Ids
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import chat, record, said
from tests.exporters.forged import exported, traffic

changed = msgspec.structs.replace


@pytest.fixture
def directory(sqlite_store: TraceStore, tmp_path: Path) -> Path:
    exported(sqlite_store, tmp_path / "export", 60, ExportRequest())
    return tmp_path / "export"


def problems(directory: Path, manifest: Manifest) -> tuple[str, ...]:
    return check_counts(manifest, Ids(directory, manifest)).problems


def with_train(manifest: Manifest, **changes: object) -> Manifest:
    sides = {**manifest.sides, Side.TRAIN: changed(manifest.sides[Side.TRAIN], **changes)}
    return changed(manifest, sides=sides)


def test_an_honest_manifest_counts_what_there_is(directory: Path) -> None:
    assert problems(directory, read_manifest(directory)) == ()


def test_equal_rows_that_did_not_leave_are_accounted_for(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    asked = [said("user", "what is the capital of France?")]
    answer = said("assistant", "Paris")
    same = [chat(2**20 + number, asked, answer, session=f"s{number}") for number in range(40)]
    record(sqlite_store, [*traffic(40), *same])
    request = ExportRequest(max_duplicates=1, drop_contaminated=True)
    export(sqlite_store, request, tmp_path / "export", processes=1)
    manifest = read_manifest(tmp_path / "export")
    assert manifest.sides[Side.TRAIN].reasons
    assert problems(tmp_path / "export", manifest) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"groups": 1}, "train: the manifest counts 1 groups, there are"),
        ({"calls": 1}, "train: 1 calls are not the rows and all reasons"),
        ({"random": True}, "train: random is true: test alone is drawn at random"),
        ({"synthetic": 1}, "train: the manifest counts 1 made-up rows, there are 0"),
        ({"labels": {"human": 2}}, "train: the manifest counts 2 labels, there are 0"),
    ],
)
def test_what_is_counted_wrong_is_named(
    directory: Path, changes: dict[str, object], says: str
) -> None:
    manifest = with_train(read_manifest(directory), **changes)
    assert problems(directory, manifest)[0].startswith(says)


def test_a_part_that_the_manifest_does_not_count_is_named(directory: Path) -> None:
    manifest = read_manifest(directory)
    sides = {side: entry for side, entry in manifest.sides.items() if side is not Side.TRAIN}
    found = check_counts(changed(manifest, sides=sides), Ids(directory, manifest))
    assert found.state is State.FAILED
    assert "train has rows, and the manifest counts none" in found.problems
