"""Hours of traffic as sketches on disk, so that a week is pooled and not read again every hour.

`Rollups.load` gives the window of a range of time. Whole hours of it that are over come from files,
the rest from the store: what began in an hour may be stored until `LATE_HOURS` after it. A file
holds the groups that began in its hour, so what is in a window is exactly what one look at the
store would choose (exporters.loading), with `HOUR_GROUPS_MAX` groups instead of
exporters.windows.WINDOW_GROUPS_MAX.

Everything in the files can be made again, and is when it does not hold any more. At every load
each hour is looked at:

    calls that came late, or are gone    the number of calls in the store is not the file's
    erased calls                         if there was an erasure since the file was last checked,
                                         whether each of its calls can still be seen; so they are
                                         in no window from the moment the erasure was asked for
    terms beyond their age               the hour is older than `terms_days`, and the file has some
    features of another version          the file has some

A file that does not hold is written anew by the next load of its hour; one whose hour is no longer
asked for goes by its age. Scores are read when a window is made, so they may come late. What a
filter says of scores, labels or sides is as it was when the hour was rolled up; so is the group of
a call, and whether it had begun before: a call that is stored later with an earlier time takes no
group out of a file, and one that is erased brings none in. Nor do hosts with stores of their own
know which groups began on another.
After `shalt db rederive`, delete the directory.

The key of a file (storage.hour_files) stands for store, project, filter and versions; `checked`
says up to when erasures are known. What erases and deletes by age deletes files, too, so that
nothing of a call stays where nobody asks for its hour any more.

Limits: files up to `KEPT_HOURS` old, of `BYTES_MAX` together, the oldest hours going first; a disk
that refuses costs time and nothing else. `HOURS_MAX` hours in a window; one that is longer is read
from the store. Several processes may share a directory.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection

from exporters.columns import SCHEMA, window_of_table, without_terms
from exporters.loading import (
    BEGUN_GROUPS_MIN,
    Sketch,
    every_group,
    read_sketch,
    with_stored_scores,
)
from exporters.periods import Between, Matching, range_filter, range_text
from exporters.pooling import Filed, Held, Part, pool, write_sketch
from exporters.windows import WINDOW_GROUPS_MAX, Window, WindowError
from storage.capture import Clock, new_id
from storage.erasure import since
from storage.features import FEATURE_VERSION
from storage.hour_files import HOUR_MICROSECONDS as HOUR
from storage.hour_files import HourFile, list_hour_files, path_of
from storage.measured import count_between, visible_ids
from storage.reader import StoreReader
from storage.rows import microseconds_of, time_of

log = logging.getLogger(__name__)

ROLLUP_VERSION: Final = 2
HOUR_GROUPS_MAX: Final = 20_000  # as an export's sample has: more on one side sharpens little
LATE_HOURS: Final = 2  # the longest call (an hour by default) and what the recorder is behind
KEPT_HOURS: Final = 2 * 168 + 24  # a week, and the one before it that it may be compared with
HOURS_MAX: Final = KEPT_HOURS
BYTES_MAX: Final = 4 << 30
SKEW_SECONDS: Final = 60  # between the clocks of those who erase and who check
assert HOUR_GROUPS_MAX <= WINDOW_GROUPS_MAX

_PARTIAL_SECONDS_MAX: Final = 3_600  # a file that nobody has finished since belongs to nobody


class Rollups:
    """The hours of one project and filter in a directory, which may hold those of others."""

    def __init__(
        self,
        reader: StoreReader,
        directory: Path,
        project: str,
        where: str | None = None,
        *,
        clock: Clock,
        terms_days: float,
    ) -> None:
        self._reader = reader
        self._root = directory
        self._project = project
        self._where = where or ""
        self._clock = clock
        self._terms_us = int(terms_days * 24 * HOUR)
        url = reader.engine.url.render_as_string(hide_password=True)
        named = [url, project, where or "", ROLLUP_VERSION, FEATURE_VERSION, HOUR_GROUPS_MAX]
        key = hashlib.sha256(msgspec.json.encode(named)).hexdigest()[:16]
        self._directory = directory / key

    def load(self, span: Between) -> Window:
        """Return the window of a range of times, whose beginning and end are given.

        Raises what the store raises, FilterError for a filter that is not one, WindowError where
        calls were measured by different versions of the features.
        """
        assert span.start is not None, "a window of rolled-up hours has a beginning"
        assert span.end is not None, "a window of rolled-up hours has an end"
        start, end = microseconds_of(span.start), microseconds_of(span.end)
        now = self._clock.wall_ns() // 1000
        first = -(-start // HOUR)
        last = min(end, now - LATE_HOURS * HOUR) // HOUR  # the first hour not to be rolled up
        with self._reader.reading() as connection:
            if first >= last or last - first > HOURS_MAX:
                sketch = self._read(connection, start, end)
            else:
                parts: list[Part] = [Held(self._read(connection, start, first * HOUR))]
                parts += self._hours(connection, first, last, now)
                parts.append(Held(self._read(connection, last * HOUR, end)))
                sketch = pool(parts, HOUR_GROUPS_MAX)
            if sketch.table.num_rows < BEGUN_GROUPS_MIN:
                every = Matching(range_filter(replace(span, where=self._where)) or "")
                read = read_sketch(connection, self._project, every, HOUR_GROUPS_MAX)
                sketch = every_group(sketch, read)
            table = with_stored_scores(connection, self._project, sketch.table)
        self._tidy(now)
        window = window_of_table(table, range_text(span), sketch.call_count)
        return replace(window, notes=sketch.notes)

    def _hours(self, connection: Connection, first: int, last: int, now: int) -> Iterator[Part]:
        stored = self._list()
        # Asked before the first file is looked at: what is erased from now on, the next load sees.
        oldest = min((each.checked for each in stored.values()), default=now)
        asked = since(connection, oldest - SKEW_SECONDS * 10**6)
        of_project = (each.requested_at for each in asked if each.project == self._project)
        erased = max(of_project, default=0)
        for hour in range(first, last):
            calls = count_between(connection, self._project, hour * HOUR, (hour + 1) * HOUR)
            if calls:
                found = self._still_good(connection, stored.get(hour), calls, erased, now)
                yield found or self._roll_up(connection, hour, calls, now)

    def _still_good(
        self, connection: Connection, stored: HourFile | None, calls: int, erased: int, now: int
    ) -> Filed | None:
        """Return the file of an hour if it holds, marked as checked; else None."""
        if stored is None:
            return None
        try:
            filed = Filed(stored.path)
            is_aged = (stored.hour + 1) * HOUR < now - self._terms_us
            if filed.notes["stored"] != calls or (is_aged and stored.has_terms):
                return None
            if erased < stored.checked - SKEW_SECONDS * 10**6:
                return filed
            ids = filed.call_ids()
            if len(visible_ids(connection, ids)) < len(ids):
                return None
            filed.path = stored.path.rename(
                path_of(self._directory, stored.hour, now, has_terms=stored.has_terms)
            )
        except (OSError, WindowError, KeyError) as error:
            log.info("rolled-up hour passed over path=%s error=%s", stored.path, error)
            return None
        return filed

    def _roll_up(self, connection: Connection, hour: int, calls: int, now: int) -> Part:
        sketch = self._read(connection, hour * HOUR, (hour + 1) * HOUR)
        if (hour + 1) * HOUR < now - self._terms_us:
            sketch = Sketch(without_terms(sketch.table), sketch.call_count)
        versions = sketch.table["feature_version"].unique().to_pylist()
        if versions in ([], [FEATURE_VERSION]) and hour * HOUR >= now - KEPT_HOURS * HOUR:
            has_terms = sketch.table["sample_bits"].null_count < sketch.table.num_rows
            path = path_of(self._directory, hour, now, has_terms=has_terms)
            self._write(path, sketch, calls)
        return Held(sketch)

    def _write(self, path: Path, sketch: Sketch, calls: int) -> None:
        partial = self._directory / f"{new_id(self._clock)}.partial"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_sketch(partial, sketch, {"stored": calls})
            partial.rename(path)
        except OSError as error:
            log.warning("hour not rolled up path=%s error=%s", path, error)
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def _read(self, connection: Connection, start: int, end: int) -> Sketch:
        if start >= end:
            return Sketch(SCHEMA.empty_table(), 0)
        span = Between(time_of(start), time_of(end), self._where)
        return read_sketch(connection, self._project, span, HOUR_GROUPS_MAX)

    def _list(self) -> dict[int, HourFile]:
        """List the files of this key; of two of an hour the one that was checked last."""
        found = sorted(list_hour_files(self._directory), key=lambda each: each.checked)
        return {each.hour: each for each in found}

    def _tidy(self, now: int) -> None:
        """Delete files that are doubled, too old, or beyond BYTES_MAX; those of all keys."""
        newest: dict[tuple[Path, int], HourFile] = {}
        bytes_left = BYTES_MAX
        with contextlib.suppress(OSError):
            every = chain.from_iterable(map(list_hour_files, self._root.iterdir()))
            for each in sorted(every, key=lambda each: (each.hour, each.checked), reverse=True):
                bytes_left -= each.path.stat().st_size
                is_old = (each.hour + KEPT_HOURS) * HOUR < now
                kept = newest.setdefault((each.path.parent, each.hour), each)
                if kept is not each or is_old or bytes_left < 0:
                    each.path.unlink(missing_ok=True)
            for partial in self._root.glob("*/*.partial"):
                if partial.stat().st_mtime < now / 1e6 - _PARTIAL_SECONDS_MAX:
                    partial.unlink(missing_ok=True)
