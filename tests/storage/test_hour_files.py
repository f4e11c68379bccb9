"""Files of hours go with the calls of their hour, and by their age."""

from pathlib import Path

import pytest

from storage.hour_files import HourFile, HourFiles, list_hour_files, path_of

HOUR_US = 3_600_000_000


def made(directory: Path, key: str, hour: int, *, has_terms: bool = False) -> Path:
    (directory / key).mkdir(exist_ok=True)
    path = path_of(directory / key, hour, 7, has_terms=has_terms)
    path.write_bytes(b"")
    return path


def call_at(hour: float) -> str:
    return f"{int(hour * HOUR_US) // 1000:012x}{1:020x}"


def test_a_name_says_what_a_file_is(tmp_path: Path) -> None:
    for has_terms in (False, True):
        path = made(tmp_path, "key", 500_000, has_terms=has_terms)
        assert HourFile(path, 500_000, 7, has_terms) in list_hour_files(tmp_path / "key")
    (tmp_path / "key" / "0123.partial").write_bytes(b"")
    assert len(list(list_hour_files(tmp_path / "key"))) == 2
    assert list(list_hour_files(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("hour", "gone"), [(10.5, {10}), (10.001, {9, 10}), (10.999, {10, 11}), (99, set())]
)
def test_the_files_of_a_calls_hour_go_under_every_key(
    tmp_path: Path, hour: float, gone: set[int]
) -> None:
    hours = {9, 10, 11}
    for key in ("one", "two"):
        for each in hours:
            made(tmp_path, key, each)
    HourFiles(tmp_path).forget_calls([call_at(hour)])
    for key in ("one", "two"):
        left = {each.hour for each in list_hour_files(tmp_path / key)}
        assert left == hours - gone


def test_an_id_that_tells_no_time_costs_every_file(tmp_path: Path) -> None:
    made(tmp_path, "key", 10)
    HourFiles(tmp_path / "none").forget_calls([call_at(10)])
    HourFiles(tmp_path).forget_calls(["not-an-id"])
    assert list(list_hour_files(tmp_path / "key")) == []


def test_files_go_by_the_age_of_calls_and_of_terms(tmp_path: Path) -> None:
    young, old = made(tmp_path, "key", 20), made(tmp_path, "key", 10)
    young_terms = made(tmp_path, "key", 21, has_terms=True)
    old_terms = made(tmp_path, "key", 11, has_terms=True)
    HourFiles(tmp_path).forget_terms(20 * HOUR_US)
    assert old.exists()
    assert young_terms.exists()
    assert not old_terms.exists()
    HourFiles(tmp_path).forget_older(20 * HOUR_US)
    assert young.exists()
    assert not old.exists()
