"""A directory appears whole or not at all."""

import hashlib
from pathlib import Path

import pytest

from exporters.staging import Lines, StagingError, partial_of, staging, sweep


def test_the_directory_appears_when_the_block_ends(tmp_path: Path) -> None:
    with staging(tmp_path / "deep" / "out") as partial:
        (partial / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "1"


def write_and_raise(target: Path, error: type[BaseException]) -> None:
    with staging(target) as partial:
        (partial / "a").write_text("1")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_fails(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error):
        write_and_raise(tmp_path / "out", error)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with staging(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_what_is_in_the_way_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("full", "file", "link"):
        with pytest.raises(StagingError, match="not an empty directory"), staging(tmp_path / name):
            pass
    assert (tmp_path / "full" / "mine").read_text() == "mine"


def stage_while_another_fills(target: Path) -> None:
    with staging(target):
        target.mkdir()
        (target / "theirs").write_text("theirs")


def test_a_target_that_is_filled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="not an empty"):
        stage_while_another_fills(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "theirs").read_text() == "theirs"


def test_two_do_not_write_the_same_target_at_once(tmp_path: Path) -> None:
    with staging(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
        with pytest.raises(StagingError, match="another process"), staging(tmp_path / "out"):
            pass
    assert (tmp_path / "out" / "a").read_text() == "1"


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half").write_text("hal")
    with staging(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_what_a_killed_process_left_is_swept_without_writing_anew(tmp_path: Path) -> None:
    assert sweep(tmp_path / "out")
    left = partial_of(tmp_path / "out")
    (left / "scratch").mkdir(parents=True)
    assert sweep(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    with staging(tmp_path / "out") as partial:
        assert not sweep(tmp_path / "out")
        (partial / "a").touch()
    assert (tmp_path / "out" / "a").exists()


def test_a_link_in_the_place_of_what_is_swept_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    (tmp_path / ".out.partial").symlink_to(mine)
    with pytest.raises(StagingError, match="is a link"), staging(tmp_path / "out"):
        pass
    assert (mine / "letter").read_text() == "dear"


def test_lines_know_their_number_length_and_hash(tmp_path: Path) -> None:
    with Lines(tmp_path / "x") as lines:
        lines.write(b"one")
        lines.write("zwölf".encode())
    data = (tmp_path / "x").read_bytes()
    assert data == "one\nzwölf\n".encode()
    assert (lines.rows, lines.bytes) == (2, len(data))
    assert lines.sha256 == hashlib.sha256(data).hexdigest()


def test_lines_never_overwrite_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError):
        Lines(tmp_path / "x")
