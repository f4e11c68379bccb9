"""Evaluations as processes of their own: started, waited for without waiting, ended.

What is computed there is not loaded here, so the process that watches stays small, and what an
evaluation took goes back to the machine when it ends.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from typing import IO, Final, Protocol

import msgspec

from shalt.monitor_state import Evaluated, Failure, Reason
from shalt.monitors import Monitor
from shalt.settings import Settings

log = logging.getLogger(__name__)

EVALUATION_SECONDS_MAX: Final = 900.0
NICENESS: Final = 5  # a third of the share of what relays, where there is no core to spare
# One core: two processes that relay calls may be all there is besides.
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_decode = msgspec.json.Decoder(Evaluated).decode


class MonitorOrders(msgspec.Struct, frozen=True):
    """What to evaluate: settings and monitor as JSON, windows, features whose values to list."""

    settings: str
    name: str
    monitor: str
    windows: tuple[str, ...]
    watched: tuple[str, ...]


def give_way() -> None:
    """Let every other process of the machine go first, those that relay calls above all."""
    os.nice(max(0, NICENESS - os.getpriority(os.PRIO_PROCESS, 0)))


class Running(Protocol):
    """An evaluation under way: of which windows of which monitor, and what it found, once it has.

    `windows` may be empty: then only the reference is looked at.
    """

    name: str
    monitor: Monitor
    windows: tuple[str, ...]

    def result(self) -> Evaluated | None:
        """Say what it found; None while it is under way. Not to be asked again after that."""

    def end(self) -> None:
        """End it now, whatever it found."""


class Run:
    """An evaluation that is a process: `Running`."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        monitor: Monitor,
        windows: tuple[str, ...],
        watched: tuple[str, ...],
        *,
        seconds_max: float = EVALUATION_SECONDS_MAX,
    ) -> None:
        """Start it."""
        self.name = name
        self.monitor = monitor
        self.windows = windows
        self._seconds_max = seconds_max
        self._until = time.monotonic() + seconds_max
        self._is_late = False
        self._result: IO[bytes] = tempfile.TemporaryFile()  # a pipe would have to be emptied
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shalt.monitor_job"],
            stdin=subprocess.PIPE,
            stdout=self._result,
            env={**os.environ, **_ONE_THREAD},  # noqa: TID251  passed on, not read
            start_new_session=True,  # Ctrl-C ends it by way of its pipe
        )
        orders = MonitorOrders(
            settings.model_dump_json(round_trip=True),
            name,
            monitor.model_dump_json(),
            windows,
            watched,
        )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(orders) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            log.warning("evaluation died before it had orders monitor=%s", name)

    def result(self) -> Evaluated | None:
        """Say what it found; None while it is under way. It is killed when it takes too long."""
        code = self._process.poll()
        if code is None:
            if time.monotonic() > self._until and not self._is_late:
                self._is_late = True
                self._process.kill()
            return None
        self._close()
        with self._result as result:
            result.seek(0)
            data = result.read()
        if self._is_late:
            message = f"an evaluation took longer than {self._seconds_max:g} seconds"
            return Evaluated(failure=Failure(Reason.TIME, message))
        try:
            return _decode(data)
        except msgspec.MsgspecError:
            message = f"an evaluation died with exit code {code}: see the log"
            return Evaluated(failure=Failure(Reason.DIED, message))

    def end(self) -> None:
        """End it now, whatever it found."""
        self._process.kill()
        self._process.wait()
        self._close()
        self._result.close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
