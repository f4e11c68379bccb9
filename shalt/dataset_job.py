"""An export as a process of its own, for who asks over HTTP: `python -m shalt.dataset_job`.

Its orders are one line of JSON on standard input, which stays open as long as it is wanted: when
that ends, the export ends as by Ctrl-C and leaves nothing. What it says goes to standard output, a
line of JSON each time: how far it is, at most some times a second, and at last how it ended.
"""

import os
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from exporters.dataset import Stage, export
from exporters.guard import GuardError
from exporters.planning import BiasError
from exporters.request import ExportError, ExportRequest
from exporters.staging import StagingError
from shalt.child import set_up_process
from shalt.dataset_jobs import JobOrders, JobReport
from shalt.recording import open_store
from shalt.settings import Settings
from storage.filter_syntax import FilterError
from storage.store_errors import StoreError

SAID_SECONDS: Final = 0.25  # between two lines that say how far it is
_REFUSALS: Final = (ExportError, BiasError, GuardError, StagingError, FilterError, StoreError)


def main() -> None:
    """Do what the orders say; exit 0 whatever becomes of it, for the last line says that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=JobOrders)
    request = msgspec.convert(orders.request, ExportRequest)
    settings = Settings.model_validate_json(orders.settings)
    set_up_process(settings, "export")
    threading.Thread(target=_end_with_who_asked, daemon=True).start()
    _say(_run(settings, request, Path(orders.directory)))


def _run(settings: Settings, request: ExportRequest, directory: Path) -> JobReport:
    said = 0.0

    def tell(stage: Stage, done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= SAID_SECONDS or done == total:
            said = now
            _say(JobReport(stage.value, done, total))

    try:
        with closing(open_store(settings)) as store:
            export(store, request, directory, progress=tell)
    except _REFUSALS as error:
        return JobReport(ended=True, error=str(error))
    except OSError as error:
        return JobReport(ended=True, error=f"the dataset cannot be written: {error.strerror}")
    return JobReport(ended=True)


def _say(report: JobReport) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_who_asked() -> None:
    # Not by sys.stdin, whose lock the interpreter would wait for at its end, and abort.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
