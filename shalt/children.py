"""One child process of the supervisor, kept alive until it is to end.

A child that dies is started again, at once at first, then with growing pauses. It gets its orders
and its lifeline as shalt.child says, and tells in a pipe of its own when it serves.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shalt.child import RETIRE_SIGNAL, Orders
from shalt.metrics import trim_metric_files

log = logging.getLogger(__name__)

RESTART_PAUSE_SECONDS: Final = 0.1  # doubled with every quick death
RESTART_PAUSE_SECONDS_MAX: Final = 2.0  # connections queue meanwhile, they are not refused
QUICK_DEATH_SECONDS: Final = 10.0

_MODULES: Final = {
    "worker": "shalt.worker",
    "recorder": "shalt.recording",
    "console": "shalt.console",
    "watcher": "shalt.watching",
}


class Child:
    """One child process that is kept alive."""

    def __init__(self, kind: str, orders: Orders, metrics: Path) -> None:
        self.kind = kind
        self.restart_count = 0
        self._orders = orders
        self._metrics = metrics
        self._quick_deaths = 0
        self._start_at = 0.0
        self._started_at = 0.0
        self._lifeline = -1
        self._ready = -1  # where it says that it serves
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and give it its orders."""
        theirs, ours = os.pipe()
        told, tells = os.pipe()
        os.set_blocking(told, False)
        orders = self._orders.model_copy(update={"ready_fd": tells})
        passed = [theirs, tells] + ([orders.listen_fd] if orders.listen_fd is not None else [])
        environment = {  # a child's metrics go to files there, from its first import on
            **os.environ,  # noqa: TID251  passed on, not read
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
        }
        self._started_at = time.monotonic()
        # The child decides when it is ready to be told to end (shalt.child.listen_to_signals).
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, RETIRE_SIGNAL))
        self.process = subprocess.Popen(
            [sys.executable, "-m", _MODULES[self.kind], str(theirs)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, RETIRE_SIGNAL))
        os.close(theirs)
        os.close(tells)
        self._lifeline, self._ready = ours, told
        try:
            os.write(ours, orders.model_dump_json(round_trip=True).encode() + b"\n")
        except BrokenPipeError:
            log.warning("child process died before it had orders kind=%s", self.kind)

    def look_after(self) -> bool:
        """Start the process again if it has died and its pause is over; tell if it was started."""
        if self.process is not None:
            if self.process.poll() is None:
                return False
            self._note_death(self.process.returncode)
        if time.monotonic() < self._start_at:
            return False
        self.restart_count += 1
        self.start()
        return True

    def revive(self) -> None:
        """Start the process now if it does not run, pause or not."""
        if self.process is not None and self.process.poll() is not None:
            self._note_death(self.process.returncode)
        if self.process is None:
            self.start()

    def is_ready(self) -> bool:
        """Tell whether the process has said that it serves; true once for each start."""
        try:
            return self._ready >= 0 and os.read(self._ready, 1) != b""
        except BlockingIOError:
            return False

    def has_ended(self) -> bool:
        """Tell whether the process does not run."""
        return self.process is None or self.process.poll() is not None

    def retire(self) -> None:
        """Ask a worker or a recorder to end as it can, for another one takes its place."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(RETIRE_SIGNAL)

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, until: float, hurry: Callable[[], bool]) -> bool:
        """Wait for the end of the process, then kill it; tell whether it ended well by itself.

        `until` is a monotonic time; `hurry` is asked whether to stop waiting.
        """
        if self.process is None:
            return False
        while self.process.poll() is None and time.monotonic() < until and not hurry():
            time.sleep(0.02)
        in_time = self.process.poll() is not None
        if not in_time:
            self.process.kill()
        code = self.process.wait()
        self._close()
        return in_time and code in (0, -signal.SIGTERM)  # uvicorn ends by the signal it got

    def _close(self) -> None:
        os.close(self._lifeline)
        os.close(self._ready)
        self._lifeline = self._ready = -1
        assert self.process is not None
        trim_metric_files(self._metrics, self.process.pid)
        self.process = None

    def _note_death(self, code: int) -> None:
        self._close()
        quick = time.monotonic() - self._started_at < QUICK_DEATH_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        pause = RESTART_PAUSE_SECONDS * (2**self._quick_deaths - 1)
        self._start_at = time.monotonic() + min(pause, RESTART_PAUSE_SECONDS_MAX)
        log.warning("child process died kind=%s exit=%d", self.kind, code)
