"""Run the drift monitors: under the supervisor, or in the foreground as `shalt watch`.

Each monitor is evaluated when its time has come, one at a time, each by a process of its own
(shalt.monitor_job): what goes wrong there is counted with its reason and harms no other. Between
evaluations new calls are looked at every LOOK_SECONDS for values the reference never had
(shalt.unseen). Monitors that are added or removed over HTTP begin and end without a restart. What
was found lies in a small file that the console reads (shalt.monitor_state).

Of the processes of a data directory one watches: it holds a lock, and another waits for it.

Limits: while an evaluation runs (EVALUATION_SECONDS_MAX at most) the others wait, so with many
monitors of large windows one may come late; that shows in its timestamp.
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Final

from shalt.child import listen_to_signals, receive_orders
from shalt.monitor_list import Asked, MonitorList, MonitorsUnreadable, write_whole
from shalt.monitor_runs import Run, Running, give_way
from shalt.monitor_state import (
    Evaluated,
    Failure,
    MonitorState,
    Reason,
    definition_of,
    encode_state,
    new_state,
    read_state,
)
from shalt.monitors import Monitor
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.unseen import WATCHED, Unseen
from storage.capture import Clock, SystemClock
from storage.filter_syntax import FilterError
from storage.store import TraceStore
from storage.store_errors import StoreError

log = logging.getLogger(__name__)

STEP_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 30.0  # where the store was away, which it often is for a moment at a start

Start = Callable[[str, Monitor, tuple[str, ...]], Running]
Told = Callable[[Running, Evaluated], None]


class Watcher:
    """Does what is due, a step at a time. One thread, one process of a data directory.

    `start` begins an evaluation of some windows of a monitor; a process does it unless it is given.
    """

    def __init__(
        self, settings: Settings, store: TraceStore, clock: Clock, start: Start | None = None
    ) -> None:
        places = Places(settings.data_dir)
        self._begin = start or partial(_begin_process, settings)
        self._store = store
        self._clock = clock
        self._monitors = MonitorList(settings, places.monitors)
        self._path = places.watch_state
        self._state = read_state(self._path)
        self._asked: Mapping[str, Asked] = {}
        self._unseen: dict[str, Unseen] = {}
        self._run: Running | None = None
        self._look_at = 0.0
        self._troubles: dict[str, str] = {}  # by what has them, as they were last logged
        self._written = b""

    @property
    def names(self) -> frozenset[str]:
        """The monitors, as of the last step."""
        return frozenset(self._asked)

    @property
    def is_evaluating(self) -> bool:
        """Whether an evaluation is under way."""
        return self._run is not None

    def step(self, tell: Told | None = None) -> None:
        """Take up what an evaluation found, start the next, look at new calls, write it down.

        `tell` is told of each evaluation that has ended. Raises OSError where the state cannot be
        written.
        """
        now = self._clock.wall_ns() / 1e9
        self._adopt()
        self._take_up(tell)
        if self._run is None:
            self._start(now)
        if now >= self._look_at or now < self._look_at - LOOK_SECONDS:  # a clock may be set back
            self._look_at = now + LOOK_SECONDS
            self._look(now)
        self._write()

    def start_over(self) -> None:
        """Make every monitor due now."""
        self._adopt()
        for state in self._state.monitors.values():
            state.due_at = 0.0

    def close(self) -> None:
        """End an evaluation that is under way."""
        if self._run is not None:
            self._run.end()

    def _adopt(self) -> None:
        """Begin with monitors that are new, forget those that are gone."""
        try:
            self._asked = self._monitors.all()
            self.note_trouble("monitors", "")
        except MonitorsUnreadable as error:
            self.note_trouble("monitors", str(error))
            self._asked = self._monitors.of_settings()
        states = self._state.monitors
        for name in [*states]:
            asked = self._asked.get(name)
            if asked is None or states[name].definition != definition_of(asked.monitor):
                del states[name]
                self._unseen.pop(name, None)
        for name, asked in self._asked.items():
            if name not in states:
                states[name] = new_state(asked.monitor)

    def _start(self, now: float) -> None:
        """Start the evaluation that has been due longest; else find what a reference knows."""
        due: list[tuple[float, str, Monitor]] = []
        for name, asked in self._asked.items():
            due_at = self._state.monitors[name].due_at
            if now >= due_at or due_at > now + asked.monitor.every_seconds:  # a clock was set back
                due.append((now - due_at, name, asked.monitor))
        if due:
            _, name, monitor = max(due, key=lambda each: (each[0], each[1]))
            self._state.monitors[name].due_at = now + monitor.every_seconds
            if name in self._unseen:
                self._unseen[name].mark()
            self._run = self._begin(name, monitor, monitor.windows)
            return
        new = next((name for name in self._asked if name not in self._unseen), None)
        if new is not None:  # this process has only just begun, and knows no values
            self._run = self._begin(new, self._asked[new].monitor, ())

    def _take_up(self, tell: Told | None) -> None:
        run = self._run
        found = run.result() if run is not None else None
        if run is None or found is None:
            return
        self._run = None
        state = self._state.monitors.get(run.name)
        if state is None or state.definition != definition_of(run.monitor):
            return  # removed meanwhile
        for window in run.windows:
            failure = found.failure or found.failed.get(window)
            if failure is not None:
                self._fail(run.name, window, state, failure)
        for window, of_window in found.windows.items():
            state.windows[window] = of_window
            state.tallies[window].evaluations += 1
            log.info(
                "drift evaluated monitor=%s window=%s verdict=%s groups=%d seconds=%.1f",
                run.name, window, of_window.verdict, of_window.current_groups, of_window.seconds,
            )  # fmt: skip
        self._watch_unseen(run, found, state)
        if run.windows and tell is not None:
            tell(run, found)

    def _fail(self, name: str, window: str, state: MonitorState, failure: Failure) -> None:
        state.tallies[window].fail(failure)
        if failure.reason is Reason.STORE:
            state.due_at = min(state.due_at, self._clock.wall_ns() / 1e9 + RETRY_SECONDS)
        log.warning(
            "drift evaluation failed monitor=%s window=%s reason=%s error=%s",
            name, window, failure.reason, failure.message,
        )  # fmt: skip

    def _watch_unseen(self, run: Running, found: Evaluated, state: MonitorState) -> None:
        """Watch for values that the reference of the last evaluation never had."""
        before = self._unseen.get(run.name)
        if found.reference is None:
            # Until the next evaluation what was known before is, or nothing is looked at.
            self._unseen.setdefault(run.name, Unseen(run.monitor, {}, 0, 0.0))
            return
        state.reference = found.reference
        since = max((each.until for each in state.windows.values()), default=0.0)
        known = {feature: frozenset(values) for feature, values in found.known.items()}
        watch = Unseen(run.monitor, known, found.reference.feature_version, since)
        if before is not None:
            watch.follow(before)
        self._unseen[run.name] = watch
        state.unseen = watch.ratios(state.windows)

    def _look(self, now: float) -> None:
        for name, watch in self._unseen.items():
            state = self._state.monitors[name]
            try:
                watch.look(self._store, now)
            except (StoreError, FilterError) as error:
                self.note_trouble(name, str(error))
                continue
            self.note_trouble(name, "")
            state.unseen = watch.ratios(state.windows)

    def note_trouble(self, of: str, trouble: str) -> None:
        """Log what keeps a monitor, or all of them, from going on: once, not at each step."""
        if trouble and self._troubles.get(of) != trouble:
            log.warning("drift monitors are held up by=%s error=%s", of, trouble)
        self._troubles[of] = trouble

    def _write(self) -> None:
        """Write the state if it has changed."""
        data = encode_state(self._state)
        if data != self._written:
            write_whole(self._path, data)
            self._written = data


def _begin_process(
    settings: Settings, name: str, monitor: Monitor, windows: tuple[str, ...]
) -> Run:
    return Run(settings, name, monitor, windows, WATCHED)


def watch(settings: Settings) -> int:
    """Watch until SIGTERM or SIGINT; return the exit code. Waits while another process does.

    It gives way to what relays and records, and so does what it starts.
    """
    give_way()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    listen_to_signals()
    places = Places(settings.data_dir)
    while (lock := places.lock_watch()) is None:
        if stop.wait(STEP_SECONDS):
            return 0
    with lock, closing(open_store(settings)) as store:
        with closing(Watcher(settings, store, SystemClock())) as watcher:
            while not stop.wait(STEP_SECONDS):
                try:
                    watcher.step()
                except OSError as error:  # a full disk: what was found is written when it can be
                    watcher.note_trouble("state", str(error))
    return 0


if __name__ == "__main__":
    sys.exit(watch(receive_orders(int(sys.argv[1]), "watcher").settings))
