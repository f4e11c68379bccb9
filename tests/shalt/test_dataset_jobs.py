"""Datasets asked for over HTTP: made one at a time by processes, whole or not at all."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shalt import dataset_jobs
from shalt.dataset_jobs import BadName, DatasetJobs, Job, NameTaken, State, TooManyWaiting
from shalt.settings import Settings
from tests.relaying import wait_until


@pytest.fixture(name="jobs")
def _jobs(own_settings: Settings, tmp_path: Path) -> Iterator[DatasetJobs]:
    with closing(DatasetJobs(own_settings, tmp_path / "made")) as jobs:
        yield jobs


def ended(jobs: DatasetJobs, name: str) -> Job:
    """Wait until a dataset is there or failed."""

    def is_over() -> bool:
        found = jobs.find(name)
        return found is not None and found.state not in (State.WAITING, State.RUNNING)

    wait_until(is_over, seconds=60)
    found = jobs.find(name)
    assert found is not None
    return found


def test_a_dataset_is_made_and_is_there_for_who_comes_later(
    jobs: DatasetJobs, tmp_path: Path
) -> None:
    jobs.ask("first", {})
    assert ended(jobs, "first").state is State.DONE
    later = DatasetJobs(Settings(data_dir=tmp_path), tmp_path / "made")
    assert [(job.name, job.state) for job in later.list()] == [("first", State.DONE)]
    assert later.files("first")["train.jsonl"] > 100


def test_what_cannot_be_made_fails_with_its_reason_and_the_next_is_made(jobs: DatasetJobs) -> None:
    jobs.ask("bad", {"where": "no_such_column = 1"})
    jobs.ask("good", {})
    assert "no_such_column" in ended(jobs, "bad").error
    assert ended(jobs, "good").state is State.DONE
    assert [job.name for job in jobs.list()] == ["good", "bad"]


def test_one_that_waits_or_runs_is_cancelled_and_leaves_nothing(
    jobs: DatasetJobs, tmp_path: Path
) -> None:
    jobs.ask("running", {})
    jobs.ask("waiting", {})
    for name in ("waiting", "running"):
        assert jobs.cancel(name) is not None
        found = jobs.find(name)
        assert found is not None
        assert found.state is State.CANCELLED
    assert jobs.cancel("running") is None
    jobs.ask("last", {})
    assert ended(jobs, "last").state is State.DONE
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["last"]


def test_a_name_is_given_once_and_must_be_one(jobs: DatasetJobs) -> None:
    jobs.ask("name", {})
    with pytest.raises(NameTaken):
        jobs.ask("name", {})
    assert ended(jobs, "name").state is State.DONE
    with pytest.raises(NameTaken):
        jobs.ask("name", {})
    for bad in ("", "../up", "Upper", ".hidden", "a" * 65):
        with pytest.raises(BadName):
            jobs.ask(bad, {})
        assert jobs.find(bad) is None


def test_only_so_many_wait(jobs: DatasetJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_jobs, "WAITING_MAX", 0)
    with pytest.raises(TooManyWaiting, match="ask again later"):
        jobs.ask("one-more", {})
