"""A new configuration without dropping a call: new workers in place of old ones, one by one.

A new worker listens on the port that is shared before an old one stops accepting, so that nobody
who connects waits. What the old one has open may go on for `reload_seconds` (shalt.worker_server).
If the first new worker does not come up within READY_SECONDS_MAX, all stays as it was.

What became of it stands in `metrics/reload.json`, where `shalt reload` and Prometheus read it.
"""

import logging
import os
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from shalt.children import Child
from shalt.settings import Settings

log = logging.getLogger(__name__)

READY_SECONDS_MAX: Final = 60.0
# What is bound, locked or laid out at the start.
FIXED: Final = ("host", "port", "data_dir", "store", "workers")


class NotReloadable(Exception):
    """The new configuration changes what a running shalt cannot change."""


class Reloads(msgspec.Struct):
    """The file: who to ask, what has become of it so far. `problem`: of the last one refused."""

    process_id: int
    taken_count: int = 0
    refused_count: int = 0
    problem: str = ""

    def write(self, path: Path) -> None:
        """Write the file anew, in one rename."""
        aside = path.with_suffix(".new")
        try:
            aside.write_bytes(msgspec.json.encode(self))
            aside.rename(path)
        except OSError as error:  # a full disk must not end what relays calls
            log.warning("reload could not be noted error=%s", error)


def read_reloads(path: Path) -> Reloads | None:
    """Read the file; None where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Reloads)
    except (OSError, msgspec.DecodeError):
        return None


def refuse_fixed(old: Settings, new: Settings) -> None:
    """Raise NotReloadable where a setting differs that wants a restart."""
    for name in FIXED:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Path):
            before, after = os.path.abspath(before), os.path.abspath(after)
        if before != after:
            raise NotReloadable(f"{name} cannot change while shalt runs: restart it")


class Progress(Enum):
    """How far a replacement is."""

    GOING_ON = "going on"
    DONE = "done"
    FAILED = "failed"


class Replacement:
    """New workers that take the place of old ones. `retired`: the old ones that were told so."""

    def __init__(self, old: Sequence[Child], new: Sequence[Child]) -> None:
        self.new = new
        self.retired: list[Child] = []
        self._old = old
        self._started_at: float | None = None

    def step(self) -> Progress:
        """Do what can be done now, without waiting."""
        if len(self.retired) == len(self.new):
            return Progress.DONE
        child = self.new[len(self.retired)]
        if self._started_at is None:
            self._started_at = time.monotonic()
            child.start()
        elif child.is_ready():
            old = self._old[len(self.retired)]
            old.retire()
            self.retired.append(old)
            self._started_at = None
        elif child.has_ended() or time.monotonic() > self._started_at + READY_SECONDS_MAX:
            if not self.retired:
                return Progress.FAILED
            child.look_after()  # the same configuration has served in another worker
        return Progress.GOING_ON
