"""An evaluation as a process of its own: `python -m shalt.monitor_job`.

Its orders are one line of JSON on standard input, which stays open as long as it is wanted: when
that ends, the process ends. What it found is one JSON object on standard output. It gives way to
everything else on the machine, computes on one core, and may have MEMORY_BYTES_MAX:
what a window needs beyond that is a failure of that window, and whatever it does dies with it.
"""

import os
import resource
import sys
import threading
from contextlib import closing
from typing import Final

import msgspec

from shalt.child import set_up_process
from shalt.evaluating import Evaluation
from shalt.monitor_runs import MonitorOrders, give_way
from shalt.monitor_state import Evaluated
from shalt.monitors import Monitor
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import SystemClock

# Two windows of 100,000 groups with their terms take 0.5 GB (exporters.windows).
MEMORY_BYTES_MAX: Final = 2 * 2**30


def main() -> None:
    """Do what the orders say; exit 0 whatever becomes of it, for the result says that."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=MonitorOrders)
    give_way()
    # Of data alone: libraries map more address space than they ever use.
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    settings = Settings.model_validate_json(orders.settings)
    set_up_process(settings, "monitor")
    threading.Thread(target=_end_with_who_asked, daemon=True).start()
    sys.stdout.buffer.write(msgspec.json.encode(_run(settings, orders)))


def _run(settings: Settings, orders: MonitorOrders) -> Evaluated:
    monitor = Monitor.model_validate_json(orders.monitor)
    with closing(open_store(settings)) as store:
        evaluation = Evaluation(settings, store, orders.name, monitor, SystemClock())
        return evaluation.run(orders.windows, orders.watched)


def _end_with_who_asked() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by its buffer, whose lock would outlive us
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
