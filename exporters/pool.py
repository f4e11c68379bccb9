"""What is read of a store by several processes, all of which see one state of it.

Each process is told the store, joins the state that the first one has pinned (storage.shared_state)
and then takes one look after the other: a part of the plan (exporters.planning), a range of groups
(exporters.segment); at last it puts a file of the dataset together (exporters.merging). Messages go
through a pipe each. A process that dies ends the run; when the run ends, well or not, the processes
are ended. When this one is killed, the others end with their segment or file: their pipe is closed.

Limits: starting a process takes up to START_SECONDS_MAX, a second as a rule; joining must be done
within JOIN_SECONDS_MAX, because the recorder may be waiting, and takes milliseconds.
"""

import gc
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

from exporters.group_rows import RowPlan
from exporters.request import ExportError
from exporters.segment import Segment, write_segment
from storage import shared_state
from storage.database import open_engine
from storage.grouped import GroupRange
from storage.reader import StoreReader
from storage.sqlite import BUSY_SECONDS

START_SECONDS_MAX = 60.0
JOIN_SECONDS_MAX = 5.0
assert JOIN_SECONDS_MAX < BUSY_SECONDS, "a recorder that waits for the lock must not give up"
END_SECONDS_MAX = 5.0
PROCESSES_MAX = 64
# A call makes some hundred objects that go with it: to look for rings among them each 700 objects,
# as Python does, took a tenth of a segment's time.
COLLECT_OBJECTS = 200_000


class ProcessDied(ExportError):
    """A process of an export is gone, or does not answer. Nothing was published."""


@dataclass(frozen=True)
class _Given:
    """What all segments of a run have in common, told once: it is 8 MB."""

    plan: RowPlan
    directory: Path


@dataclass(frozen=True)
class _Task:
    number: int
    among: GroupRange


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection


Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)
Look = Callable[[StoreReader], Found]  # at the state that all see; goes through a pipe


class Pending(Protocol[Found_co]):
    """What a look will find."""

    def result(self) -> Found_co:
        """Wait for it. Raises what the look raised, ProcessDied where its process is gone."""
        ...


class Looker(Protocol):
    """Who looks at the state: processes, or nobody but who asks."""

    def begin(self, look: Look[Found]) -> Pending[Found]:
        """Have a look taken, after those that were begun before."""
        ...


@dataclass(frozen=True)
class Here:
    """Looks are taken in this process, each when its result is asked for."""

    reader: StoreReader

    def begin(self, look: Look[Found]) -> Pending[Found]:
        """Keep a look for when its result is asked for."""
        return _Kept(look, self.reader)


@dataclass(frozen=True)
class _Kept(Generic[Found]):
    look: Look[Found]
    reader: StoreReader

    def result(self) -> Found:
        return self.look(self.reader)


def default_processes() -> int:
    """Say how many processes an export uses: the cores it may run on."""
    return min(len(os.sched_getaffinity(0)), PROCESSES_MAX)


class Pool:
    """Processes that look at the store. Open it, `join` a state, then begin to look."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._workers = workers
        self._idle = list(workers)
        self._waiting: deque[_Begun] = deque()
        self._busy: dict[Connection, tuple[_Worker, _Begun]] = {}

    def join(self, name: str) -> None:
        """Let all see the state of that name (storage.shared_state). Bounded."""
        for worker in self._workers:
            _send(worker, name)
        _expect_all(self._workers, JOIN_SECONDS_MAX, "join the state of the store")

    def begin(self, look: Look[Found]) -> Pending[Found]:
        """Have a look taken by the next process that has nothing else to do."""
        return _Expected(self, self._begin(look))

    def segments(
        self,
        plan: RowPlan,
        ranges: Sequence[GroupRange],
        directory: Path,
    ) -> Iterator[Segment]:
        """Yield the segments of the ranges as they are done, in any order.

        All looks must be done. Raises what a process raised, ProcessDied where one is gone.
        """
        assert not self._busy, "a process that is not listening cannot be told the plan"
        for worker in self._workers:
            _send(worker, _Given(plan, directory))
        for task in enumerate(ranges):
            self._begin(_Task(*task))
        while self._busy:
            for begun in self.advance():
                assert isinstance(begun.found, Segment)
                yield begun.found

    def advance(self) -> "Sequence[_Begun]":
        """Wait until something is done, and have the next begun; return what is done."""
        done: list[_Begun] = []
        for pipe in wait(list(self._busy)):
            assert isinstance(pipe, Connection)
            worker, begun = self._busy.pop(pipe)
            begun.found, begun.done = _receive(worker), True
            self._idle.append(worker)
            done.append(begun)
            self._dispatch()
        return done

    def _begin(self, asked: object) -> "_Begun":
        begun = _Begun(asked)
        self._waiting.append(begun)
        self._dispatch()
        return begun

    def _dispatch(self) -> None:
        while self._idle and self._waiting:
            worker, begun = self._idle.pop(0), self._waiting.popleft()
            _send(worker, begun.asked)
            self._busy[worker.pipe] = worker, begun


@dataclass
class _Begun:
    """What a process was asked, and what it has found."""

    asked: object
    done: bool = False
    found: object = None


@dataclass(frozen=True)
class _Expected(Generic[Found]):
    pool: Pool
    begun: _Begun

    def result(self) -> Found:
        while not self.begun.done:
            self.pool.advance()
        return cast(Found, self.begun.found)


@contextmanager
def open_pool(store: StoreReader, count: int) -> Iterator[Pool]:
    """Start so many processes on a store, and end them with the block."""
    url = store.engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    try:
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs,), name=f"export-{number}", daemon=True
            )
            workers.append(_Worker(process, ours))
            process.start()
            theirs.close()
            ours.send(url)  # not an argument: those can be read by who looks at processes
        _expect_all(workers, START_SECONDS_MAX, "start")
        yield Pool(workers)
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in workers:
            worker.process.join(END_SECONDS_MAX)


def _send(worker: _Worker, message: object) -> None:
    try:
        worker.pipe.send(message)
    except OSError:
        raise _died(worker) from None


def _receive(worker: _Worker) -> object:
    try:
        received: object = worker.pipe.recv()
    except (EOFError, OSError):
        raise _died(worker) from None
    if isinstance(received, Exception):
        raise received
    return received


def _expect_all(workers: Sequence[_Worker], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    for worker in workers:
        if not worker.pipe.poll(max(0.0, deadline - time.monotonic())):
            raise ProcessDied(
                f"process {worker.process.name} did not {what} within {seconds:g} s: the machine "
                "is too busy; try again, or with fewer --processes. Nothing was published"
            )
        _receive(worker)


def _died(worker: _Worker) -> ProcessDied:
    worker.process.join(END_SECONDS_MAX)
    return ProcessDied(
        f"process {worker.process.name} of the export has died (exit code "
        f"{worker.process.exitcode}): was it killed, or is there too little memory? Nothing was "
        "published"
    )


def _work(pipe: Connection) -> None:
    """Be one of the processes: write segments until the pipe ends."""
    # Ctrl-C goes to all; the first process ends the others when it has heard it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(COLLECT_OBJECTS)
    try:
        with closing(pipe):
            _serve(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass


def _serve(pipe: Connection) -> None:
    engine = open_engine(str(pipe.recv()))
    store = StoreReader(engine)
    try:
        pipe.send(None)
        with shared_state.join(store, str(pipe.recv())) as reader:
            pipe.send(None)
            given: _Given | None = None
            while True:
                asked = pipe.recv()
                if isinstance(asked, _Given):
                    given = asked
                elif isinstance(asked, _Task):
                    assert given is not None, "a segment before its plan"
                    plan, directory = given.plan, given.directory
                    pipe.send(write_segment(reader, plan, asked.number, asked.among, directory))
                else:
                    pipe.send(asked(reader))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the first process must hear of it
        pipe.send(error)
    finally:
        engine.dispose()
