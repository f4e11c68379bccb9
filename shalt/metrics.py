"""The supervisor and its limits for Prometheus, and the files in which its children count."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shalt.settings import Settings

log = logging.getLogger(__name__)

FILE_BYTES: Final = 2**20  # some 6,000 values of one kind: labels are from closed lists
_USED_BYTES: Final = 4  # a number at the beginning of each file: how much of it is in use
_KINDS: Final = ("counter", "histogram", "gauge_mostrecent")


def reserve_metric_files(directory: Path) -> None:
    """Take the room for this process's counters, before it makes the first.

    The library maps files with holes in them, and a hole that cannot be filled because the disk is
    full kills the process. Where there is no room the process counts in memory, for itself alone.
    A file has its name only when it has its room: who reads all files could not read an empty one.
    """
    paths = [directory / f"{kind}_{os.getpid()}.db" for kind in _KINDS]
    empty = [path.with_suffix(".new") for path in paths]
    try:
        for path in empty:
            with open(path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        for path, reserved in zip(paths, empty, strict=True):
            os.replace(reserved, path)
    except OSError as error:
        values.ValueClass = values.MutexValue
        for path in (*paths, *empty):
            path.unlink(missing_ok=True)
        log.warning("no room for metrics, they are not shown until a restart error=%s", error)


def trim_metric_files(directory: Path, process_id: int) -> None:
    """Give back the room that a process which has ended did not use; what it counted stays."""
    for kind in _KINDS:
        try:
            with open(directory / f"{kind}_{process_id}.db", "r+b") as file:
                used = int.from_bytes(file.read(_USED_BYTES), sys.byteorder)
                file.truncate(max(used, 2 * _USED_BYTES))
        except OSError:
            continue  # it had none, or they are away


class RestartCollector(Collector):
    """Reads what the supervisor writes at every restart: JSON, kind of process to count."""

    def __init__(self, restarts: Path) -> None:
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Read the file now."""
        family = CounterMetricFamily(
            "shalt_supervisor_restarts",
            "Child processes started again after they had died.",
            labels=["process"],
        )
        try:
            counts = json.loads(self._restarts.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            counts = {}  # the disk did not take it
        for process, count in counts.items():
            family.add_metric([process], count)
        yield family


class LimitCollector(Collector):
    """Shows limits of the settings, so that an alert can tell how near they are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Show them."""
        yield GaugeMetricFamily(
            "shalt_spool_limit_bytes",
            "Bytes that may wait in the spool: the setting spool_bytes_max.",
            int(self._settings.spool_bytes_max),
        )
