"""The samples for drift are of the groups that the export divided, or it is said that not."""

from pathlib import Path

import msgspec
import pytest

from exporters.checks import State
from exporters.request import ExportRequest
from exporters.verifying_files import read_manifest
from exporters.verifying_ids import Ids
from exporters.verifying_reference import check_reference
from storage.store import TraceStore
from tests.exporters.forged import exported

changed = msgspec.structs.replace


@pytest.fixture
def directory(sqlite_store: TraceStore, tmp_path: Path) -> Path:
    exported(sqlite_store, tmp_path / "export", 60, ExportRequest())
    return tmp_path / "export"


def test_the_samples_of_an_export_are_its_own(directory: Path) -> None:
    manifest = read_manifest(directory)
    check = check_reference(directory, manifest, Ids(directory, manifest))
    assert check.state is State.OK
    train, test = manifest.reference.groups, manifest.reference_test.groups
    assert check.says == f"samples of {train} groups of train and {test} of test"


def test_a_sample_that_was_changed_is_none(directory: Path) -> None:
    manifest = read_manifest(directory)
    path = directory / "reference_test.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    (problem,) = check_reference(directory, manifest, Ids(directory, manifest)).problems
    assert "was changed since the export" in problem


def test_what_the_manifest_says_of_the_sample_must_be_so(directory: Path) -> None:
    manifest = read_manifest(directory)
    facts = dict(list(manifest.features.items())[1:])
    path = directory / "manifest.json"
    path.write_bytes(msgspec.json.encode(changed(manifest, features=facts)))
    (problem,) = check_reference(directory, manifest, Ids(directory, manifest)).problems
    assert problem.startswith("the manifest says other things of reference.parquet")


def test_samples_of_other_names_are_not_read(directory: Path) -> None:
    manifest = read_manifest(directory)
    endless = changed(manifest, reference=changed(manifest.reference, name="/dev/zero"))
    (problem,) = check_reference(directory, endless, Ids(directory, manifest)).problems
    assert "no other files are read" in problem


def test_other_numbers_of_groups_are_noticed(directory: Path) -> None:
    manifest = read_manifest(directory)
    wrong = changed(manifest, reference=changed(manifest.reference, groups=3))
    (problem,) = check_reference(directory, wrong, Ids(directory, manifest)).problems
    assert "groups, not 3" in problem
