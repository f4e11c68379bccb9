"""The command `watch`: drift monitors in the foreground, for ever or once."""

import threading
from contextlib import closing
from typing import Final

from shalt.child import set_up_process
from shalt.monitor_runs import Running
from shalt.monitor_state import Evaluated
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_json, print_line
from shalt.watching import Start, Watcher, watch
from storage.capture import SystemClock

EXIT_FAILED: Final = 1
EXIT_CODES: Final = {"quiet": 0, "drift": 3, "insufficient": 4}
# What the whole run exits with, the first that any window has.
_GRAVEST: Final = (EXIT_FAILED, EXIT_CODES["drift"], EXIT_CODES["insufficient"])


class WatchRunning(Exception):
    """Another process watches for this data directory."""


class NoMonitors(Exception):
    """There is nothing to watch."""


def watch_alone(settings: Settings) -> int:
    """Watch until SIGTERM or SIGINT. Raises DataDirError, WatchRunning."""
    set_up_process(settings, "watcher")
    lock = Places(settings.data_dir).lock_watch()
    if lock is None:
        raise _running(settings)
    lock.close()  # it is taken again at once; who is faster is waited for
    return watch(settings)


def watch_once(settings: Settings, *, as_json: bool, start: Start | None = None) -> int:
    """Evaluate every monitor now, print what each window says, return the exit code.

    1 where an evaluation failed, else 3 where there is drift, else 4 where there are too few calls,
    else 0. `start` as in Watcher. Raises DataDirError, WatchRunning, NoMonitors, StoreError.
    """
    set_up_process(settings, "watcher")
    lock = Places(settings.data_dir).lock_watch()
    if lock is None:
        raise _running(settings)
    done: set[str] = set()
    codes: set[int] = set()
    ended: list[tuple[Running, Evaluated]] = []
    with lock, closing(open_store(settings)) as store:
        with closing(Watcher(settings, store, SystemClock(), start)) as watcher:
            watcher.start_over()
            if not watcher.names:
                raise NoMonitors("there are no monitors: add [monitors.NAME] to shalt.toml")
            store.check()
            while not done >= watcher.names:
                try:
                    watcher.step(lambda run, found: ended.append((run, found)))
                except OSError as error:  # a full disk keeps nobody from knowing what was found
                    if not (ended or watcher.is_evaluating):
                        raise  # it could not even begin
                    watcher.note_trouble("state", str(error))
                for run, found in ended:
                    done.add(run.name)
                    codes.update(_print(run, found, as_json=as_json))
                ended.clear()
                threading.Event().wait(0.02)
    return next((code for code in _GRAVEST if code in codes), 0)


def _print(run: Running, found: Evaluated, *, as_json: bool) -> list[int]:
    """Print a line for each window; return the exit code of each."""
    codes = []
    for window in run.windows:
        state, failure = found.windows.get(window), found.failure or found.failed.get(window)
        verdict = "failed" if state is None else state.verdict
        why = state.why if state is not None else failure.message if failure is not None else ""
        codes.append(EXIT_FAILED if state is None else EXIT_CODES[state.verdict])
        if as_json:
            said = {"monitor": run.name, "window": window, "verdict": verdict, "why": why}
            print_json({**said, "report": state.report_id if state is not None else ""})
        else:
            print_line(f"{run.name} {window} {verdict.upper()}: {why}")
    return codes


def _running(settings: Settings) -> WatchRunning:
    return WatchRunning(
        f"another process watches for {settings.data_dir}: `shalt serve` does where there are "
        "monitors; what they found is at /api/monitors"
    )
