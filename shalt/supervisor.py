"""Workers, recorder, console and watcher as child processes.

The supervisor binds the port and gives it to the workers, so that a dying worker refuses nobody:
who connects meanwhile waits in the queue of the kernel. A child that dies is started again, at
once at first, then with growing pauses, and counted in `metrics/restarts.json`. The watcher, which
runs drift monitors, is started when there is a first monitor.

On SIGTERM or SIGINT: nothing new is accepted, calls in flight may end (`shutdown_seconds`), the
recorder empties the spool (`drain_seconds`), exit 0. What did not make it in time lies in the
spool and is stored at the next start; the exit code is 1 then. A second signal does not wait.
"""

import json
import logging
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from shalt.child import Orders, set_up_process
from shalt.monitor_list import MonitorList, MonitorsUnreadable
from shalt.places import Places
from shalt.settings import Settings

log = logging.getLogger(__name__)

RESTART_PAUSE_SECONDS: Final = 0.1  # doubled with every quick death
RESTART_PAUSE_SECONDS_MAX: Final = 2.0  # connections queue meanwhile, they are not refused
QUICK_DEATH_SECONDS: Final = 10.0
# What a child gets over its own limit before it is killed.
GRACE_SECONDS: Final = 5.0
LISTEN_BACKLOG: Final = 2048
LOOK_SECONDS: Final = 0.1  # between two looks at the children; a death wakes us at once


_MODULES: Final = {
    "worker": "shalt.worker",
    "recorder": "shalt.recording",
    "console": "shalt.console",
    "watcher": "shalt.watching",
}


class AddressInUse(Exception):
    """The port cannot be had; the message says which and what to do."""


class UnknownStore(Exception):
    """The store of the settings is none that there is code for."""


class KeyNotSet(Exception):
    """An upstream's key is to be held by shalt, and the environment does not have it."""


class UnusableAuthorities(Exception):
    """The `ca_file` of an upstream cannot be read, or holds no certificate."""


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
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and give it its orders."""
        theirs, ours = os.pipe()
        listen_fd = self._orders.listen_fd
        environment = {  # a child's metrics go to files there, from its first import on
            **os.environ,  # noqa: TID251  passed on, not read
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
        }
        self._started_at = time.monotonic()
        # The child decides when it is ready to be told to end (shalt.child.listen_to_signals).
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        self.process = subprocess.Popen(
            [sys.executable, "-m", _MODULES[self.kind], str(theirs)],
            pass_fds=(theirs, listen_fd) if listen_fd is not None else (theirs,),
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        os.close(theirs)
        self._lifeline = ours
        try:
            os.write(ours, self._orders.model_dump_json(round_trip=True).encode() + b"\n")
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
        os.close(self._lifeline)
        return in_time and code in (0, -signal.SIGTERM)  # uvicorn ends by the signal it got

    def _note_death(self, code: int) -> None:
        os.close(self._lifeline)
        self.process = None
        quick = time.monotonic() - self._started_at < QUICK_DEATH_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        pause = RESTART_PAUSE_SECONDS * (2**self._quick_deaths - 1)
        self._start_at = time.monotonic() + min(pause, RESTART_PAUSE_SECONDS_MAX)
        log.warning("child process died kind=%s exit=%d", self.kind, code)


def run(settings: Settings, ready: Callable[[str], None]) -> int:
    """Serve until told to stop; return the exit code.

    `ready` is called once with the URL that is listened on: from then on calls are accepted.
    Raises `shalt.places.DataDirError`, AddressInUse, UnknownStore, KeyNotSet and
    UnusableAuthorities before anything is started.
    """
    set_up_process(settings, "shalt")
    _check_store(settings)
    _check_keys(settings)
    _check_authorities(settings)
    places = Places(settings.data_dir.absolute())
    places.prepare()
    with ExitStack() as stack:
        stack.enter_context(places.lock())
        places.clear_metrics()
        listener = stack.enter_context(_listen(settings))
        folder = tempfile.mkdtemp(prefix="shalt-")  # short: socket paths end at 107 characters
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        console_listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        console_socket = Path(folder, "console.sock")
        console_listener.bind(str(console_socket))
        console_listener.listen(LISTEN_BACKLOG)
        supervisor = _Supervisor(settings, places, listener, console_listener, console_socket)
        host, port = listener.getsockname()[:2]
        return supervisor.run(
            lambda: ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        )


class _Supervisor:
    def __init__(
        self,
        settings: Settings,
        places: Places,
        listener: socket.socket,
        console_listener: socket.socket,
        console_socket: Path,
    ) -> None:
        self._settings = settings
        self._places = places
        self._listener = listener
        self._signals = 0
        given = settings.model_copy(update={"data_dir": places.data_dir})

        def child(kind: str, served: socket.socket | None, number: int = 0) -> Child:
            listen_fd = served.fileno() if served else None
            orders = Orders(
                settings=given,
                console_socket=console_socket,
                listen_fd=listen_fd,
                worker=number,
            )
            return Child(kind, orders, places.metrics)

        self._workers = [child("worker", listener, number) for number in range(settings.workers)]
        self._recorder = child("recorder", None)
        self._console = child("console", console_listener)
        self._watcher = child("watcher", None)
        self._monitors = MonitorList(given, places.monitors)

    def run(self, ready: Callable[[], None]) -> int:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
        children = [*self._workers, self._recorder, self._console]
        for child in children:
            child.start()
        self._write_restarts(children)
        ready()
        while not self._signals:
            if self._watcher not in children and self._has_monitors():
                self._watcher.start()
                children.append(self._watcher)
            if any([child.look_after() for child in children]):
                self._write_restarts(children)
            if select.select([wake_read], [], [], LOOK_SECONDS)[0]:
                os.read(wake_read, 4096)
        return self._shut_down()

    def _shut_down(self) -> int:
        settings = self._settings
        log.info("shutting down signal=%d", self._signals)
        self._listener.close()
        signals = self._signals_so_far()
        hurry = lambda: self._signals_so_far() > signals  # noqa: E731
        for child in (*self._workers, self._watcher):
            child.terminate()
        until = time.monotonic() + settings.shutdown_seconds + GRACE_SECONDS
        ended = [worker.wait(until, hurry) for worker in self._workers]
        self._recorder.revive()  # it may have died meanwhile, and is needed once more
        self._recorder.terminate()
        until = time.monotonic() + settings.drain_seconds + GRACE_SECONDS
        drained = self._recorder.wait(until, hurry)
        self._console.terminate()
        until = time.monotonic() + GRACE_SECONDS
        self._console.wait(until, hurry)
        self._watcher.wait(until, hurry)  # what it has found is written already
        if not drained:
            log.error("spool not emptied in time, the next start stores the rest")
        elif not all(ended):
            log.error("calls in flight were cut, shutdown_seconds=%g", settings.shutdown_seconds)
        return 0 if drained and all(ended) else 1

    def _has_monitors(self) -> bool:
        """Tell whether there is anything to watch: a look at one file, or at its time alone."""
        try:
            return bool(self._monitors.all())
        except MonitorsUnreadable:  # the console says so to who asks; those of the settings go on
            return bool(self._settings.monitors)

    def _note_signal(self, number: int, _frame: object) -> None:
        self._signals += 1

    def _signals_so_far(self) -> int:
        return self._signals

    def _write_restarts(self, children: list[Child]) -> None:
        counts: dict[str, int] = {}
        for child in children:
            counts[child.kind] = counts.get(child.kind, 0) + child.restart_count
        path = self._places.restarts
        aside = path.with_suffix(".new")
        try:
            aside.write_text(json.dumps(counts))
            aside.rename(path)
        except OSError as error:  # a full disk must not end what relays calls
            log.warning("restarts could not be written error=%s", error)


def _check_store(settings: Settings) -> None:
    """Say at once what every recorder would say before it died. No database code is loaded here."""
    scheme, separator, place = settings.store_url.partition("://")
    is_file = scheme in ("sqlite", "sqlite+pysqlite") and place.startswith("/")
    is_server = scheme in ("postgresql", "postgresql+psycopg") and "/" in place
    if not separator or not (is_file or is_server):
        raise UnknownStore(
            "the setting store must name a SQLite file, as in sqlite:////absolute/path/to/"
            "shalt.sqlite, or a PostgreSQL database, as in postgresql://user:password@host:5432/"
            "database, or be empty"
        )


def _check_keys(settings: Settings) -> None:
    """Refuse to pass a client's key to an upstream where shalt was to put its own."""
    for name, upstream in settings.upstreams.items():
        if upstream.key != "client" and upstream.secret is None:
            raise KeyNotSet(
                f"upstreams.{name}: key is {upstream.key!r}, but the variable is not set: export it"
            )


def _check_authorities(settings: Settings) -> None:
    """Say at once what every worker would die of. Only upstreams with a `ca_file` cost time."""
    for name, upstream in settings.upstreams.items():
        if upstream.ca_file is not None:
            try:
                ssl.create_default_context(cafile=upstream.ca_file)
            except OSError as error:  # ssl.SSLError is one
                raise UnusableAuthorities(
                    f"upstreams.{name}.ca_file: {upstream.ca_file} cannot be used "
                    f"({error.strerror or error}): name a PEM file of certificates"
                ) from error


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server(
            (settings.host, settings.port), family=family, backlog=LISTEN_BACKLOG
        )
    except OSError as error:
        raise AddressInUse(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another with --port or SHALT_PORT"
        ) from error
