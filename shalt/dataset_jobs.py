"""Datasets that are asked for over HTTP: one is made at a time, others wait.

Each is made by a process of its own (shalt.dataset_job), so the console answers meanwhile, and
appears whole or not at all as a directory of the data directory, `datasets/NAME`. An export that is
being made ends with the console, and those that wait are not made; the next console lists them as
interrupted (shalt.dataset_notes), and sweeps away what a killed one left.

The code that exports is not loaded here, but in that process: the console stays as small as it is.

Limits: WAITING_MAX wait, ENDED_MAX that ended without a dataset are remembered. One that does not
end within END_SECONDS_MAX of being told to is killed.
"""

import logging
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from exporters.manifest_reading import MANIFEST_FILE
from exporters.staging import sweep
from shalt.dataset_notes import DatasetNotes, Note, State
from shalt.settings import Settings

WAITING_MAX: Final = 16
ENDED_MAX: Final = 100
END_SECONDS_MAX: Final = 10.0
Request = dict[str, object]  # the fields of an exporters.request.ExportRequest
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

log = logging.getLogger(__name__)


_PENDING: Final = (State.WAITING, State.RUNNING)


class JobOrders(msgspec.Struct, frozen=True):
    """What to export and where to: settings as JSON, the fields of an ExportRequest."""

    settings: str
    request: dict[str, object]
    directory: str


class JobReport(msgspec.Struct, frozen=True):
    """How far an export is. `ended`: it is over, and well unless `error` says why it is not."""

    stage: str = ""
    done: int = 0
    total: int = 0
    ended: bool = False
    error: str = ""


class NameTaken(Exception):
    """There is a dataset of this name, or one is being made."""


class BadName(Exception):
    """A dataset cannot be called so."""


class TooManyWaiting(Exception):
    """So many datasets wait that this one must be asked for again later."""


class NotNoted(Exception):
    """The disk refuses to take down what is asked for."""


class Job(msgspec.Struct):
    """A dataset that was asked for. `error` says why it failed, `report` how far it is."""

    name: str
    request: Request | None
    state: State
    report: JobReport = JobReport()
    error: str = ""


class DatasetJobs:
    """Makes datasets in the directory of all of them. Threads may share it; `close` at the end."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._notes = DatasetNotes(directory)
        self._jobs: OrderedDict[str, Job] = OrderedDict()  # by name, the oldest first
        self._changed = threading.Condition()
        self._running: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._take_over()

    def ask(self, name: str, request: Request) -> Job:
        """Ask for a dataset. Raise BadName, NameTaken, TooManyWaiting, NotNoted."""
        if not _NAME.fullmatch(name):
            raise BadName(
                f"{name!r} is no name for a dataset: write lower-case letters, digits, - _ and ., "
                "at most 64 of them"
            )
        with self._changed:
            known = self._jobs.get(name)
            if self.path(name).exists() or known and known.state in _PENDING:
                raise NameTaken(f"there is a dataset {name!r}: a dataset is never changed")
            if sum(job.state is State.WAITING for job in self._jobs.values()) >= WAITING_MAX:
                raise TooManyWaiting(f"{WAITING_MAX} datasets wait to be made: ask again later")
            job = Job(name, request, State.WAITING)
            try:
                self._notes.write(_note_of(job))
            except OSError as error:
                raise NotNoted(f"what is asked for cannot be kept: {error.strerror}") from None
            self._jobs.pop(name, None)
            self._jobs[name] = job
            self._forget()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="datasets", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def cancel(self, name: str) -> Job | None:
        """End a dataset that waits or is being made; None where there is none such, or it is there
        before it could be ended."""
        with self._changed:
            job = self._jobs.get(name)
            if job is None or job.state not in _PENDING:
                return None
            process = self._running if job.state is State.RUNNING else None
            self._become(job, State.CANCELLED)
        if process is not None:
            _end(process)
            if self._is_there(name):
                with self._changed:
                    self._become(job, State.DONE)
                return None
        return job

    def find(self, name: str) -> Job | None:
        """Say what has become of a dataset; None where nobody has heard of it."""
        if not _NAME.fullmatch(name):
            return None
        with self._changed:
            job = self._jobs.get(name)
        if job is not None and job.state in _PENDING:
            return job
        if self._is_there(name):
            return job if job is not None and job.state is State.DONE else _there(name)
        return job if job is None or job.state is not State.DONE else None

    def list(self) -> list[Job]:
        """List the datasets that are there, by name, and then those that are not."""
        names = (path.parent.name for path in self._directory.glob(f"*/{MANIFEST_FILE}"))
        there = sorted(name for name in names if _NAME.fullmatch(name))  # none that is being made
        with self._changed:
            asked = list(self._jobs)
        found = [self.find(name) for name in (*there, *(n for n in asked if n not in there))]
        return [job for job in found if job is not None]

    def files(self, name: str) -> dict[str, int]:
        """Name the files of a dataset, and say how many lines they have, as its manifest does.

        Empty where there is none, or none that this version can read.
        """
        return {file.name: file.rows for file in self._listed(name)}

    def digests(self, name: str) -> dict[str, str]:
        """Give the SHA-256 in hex that the manifest of a dataset has of each file. As `files`."""
        return {file.name: file.sha256 for file in self._listed(name)}

    def path(self, name: str) -> Path:
        """Say where a dataset of a name lies, or would."""
        return self._directory / name

    def close(self) -> None:
        """End what is being made, and make nothing more."""
        with self._changed:
            self._is_closed = True
            process = self._running
            self._changed.notify_all()
        if process is not None:
            _end(process)
        if self._thread is not None:
            self._thread.join(END_SECONDS_MAX)

    def _listed(self, name: str) -> "tuple[_File, ...]":
        try:
            data = (self.path(name) / MANIFEST_FILE).read_bytes()
            return msgspec.json.decode(data, type=_Manifest).files
        except (OSError, msgspec.MsgspecError):
            return ()

    def _is_there(self, name: str) -> bool:
        return (self.path(name) / MANIFEST_FILE).is_file()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and (job := self._next()) is None:
                    self._changed.wait()
                if self._is_closed:
                    return
                assert job is not None
                self._become(job, State.RUNNING)
            try:
                process = self._start(job)
            except OSError as error:
                with self._changed:
                    self._become(job, State.FAILED, f"no process can be started: {error.strerror}")
                continue
            with self._changed:
                self._running = process
                unwanted = self._is_closed or job.state is not State.RUNNING
            if unwanted:
                _end(process)
            self._follow(job, process)

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state is State.WAITING), None)

    def _start(self, job: Job) -> subprocess.Popen[bytes]:
        assert job.request is not None
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "shalt.dataset_job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # it is told by its pipe when to end, and by nothing else
        )
        orders = JobOrders(
            self._settings.model_dump_json(round_trip=True), job.request, str(self.path(job.name))
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        process.stdin.flush()
        return process

    def _follow(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        """Read what a process says until it ends."""
        assert process.stdout is not None
        assert process.stdin is not None
        with process.stdout as said:
            for line in said:
                with suppress(msgspec.MsgspecError):  # what else a library prints
                    job.report = msgspec.json.decode(line, type=JobReport)
        process.wait()
        process.stdin.close()
        with self._changed:
            self._running = None
            if job.state is not State.RUNNING:
                return
            error = job.report.error
            if self._is_closed and not self._is_there(job.name):
                self._become(job, State.INTERRUPTED, _WHILE_MADE)
            elif error or not job.report.ended:
                gone = f"the export ended with exit code {process.returncode}: see the log"
                self._become(job, State.FAILED, error or gone)
            else:
                self._become(job, State.DONE)

    def _take_over(self) -> None:
        """Learn from an earlier console what was asked of it, and what became of that."""
        for note in self._notes.read():
            if not _NAME.fullmatch(note.name):
                continue
            job = Job(note.name, note.request, note.state, error=note.error)
            self._jobs[note.name] = job
            if job.state in _PENDING:
                sweep(self.path(job.name))
                was_made = job.state is State.RUNNING
                self._become(job, State.INTERRUPTED, _WHILE_MADE if was_made else _BEFORE_BEGUN)
        self._forget()

    def _become(self, job: Job, state: State, error: str = "") -> None:
        """Put a job into a state, and note it; a disk that refuses changes nothing else."""
        job.state, job.error = state, error
        try:
            if state is State.DONE:
                self._notes.forget(job.name)
            else:
                self._notes.write(_note_of(job))
        except OSError as refused:
            log.warning("dataset not noted name=%s state=%s error=%s", job.name, state, refused)

    def _forget(self) -> None:
        """Forget the oldest of those that ended, beyond ENDED_MAX."""
        ended = [name for name, job in self._jobs.items() if job.state not in _PENDING]
        for name in ended[: max(0, len(ended) - ENDED_MAX)]:
            del self._jobs[name]
            with suppress(OSError):
                self._notes.forget(name)


_BEFORE_BEGUN: Final = "the console ended before this was begun: ask for it again"
_WHILE_MADE: Final = (
    "the console ended while this was made, and nothing of it is left: ask for it again"
)


def _note_of(job: Job) -> Note:
    return Note(job.name, job.request or {}, job.state, job.error)


def _there(name: str) -> Job:
    """Speak of a dataset that is there, whoever asked for it."""
    return Job(name, None, State.DONE)


class _File(msgspec.Struct, frozen=True):
    name: str
    rows: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True):
    """The part of a manifest that is needed here: exporters.manifest has the whole."""

    files: tuple[_File, ...]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell a process to end, as by Ctrl-C; kill it if it does not."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    try:
        process.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
