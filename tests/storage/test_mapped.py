"""Tests of storage.mapped."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.mapped import MappedFile


def test_bytes_go_along_to_the_file_and_to_the_next(tmp_path: Path) -> None:
    mapped = MappedFile(8)
    mapped.view[:5] = b"early"
    mapped.move_to(tmp_path / "first")
    mapped.view[5:8] = b"mid"
    assert (tmp_path / "first").read_bytes() == b"earlymid"
    mapped.move_to(tmp_path / "second")
    mapped.view[:5] = b"later"
    assert (tmp_path / "second").read_bytes() == b"latermid"
    assert (tmp_path / "first").read_bytes() == b"earlymid"
    mapped.close()


def test_a_move_that_fails_changes_nothing(tmp_path: Path) -> None:
    mapped = MappedFile(8)
    mapped.move_to(tmp_path / "there")
    (tmp_path / "taken").write_bytes(b"by another")
    with pytest.raises(FileExistsError):
        mapped.move_to(tmp_path / "taken")
    mapped.view[:2] = b"on"
    assert (tmp_path / "there").read_bytes().startswith(b"on")
    mapped.close()


def test_it_is_noticed_when_the_file_was_replaced_or_removed(tmp_path: Path) -> None:
    mapped = MappedFile(8)
    assert not mapped.is_at(tmp_path / "file")
    mapped.move_to(tmp_path / "file")
    assert mapped.is_at(tmp_path / "file")
    (tmp_path / "file").unlink()
    assert not mapped.is_at(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"another")
    assert not mapped.is_at(tmp_path / "file")
    mapped.close()


def test_what_was_written_outlives_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from storage.mapped import MappedFile;"
        "mapped = MappedFile(4); mapped.move_to(pathlib.Path(sys.argv[1]));"
        "mapped.view[:] = b'here'; os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    subprocess.run(command, cwd=root, check=False)
    assert (tmp_path / "file").read_bytes() == b"here"
