"""Workers, recorder, console and watcher as child processes.

The supervisor binds the port and gives it to the workers, so that a dying worker refuses nobody:
who connects meanwhile waits in the queue of the kernel. A child that dies is started again
(shalt.children) and counted in `metrics/restarts.json`. The watcher, which runs drift monitors, is
started when there is a first monitor.

On SIGHUP the configuration is read again. One that is wrong changes nothing, and is logged. Else
workers are replaced one by one (shalt.reloading), then the others are started again if a setting
has changed. SIGHUP because the terminal is gone means what SIGTERM does.

On SIGTERM or SIGINT: nothing new is accepted, calls in flight may end (`shutdown_seconds`), the
recorder empties the spool (`drain_seconds`), exit 0. What did not make it in time lies in the
spool and is stored at the next start; the exit code is 1 then. A second signal, a second later or
more, does not wait.
"""

import json
import logging
import os
import select
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from shalt.child import Orders, set_up_process
from shalt.children import Child
from shalt.monitor_list import MonitorList, MonitorsUnreadable
from shalt.places import Places
from shalt.reloading import NotReloadable, Progress, Reloads, Replacement, refuse_fixed
from shalt.settings import Settings, SettingsError

log = logging.getLogger(__name__)

# What a child gets over its own limit before it is killed.
GRACE_SECONDS: Final = 5.0
LISTEN_BACKLOG: Final = 2048
# timeout(1) and others send a signal to the process and again to its group: that is one wish.
ONE_SIGNAL_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.1  # between two looks at the children; a death wakes us at once


class AddressInUse(Exception):
    """The port cannot be had; the message says which and what to do."""


class UnknownStore(Exception):
    """The store of the settings is none that there is code for."""


class KeyNotSet(Exception):
    """An upstream's key is to be held by shalt, and the environment does not have it."""


class UnusableAuthorities(Exception):
    """The `ca_file` of an upstream cannot be read, or holds no certificate."""


UNUSABLE: Final = (UnknownStore, KeyNotSet, UnusableAuthorities)


def run(
    settings: Settings, ready: Callable[[str], None], again: Callable[[], Settings] | None = None
) -> int:
    """Serve until told to stop; return the exit code.

    `ready` is called once with the URL that is listened on: from then on calls are accepted.
    `again` reads the settings again, from where they came from.
    Raises `shalt.places.DataDirError`, AddressInUse, UnknownStore, KeyNotSet and
    UnusableAuthorities before anything is started.
    """
    set_up_process(settings, "shalt")
    _check(settings)
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
        again = again or (lambda: settings)
        supervisor = _Supervisor(
            settings, places, listener, console_listener, console_socket, again
        )
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
        again: Callable[[], Settings],
    ) -> None:
        self._settings = settings
        self._places = places
        self._listener = listener
        self._console_listener = console_listener
        self._console_socket = console_socket
        self._again = again
        self._signals = self._hangups = 0
        self._signalled_at = float("-inf")
        self._has_terminal = _has_terminal()
        self._generation = 0
        self._reloads = Reloads(os.getpid())
        self._replacement: Replacement | None = None
        self._next_settings = settings
        self._retired: list[Child] = []
        self._ending: list[tuple[Child, float]] = []  # and until when, before others take over
        self._restarts: Counter[str] = Counter()  # of children that were replaced
        self._workers = self._make_workers(settings)
        self._make_others(settings)

    def _make_workers(self, settings: Settings) -> list[Child]:
        # Two generations serve at a time, and count in places of their own.
        first = self._generation % 2 * settings.workers
        numbers = range(first, first + settings.workers)
        return [self._make("worker", settings, self._listener, number) for number in numbers]

    def _make_others(self, settings: Settings) -> None:
        self._recorder = self._make("recorder", settings)
        self._console = self._make("console", settings, self._console_listener)
        self._watcher = self._make("watcher", settings)
        self._monitors = MonitorList(self._given(settings), self._places.monitors)

    def _make(
        self, kind: str, settings: Settings, served: socket.socket | None = None, number: int = 0
    ) -> Child:
        orders = Orders(
            settings=self._given(settings),
            console_socket=self._console_socket,
            listen_fd=served.fileno() if served else None,
            worker=number,
        )
        return Child(kind, orders, self._places.metrics)

    def _given(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"data_dir": self._places.data_dir})

    def run(self, ready: Callable[[], None]) -> int:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)
        signal.signal(signal.SIGHUP, self._note_hangup)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
        self._children = [*self._workers, self._recorder, self._console]
        for child in self._children:
            child.start()
        self._write_restarts()
        self._reloads.write(self._places.reloads)
        ready()
        while not self._signals:
            if not self._ending and self._watcher not in self._children and self._has_monitors():
                self._watcher.start()
                self._children.append(self._watcher)
            self._reload()
            if any([child.look_after() for child in self._children]):  # a list: after each
                self._write_restarts()
            if select.select([wake_read], [], [], LOOK_SECONDS)[0]:
                os.read(wake_read, 4096)
        return self._shut_down()

    def _shut_down(self) -> int:
        settings = self._settings
        log.info("shutting down")
        self._listener.close()
        signals = self._signals_so_far()
        hurry = lambda: self._signals_so_far() > signals  # noqa: E731
        workers = [*self._workers, *self._retired]
        if self._replacement is not None:
            workers += [child for child in self._replacement.new if child.process is not None]
        for child in (*workers, self._watcher):
            child.terminate()
        until = time.monotonic() + settings.shutdown_seconds + GRACE_SECONDS
        ended = [worker.wait(until, hurry) for worker in workers]
        for child, until in self._ending:  # the recorder among them holds what the next one needs
            child.wait(until, hurry)
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

    def _reload(self) -> None:
        """Begin a reload that was asked for, or take the next step of one that has begun."""
        self._retired = [each for each in self._retired if not self._is_over(each)]
        if self._ending:
            self._go_on_ending()
        elif self._replacement is not None:
            progress = self._replacement.step()
            self._take_over(self._replacement)
            if progress is not Progress.GOING_ON:
                self._conclude(self._replacement, progress)
        elif self._hangups:
            self._hangups = 0
            self._begin_reload()

    def _begin_reload(self) -> None:
        try:
            settings = self._again()
            refuse_fixed(self._settings, settings)
            _check(settings)
        except (SettingsError, NotReloadable, *UNUSABLE) as error:
            self._refuse(str(error))
            return
        log.info("configuration read again, replacing workers")
        self._next_settings = settings
        self._generation += 1
        self._replacement = Replacement(tuple(self._workers), self._make_workers(settings))

    def _take_over(self, replacement: Replacement) -> None:
        """Look after new workers in place of old ones, from when these were told to retire."""
        for number, old in enumerate(replacement.retired):
            if self._workers[number] is old:
                new = self._workers[number] = replacement.new[number]
                self._children[self._children.index(old)] = new
                self._retired.append(old)
                self._restarts[old.kind] += old.restart_count

    def _conclude(self, replacement: Replacement, progress: Progress) -> None:
        self._replacement = None
        if progress is Progress.FAILED:
            self._generation -= 1
            replacement.new[0].wait(time.monotonic(), lambda: True)
            self._refuse("a worker with it did not come up: see the log")
            return
        changed, self._settings = self._settings != self._next_settings, self._next_settings
        if not changed:
            self._note_taken()
            return
        until = time.monotonic() + self._settings.drain_seconds + GRACE_SECONDS
        others = (self._recorder, self._console, self._watcher)
        self._ending = [(each, until) for each in others if each in self._children]
        for child, _ in self._ending:
            self._children.remove(child)
            self._restarts[child.kind] += child.restart_count
        self._recorder.retire()  # not to empty the spool first, which calls go on to fill
        self._console.terminate()
        self._watcher.terminate()

    def _go_on_ending(self) -> None:
        """Start the others with the new settings, once those with the old ones have ended."""
        now = time.monotonic()
        if not all(child.has_ended() or now > until for child, until in self._ending):
            return
        for child, until in self._ending:
            child.wait(until, lambda: False)
        self._ending = []
        self._make_others(self._settings)
        for child in (self._recorder, self._console):
            child.start()
            self._children.append(child)
        self._note_taken()

    def _note_taken(self) -> None:
        self._reloads.taken_count += 1
        self._reloads.write(self._places.reloads)
        log.info("configuration taken")

    def _refuse(self, problem: str) -> None:
        log.error("configuration refused, nothing has changed: %s", problem)
        self._reloads.refused_count += 1
        self._reloads.problem = problem
        self._reloads.write(self._places.reloads)

    @staticmethod
    def _is_over(retired: Child) -> bool:
        if retired.has_ended():
            retired.wait(0.0, lambda: True)
            return True
        return False

    def _has_monitors(self) -> bool:
        """Tell whether there is anything to watch: a look at one file, or at its time alone."""
        try:
            return bool(self._monitors.all())
        except MonitorsUnreadable:  # the console says so to who asks; those of the settings go on
            return bool(self._settings.monitors)

    def _note_signal(self, number: int, _frame: object) -> None:
        now = time.monotonic()
        if now - self._signalled_at > ONE_SIGNAL_SECONDS:
            self._signals += 1
            self._signalled_at = now

    def _note_hangup(self, number: int, _frame: object) -> None:
        if self._has_terminal and not _has_terminal():
            self._signals += 1  # nobody is there any more who could end us
        self._hangups += 1

    def _signals_so_far(self) -> int:
        return self._signals

    def _write_restarts(self) -> None:
        counts = Counter({child.kind: 0 for child in self._children}) | self._restarts
        for child in self._children:
            counts[child.kind] += child.restart_count
        path = self._places.restarts
        aside = path.with_suffix(".new")
        try:
            aside.write_text(json.dumps(counts))
            aside.rename(path)
        except OSError as error:  # a full disk must not end what relays calls
            log.warning("restarts could not be written error=%s", error)


def _check(settings: Settings) -> None:
    """Raise one of UNUSABLE for what would keep a child from its work."""
    _check_store(settings)
    _check_keys(settings)
    _check_authorities(settings)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


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
    """Say at once what every worker would die of. Only upstreams with such files cost time."""
    for name, upstream in settings.upstreams.items():
        files = {"ca_file": upstream.ca_file, "proxy_ca_file": upstream.proxy_ca_file}
        for setting, path in files.items():
            if path is None:
                continue
            try:
                ssl.create_default_context(cafile=path)
            except OSError as error:  # ssl.SSLError is one
                raise UnusableAuthorities(
                    f"upstreams.{name}.{setting}: {path} cannot be used "
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
