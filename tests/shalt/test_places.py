"""Tests of shalt.places."""

import stat
from pathlib import Path

import pytest

from shalt.places import DataDirError, Places


def test_a_new_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    places = Places(tmp_path / "a" / "data")
    places.prepare()
    assert stat.S_IMODE(places.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((places.data_dir / "fingerprint.key").stat().st_mode) == 0o600


def test_the_fingerprint_key_stays_the_same(tmp_path: Path) -> None:
    places = Places(tmp_path / "data")
    places.prepare()
    key = places.read_fingerprint_key()
    places.prepare()
    assert places.read_fingerprint_key() == key
    assert len(key) == 32


def test_a_second_shalt_is_told_of_the_first(tmp_path: Path) -> None:
    places = Places(tmp_path / "data")
    places.prepare()
    with places.lock(), pytest.raises(DataDirError, match="another shalt is running"):
        places.lock()
    places.lock().close()


def test_a_path_that_is_no_directory_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="choose another with --data-dir"):
        Places(tmp_path / "file" / "data").prepare()


@pytest.mark.parametrize("name", ["lock", "metrics"])
def test_what_cannot_be_written_is_said_so(tmp_path: Path, name: str) -> None:
    # Root may write anywhere: a name of the wrong kind stands for the missing permission.
    places = Places(tmp_path / "data")
    places.prepare()
    if name == "lock":
        (places.data_dir / name).mkdir()
    else:
        (places.data_dir / name).write_text("")
    take = {"lock": places.lock, "metrics": places.clear_metrics}[name]
    with pytest.raises(DataDirError, match="cannot use the data directory"):
        take()
