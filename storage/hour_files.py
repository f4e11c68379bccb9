"""Files that were made of the calls of an hour: in their names stands which, so that they can go.

    <directory>/<key>/<hour>-<checked>.parquet         the hour is counted from 1970, UTC
    <directory>/<key>/<hour>-<checked>.terms.parquet   holds hashed words, too

Whoever writes them (exporters.rollups) makes them again from the store where they are missing, so
deleting one too many does no harm. They go before a call of their hour does (storage.eraser), and
by their age (storage.retention). `checked`, in microseconds since 1970, is the writer's business.

A file that is being written while a call of its hour is erased is found out by its next reader.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from storage.id_range import CLOCK_MILLISECONDS, IdRange

HOUR_MICROSECONDS: Final = 3_600_000_000

_HOUR_MILLISECONDS: Final = HOUR_MICROSECONDS // 1000
_NAME: Final = re.compile(r"([0-9]+)-([0-9]+)(\.terms)?\.parquet")


class HourFile(NamedTuple):
    """A file, as its name describes it."""

    path: Path
    hour: int
    checked: int
    has_terms: bool


def path_of(directory: Path, hour: int, checked: int, *, has_terms: bool) -> Path:
    """Name the file of an hour in the directory of its key."""
    return directory / f"{hour}-{checked}{'.terms' if has_terms else ''}.parquet"


def list_hour_files(directory: Path) -> Iterator[HourFile]:
    """List the files of one key; none where there is no such directory."""
    if directory.is_dir():
        for path in directory.iterdir():
            if found := _NAME.fullmatch(path.name):
                yield HourFile(path, int(found[1]), int(found[2]), found[3] is not None)


class HourFiles:
    """The files of all keys in a directory. Raises OSError where one cannot be deleted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def forget_calls(self, call_ids: Sequence[str]) -> None:
        """Delete the files of hours in which some calls may have begun: all for an odd id."""
        hours: set[tuple[int, int]] = set()
        for call_id in call_ids:
            first, last = IdRange(call_id, call_id).milliseconds()
            begun = (first - CLOCK_MILLISECONDS) // _HOUR_MILLISECONDS
            hours.add((begun, (last + CLOCK_MILLISECONDS) // _HOUR_MILLISECONDS))
        for each in self._list():
            if any(first <= each.hour <= last for first, last in hours):
                each.path.unlink(missing_ok=True)

    def forget_older(self, before_us: int) -> None:
        """Delete the files of hours that began before a time."""
        for each in self._list():
            if each.hour * HOUR_MICROSECONDS < before_us:
                each.path.unlink(missing_ok=True)

    def forget_terms(self, before_us: int) -> None:
        """Delete the files of such hours that hold terms."""
        for each in self._list():
            if each.has_terms and each.hour * HOUR_MICROSECONDS < before_us:
                each.path.unlink(missing_ok=True)

    def _list(self) -> Iterator[HourFile]:
        if self._directory.is_dir():
            for directory in list(self._directory.iterdir()):
                yield from list_hour_files(directory)
