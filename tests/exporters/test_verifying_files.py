"""Files are what the manifest says they are, or it is said how they differ."""

import os
from pathlib import Path

import msgspec
import pytest

from exporters.checks import State
from exporters.manifest import FileEntry, Manifest
from exporters.request import ExportRequest
from exporters.verifying_files import NotAnExport, check_files, read_manifest, read_rows
from tests.exporters.conftest import make_store
from tests.exporters.forged import copied, exported


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("honest")
    store = make_store(f"sqlite:///{directory / 'store.sqlite'}")
    exported(store, directory / "export", 40, ExportRequest(format="parquet"))
    store.close()
    return directory / "export"


def changed_entry(manifest: Manifest, name: str, **change: object) -> Manifest:
    def entry(each: FileEntry) -> FileEntry:
        return msgspec.structs.replace(each, **change) if each.name == name else each

    return msgspec.structs.replace(manifest, files=tuple(map(entry, manifest.files)))


def test_every_byte_is_read_once(honest: Path) -> None:
    read: list[int] = []
    manifest = read_manifest(honest)
    assert check_files(honest, manifest, read.append).state is State.OK
    assert sum(read) == sum(entry.bytes for entry in manifest.files)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bytes": 3}, "bytes, not 3"),
        ({"sha256": "0" * 64}, "has another SHA-256"),
        ({"rows": 999}, "has not 999 rows"),
    ],
)
def test_it_is_said_how_a_file_differs(honest: Path, change: dict[str, object], says: str) -> None:
    manifest = changed_entry(read_manifest(honest), "train.parquet", **change)
    check = check_files(honest, manifest)
    assert check.problem_count == 1
    assert check.problems[0].startswith("train.parquet")
    assert says in check.problems[0]


def test_lines_are_counted(honest: Path) -> None:
    manifest = changed_entry(read_manifest(honest), "ids.jsonl", rows=1)
    (problem,) = check_files(honest, manifest).problems
    assert problem.startswith("ids.jsonl has 40 rows, not 1")


def test_a_file_in_a_folder_is_a_file_more(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "export")
    (directory / "images").mkdir()
    (directory / "images" / "a.png").write_bytes(b"x")
    (problem,) = check_files(directory, read_manifest(directory)).problems
    assert problem.startswith("images/a.png is not in the manifest")


def test_a_file_that_no_export_has_is_no_part_of_it_by_being_listed(honest: Path) -> None:
    manifest = read_manifest(honest)
    (train,) = [entry for entry in manifest.files if entry.name == "train.parquet"]
    more = msgspec.structs.replace(train, name="train-more.parquet")
    more_listed = msgspec.structs.replace(manifest, files=(*manifest.files, more))
    problems = check_files(honest, more_listed).problems
    assert any("train-more.parquet is in the manifest, and no part" in each for each in problems)


def test_a_file_that_every_export_has_must_be_listed(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "export")
    (directory / "README.md").unlink()
    manifest = read_manifest(directory)
    listed = tuple(entry for entry in manifest.files if entry.name != "README.md")
    (problem,) = check_files(directory, msgspec.structs.replace(manifest, files=listed)).problems
    assert problem.startswith("README.md is not in the manifest")


@pytest.mark.parametrize("name", ["manifest.json", "ids.jsonl", "more"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    honest: Path, tmp_path: Path, name: str
) -> None:
    directory = copied(honest, tmp_path / "export")
    (directory / name).unlink(missing_ok=True)
    os.mkfifo(directory / name)
    with pytest.raises(NotAnExport, match="is no file"):
        read_manifest(directory)


def test_links_to_files_are_files(honest: Path, tmp_path: Path) -> None:
    for path in honest.iterdir():
        (tmp_path / path.name).symlink_to(path)
    assert check_files(tmp_path, read_manifest(tmp_path)).state is State.OK


def test_rows_are_read_as_lines_from_either_kind_of_file(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"a":1}\n{"a":2}\n')
    assert list(read_rows(tmp_path / "x.jsonl")) == [b'{"a":1}', b'{"a":2}']
    rows = list(read_rows(honest / "train.parquet"))
    assert all(row.startswith(b'{"call_id":') for row in rows)


def test_what_is_no_export_is_said_so_whatever_lies_in_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAnExport, match=r"there is no \S+/manifest\.json"):
        read_manifest(tmp_path)
