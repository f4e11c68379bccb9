"""The command `tail`: calls as they come to be stored."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing

import msgspec

from shalt.calls import print_call
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_json, print_line
from storage.capture import Clock, SystemClock
from storage.database import StoreUnavailable
from storage.id_range import ids_between
from storage.rows import CallRow
from storage.store import TraceStore

POLL_SECONDS = 0.5
LOOK_RATIO = 0.1  # of the time that may be spent in looking: a busy store is asked less often
# A call gets its id when it starts and its row when it has ended and the recorder has come to it:
# one that takes longer than this is not seen. Of so much time the ids are remembered.
LATE_SECONDS = 900


def tail(settings: Settings, *, where: str | None, number: int, as_json: bool) -> None:
    """Print the newest calls, then every call of the project that is stored, until Ctrl-C."""
    with closing(open_store(settings)) as store:
        store.check()
        follower = Follower(store, settings.project, where, SystemClock())
        _print(follower.begin(number), as_json=as_json)
        while True:
            started = time.monotonic()
            try:
                _print(follower.look(), as_json=as_json)
            except StoreUnavailable as error:
                print_line(f"trying again: {error}", style="dim")
            time.sleep(max(POLL_SECONDS, (time.monotonic() - started) / LOOK_RATIO))


class Follower:
    """Finds the calls that are stored from the beginning on, each once, by the order of their ids.

    Rows are not committed in that order. So every look reads the ids of the last LATE_SECONDS
    again: what was not there at the look before is new, wherever it stands. Calls that are
    imported with times of the past are not seen.
    """

    def __init__(self, store: TraceStore, project: str, where: str | None, clock: Clock) -> None:
        self._store = store
        self._project = project
        self._where = where
        self._clock = clock
        self._first = ""
        self._seen: set[str] = set()

    def begin(self, number: int) -> Sequence[CallRow]:
        """Return the newest calls, oldest first; what is there now is not new later."""
        with self._store.snapshot() as now:
            self._seen = set(now.ids(self._project, self._where, first=self._window()))
            if not number:
                return []
            return now.list(self._project, self._where, limit=number)[::-1]

    def look(self) -> Sequence[CallRow]:
        """Return the calls that have come since the last look, oldest first."""
        with self._store.snapshot() as now:
            ids = now.ids(self._project, self._where, first=self._window())
            rows = now.rows([id for id in ids if id not in self._seen])
        self._seen = set(ids)
        return rows

    def _window(self) -> str:
        """Say from which id on calls may still come; it never goes back, though the clock may."""
        since_us = self._clock.wall_ns() // 1000 - LATE_SECONDS * 1_000_000
        self._first = max(self._first, ids_between(since_us, None).first or "")
        return self._first


def _print(rows: Sequence[CallRow], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            print_json(msgspec.structs.asdict(row))
        else:
            print_call(row)
    sys.stdout.flush()
