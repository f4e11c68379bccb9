"""Segments by several processes, all of which see one state of the store.

Each process is told the store, joins the state that the first one has pinned (storage.shared_state)
and then takes one range after the other. Messages go through a pipe each. A process that dies ends
the run; when the run ends, well or not, the processes are ended. When this one is killed, the
others end with their segment: their pipe is closed.

Limits: starting a process takes up to START_SECONDS_MAX, a second as a rule; joining must be done
within JOIN_SECONDS_MAX, because the recorder may be waiting, and takes milliseconds.
"""

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

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
class _Task:
    number: int
    among: GroupRange


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection


def default_processes() -> int:
    """Say how many processes an export uses: the cores it may run on."""
    return min(len(os.sched_getaffinity(0)), PROCESSES_MAX)


class Pool:
    """Processes that write segments. Open it, `join` a state, then take `segments`."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._workers = workers

    def join(self, name: str) -> None:
        """Let all see the state of that name (storage.shared_state). Bounded."""
        for worker in self._workers:
            _send(worker, name)
        _expect_all(self._workers, JOIN_SECONDS_MAX, "join the state of the store")

    def segments(
        self,
        plan: RowPlan,
        ranges: Sequence[GroupRange],
        directory: Path,
    ) -> Iterator[Segment]:
        """Yield the segments of the ranges as they are done, in any order.

        Raises what a process raised, ProcessDied where one is gone.
        """
        for worker in self._workers:
            _send(worker, (plan, directory))
        tasks = iter(enumerate(ranges))
        busy: dict[Connection, _Worker] = {}
        for worker in self._workers:
            if (task := next(tasks, None)) is not None:
                _send(worker, _Task(*task))
                busy[worker.pipe] = worker
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker = busy.pop(pipe)
                segment = _receive(worker)
                assert isinstance(segment, Segment)
                if (task := next(tasks, None)) is not None:
                    _send(worker, _Task(*task))
                    busy[pipe] = worker
                yield segment


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
            plan, directory = pipe.recv()
            while True:
                task = pipe.recv()
                pipe.send(write_segment(reader, plan, task.number, task.among, directory))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the first process must hear of it
        pipe.send(error)
    finally:
        engine.dispose()
