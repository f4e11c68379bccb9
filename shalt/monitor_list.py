"""The drift monitors there are: those of the settings, and those that were asked for over HTTP.

The second kind lies in a file of its own in the data directory, `monitors.json`, which only the
console writes, whole or not at all. Others read it again when it has changed, so that a monitor
begins, and ends, without a restart. A name of the settings wins over one of the file.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from shalt.monitors import MONITORS_MAX, Monitor, check_name
from shalt.settings import Settings

LIST_VERSION: Final = 1


class MonitorsUnreadable(Exception):
    """The file of monitors cannot be read, or written; the message says which and why."""


class MonitorRefused(Exception):
    """A monitor cannot be added or removed; the message says why."""


class Asked(NamedTuple):
    """A monitor, and who asked for it. Its project is filled in."""

    monitor: Monitor
    source: Literal["settings", "api"]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Literal[1] = LIST_VERSION
    monitors: dict[str, Monitor] = {}


class MonitorList:
    """Knows the monitors. Threads may share one; of all processes one alone adds and removes."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings = settings
        self._path = path
        self._lock = threading.Lock()
        self._signature: tuple[int, int, int] | None = None
        self._of_file: dict[str, Monitor] = {}

    def all(self) -> dict[str, Asked]:
        """List the monitors by name; raise MonitorsUnreadable. One `stat`, if nothing changed."""
        with self._lock:
            of_file = self._read()
        found = {name: Asked(self._placed(each), "api") for name, each in of_file.items()}
        for name, each in self._settings.monitors.items():
            found[name] = Asked(self._placed(each), "settings")
        return dict(sorted(found.items()))

    def of_settings(self) -> dict[str, Asked]:
        """List those of the settings alone, for who cannot read the file."""
        named = sorted(self._settings.monitors.items())
        return {name: Asked(self._placed(each), "settings") for name, each in named}

    def add(self, name: str, monitor: Monitor) -> None:
        """Add a monitor for good. Raise MonitorRefused, ValueError for a name that is none."""
        check_name(name)
        with self._lock:
            of_file = self._read()
            if name in of_file or name in self._settings.monitors:
                raise MonitorRefused(f"there is a monitor {name!r}: remove it first")
            if len(of_file.keys() | self._settings.monitors.keys()) >= MONITORS_MAX:
                raise MonitorRefused(f"there are {MONITORS_MAX} monitors: remove one first")
            self._write({**of_file, name: monitor})

    def remove(self, name: str) -> bool:
        """Remove a monitor; tell whether there was one. Raise MonitorRefused."""
        with self._lock:
            of_file = self._read()
            if name in of_file:
                self._write({other: each for other, each in of_file.items() if other != name})
                return True
        if name in self._settings.monitors:
            raise MonitorRefused(f"monitor {name!r} stands in the settings: remove it there")
        return False

    def _placed(self, monitor: Monitor) -> Monitor:
        return monitor.model_copy(update={"project": monitor.project or self._settings.project})

    def _read(self) -> Mapping[str, Monitor]:
        try:
            found = self._path.stat()
            signature = (found.st_ino, found.st_mtime_ns, found.st_size)
            if signature != self._signature:
                file = _File.model_validate_json(self._path.read_bytes())
                for name in file.monitors:
                    check_name(name)
                if len(file.monitors) > MONITORS_MAX:
                    raise ValueError(f"it has more than {MONITORS_MAX} monitors")
                self._signature, self._of_file = signature, file.monitors
        except FileNotFoundError:
            self._signature, self._of_file = None, {}
        except OSError as error:
            raise MonitorsUnreadable(f"{self._path}: {error.strerror}") from error
        except ValidationError as error:
            said = "; ".join(
                " ".join([*map(str, each["loc"]), each["msg"]])
                for each in error.errors(include_url=False, include_input=False)
            )
            raise self._no_list(said) from error
        except ValueError as error:
            raise self._no_list(str(error)) from error
        return self._of_file

    def _no_list(self, why: str) -> MonitorsUnreadable:
        problem = f"{self._path} is no list of monitors: {why}; mend it, or delete it"
        return MonitorsUnreadable(problem)

    def _write(self, monitors: dict[str, Monitor]) -> None:
        try:
            write_whole(self._path, _File(monitors=monitors).model_dump_json(indent=1).encode())
        except OSError as error:
            raise MonitorsUnreadable(f"{self._path}: {error.strerror}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file so that whoever reads it, or starts after a crash, finds old or new whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
