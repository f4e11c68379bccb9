"""The recorder as a process: under the supervisor, or alone as `shalt record`.

Told to end, it empties the spool first, for `drain_seconds` at most; what is left then is stored
at the next start, and the exit code says so.
"""

import logging
import signal
import sys
import time

from prometheus_client import CollectorRegistry

from shalt.child import listen_to_signals, receive_orders, set_up_process
from shalt.places import Places
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.database import StoreError
from storage.metrics import RecorderMetrics
from storage.recorder import Recorder
from storage.store import TraceStore

log = logging.getLogger(__name__)


class _DrainTooSlow(Exception):
    """`drain_seconds` are over and the spool is not empty."""


class _Stop:
    """Whether the process has been told to end; raises once it has taken too long about it."""

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._asked_at: float | None = None

    def ask(self, _number: int, _frame: object) -> None:
        self._asked_at = self._asked_at or time.monotonic()

    def __call__(self) -> bool:
        if self._asked_at is None:
            return False
        if time.monotonic() > self._asked_at + self._drain_seconds:
            raise _DrainTooSlow
        return True


def open_store(settings: Settings) -> TraceStore:
    """Make the store of the settings; nothing is opened yet. Raises StoreError."""
    return TraceStore(
        settings.store_url,
        clock=SystemClock(),
        test_ratio=settings.test_ratio,
        val_ratio=settings.val_ratio,
    )


def record(settings: Settings) -> int:
    """Record from the spool until SIGTERM or SIGINT; return the exit code.

    The caller holds the lock of the data directory.
    """
    stop = _Stop(settings.drain_seconds)
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, stop.ask)
    listen_to_signals()
    places = Places(settings.data_dir)
    recorder = Recorder(
        places.spool,
        places.poison,
        open_store(settings),
        RecorderMetrics(CollectorRegistry(), settings.metrics_models),
        group_by=settings.group_by,
        clock=SystemClock(),
    )
    try:
        recorder.run(stop)
    except _DrainTooSlow:
        log.error("spool not emptied in time, the next start stores the rest")
        return 1
    except StoreError as error:
        log.error("stopped recording error=%s", error)
        return 1
    return 0


def record_alone(settings: Settings) -> int:
    """Record without serving: for a spool that was left behind. Raises DataDirError."""
    set_up_process(settings, "recorder")
    places = Places(settings.data_dir)
    places.prepare()
    with places.lock():
        return record(settings)


if __name__ == "__main__":
    # The supervisor holds the lock; a Ctrl-C reaches it alone.
    sys.exit(record(receive_orders(int(sys.argv[1]), "recorder").settings))
