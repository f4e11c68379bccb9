"""The recorder as a process: under the supervisor, or alone as `shalt record`.

Told to end, it empties the spool first, for `drain_seconds` at most; what is left then is stored
at the next start, and the exit code says so. Told to retire, because another recorder is to go on
with other settings, it ends after the batch that it is at.
"""

import gc
import logging
import signal
import sys
import time
from contextlib import closing

from prometheus_client import CollectorRegistry

from shalt.child import RETIRE_SIGNAL, listen_to_signals, receive_orders, set_up_process
from shalt.places import Places
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.database import StoreError
from storage.eraser import Eraser
from storage.hour_files import HourFiles
from storage.metrics import RecorderMetrics
from storage.recorder import Recorder
from storage.retention import Policy, Retention
from storage.store import TraceStore
from storage.text_sample import TextSample
from storage.upkeep import Upkeep, UpkeepMetrics

log = logging.getLogger(__name__)

# A batch makes a hundred thousand objects that all go with it. To look for rings among them each
# 700 objects, as Python does, took an eighth of the recorder's time. Only errors make rings.
COLLECT_OBJECTS = 1_000_000


class _DrainTooSlow(Exception):
    """`drain_seconds` are over and the spool is not empty."""


class _Retired(Exception):
    """Another recorder goes on from here, with other settings."""


class _Stop:
    """Whether the process has been told to end; raises once it has taken too long about it."""

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._asked_at: float | None = None
        self._retired = False

    def ask(self, _number: int, _frame: object) -> None:
        self._asked_at = self._asked_at or time.monotonic()

    def retire(self, _number: int, _frame: object) -> None:
        self._retired = True

    def __call__(self) -> bool:
        if self._retired:
            raise _Retired
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
        searchable=settings.search,
    )


def build_upkeep(settings: Settings, store: TraceStore) -> Upkeep:
    """Make what erases and deletes by age in the store and the data directory of the settings."""
    places = Places(settings.data_dir)
    clock = SystemClock()
    policy = Policy(settings.retain_bodies_days, settings.retain_days, settings.drift_terms_days)
    hours = HourFiles(places.rollups)
    return Upkeep(
        Eraser(store, spool=places.spool, poison=places.poison, clock=clock, hours=hours),
        Retention(store, policy, clock=clock, hours=hours),
        UpkeepMetrics(CollectorRegistry()),
    )


def build_recorder(settings: Settings, store: TraceStore, upkeep: Upkeep | None = None) -> Recorder:
    """Make the recorder of the settings. Whoever runs it holds the lock of the data directory."""
    places = Places(settings.data_dir)
    return Recorder(
        places.spool,
        places.poison,
        store,
        RecorderMetrics(CollectorRegistry(), settings.metrics_models),
        group_by=settings.group_by,
        clock=SystemClock(),
        upkeep=upkeep,
        texts=TextSample(store.engine) if settings.drift_terms_days else None,
    )


def record(settings: Settings) -> int:
    """Record from the spool until SIGTERM or SIGINT; return the exit code.

    The caller holds the lock of the data directory.
    """
    stop = _Stop(settings.drain_seconds)
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, stop.ask)
    signal.signal(RETIRE_SIGNAL, stop.retire)
    listen_to_signals()
    gc.set_threshold(COLLECT_OBJECTS)
    store = open_store(settings)
    upkeep = build_upkeep(settings, store)
    recorder = build_recorder(settings, store, upkeep)
    try:
        recorder.run(stop)
    except _Retired:
        return 0
    except _DrainTooSlow:
        log.error("spool not emptied in time, the next start stores the rest")
        return 1
    except StoreError as error:
        log.error("stopped recording, calls wait in the spool error=%s", error)
        return 1
    finally:
        upkeep.close()
    return 0


def record_alone(settings: Settings) -> int:
    """Record without serving: for a spool that was left behind. Raises DataDirError."""
    set_up_process(settings, "recorder")
    places = Places(settings.data_dir)
    places.prepare()
    with places.lock():
        return record(settings)


def retry_poison(settings: Settings) -> tuple[int, int]:
    """Try to store what is in the poison directory; return how many calls were, and were not.

    Raises DataDirError where another shalt runs there, StoreError where there is no store.
    """
    set_up_process(settings, "recorder")
    places = Places(settings.data_dir)
    places.prepare()
    with places.lock(), closing(open_store(settings)) as store:
        return build_recorder(settings, store).retry_poison(lambda: True)


if __name__ == "__main__":
    # The supervisor holds the lock; a Ctrl-C reaches it alone.
    sys.exit(record(receive_orders(int(sys.argv[1]), "recorder").settings))
