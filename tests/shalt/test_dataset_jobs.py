"""Datasets asked for over HTTP: made one at a time by processes, whole or not at all."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shalt import dataset_jobs
from shalt.dataset_jobs import BadName, DatasetJobs, Job, NameTaken, NotNoted, TooManyWaiting
from shalt.dataset_notes import DatasetNotes, Note, State
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
    wait_until(lambda: (tmp_path / "made" / "first").exists(), seconds=60)
    assert jobs.cancel("first") is None  # it was there before it could be ended
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
    left = {path.name for path in (tmp_path / "made").iterdir()}
    assert left == {"last", ".running.job", ".waiting.job"}


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


def test_what_an_earlier_console_did_not_finish_is_listed_as_interrupted(
    own_settings: Settings, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    for name, state in (("begun", State.RUNNING), ("behind", State.WAITING), ("bad", State.FAILED)):
        DatasetNotes(made).write(
            Note(name, {"turns": "last"}, state, "" if name != "bad" else "no")
        )
    left = made / ".begun.partial"
    (left / "scratch").mkdir(parents=True)
    (left / "train.jsonl").write_bytes(b"{}\n")
    with closing(DatasetJobs(own_settings, made)) as jobs:
        found = {job.name: job for job in jobs.list()}
        assert not left.exists()
        assert {name: job.state for name, job in found.items()} == {
            "begun": State.INTERRUPTED,
            "behind": State.INTERRUPTED,
            "bad": State.FAILED,
        }
        assert "while this was made" in found["begun"].error
        assert "before this was begun" in found["behind"].error
        assert found["begun"].request == {"turns": "last"}
    with closing(DatasetJobs(own_settings, made)) as jobs:
        assert {job.name: job for job in jobs.list()} == found


def test_a_console_that_ends_leaves_nothing_half_made_and_says_so(
    own_settings: Settings, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    with closing(DatasetJobs(own_settings, made)) as jobs:
        jobs.ask("running", {})
        jobs.ask("waiting", {})
        wait_until(lambda: (made / ".running.partial").exists())
    assert not (made / ".running.partial").exists()
    with closing(DatasetJobs(own_settings, made)) as later:
        assert [job.state for job in later.list()] == [State.INTERRUPTED] * 2


def test_a_note_that_is_none_is_left_alone(own_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".x.job").write_bytes(b"{")
    (tmp_path / ".y.job").write_bytes(b'{"name":"../y","request":{},"state":"waiting"}')
    with closing(DatasetJobs(own_settings, tmp_path)) as jobs:
        assert jobs.list() == []
    assert (tmp_path / ".x.job").exists()


def test_what_cannot_be_noted_is_not_taken(own_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(b"in the way")
    with closing(DatasetJobs(own_settings, tmp_path / "made")) as jobs, pytest.raises(NotNoted):
        jobs.ask("first", {})
    assert jobs.find("first") is None


def test_one_that_is_being_written_is_not_listed_as_there(
    jobs: DatasetJobs, tmp_path: Path
) -> None:
    partial = tmp_path / "made" / ".next.partial"
    partial.mkdir(parents=True)
    (partial / "manifest.json").write_bytes(b"{}")
    assert jobs.list() == []
