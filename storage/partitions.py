"""The partitions of PostgreSQL: one for each week of call ids, made before they are needed.

An id begins with twelve hexadecimal digits of milliseconds since 1970, so ids sort by time and a
range of them is a range of time. Weeks begin on Thursdays, as 1 January 1970 did. What lies
before FIRST or from LAST on (imported from a clock that was wrong) shares one partition each, so
there are 4,176 at most. A partition is made beside the table and then attached: that waits for
no reader and no writer, and they do not wait for it. Nothing here does anything in SQLite.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, Table, text

from storage import database
from storage.postgres import lock
from storage.schema import body, call, tag, text_feature
from storage.store_errors import RowRejected

PARTITIONED: Final[tuple[Table, ...]] = (call, body, tag, text_feature)
WEEK_MS: Final = 7 * 24 * 3600 * 1000
WEEKS_AHEAD: Final = 4  # made beforehand: a recorder that is not allowed to, fails a month early
FIRST: Final = 2_609  # the week of 2 January 2020
LAST: Final = 6_784  # the week of 7 January 2100

# Of a body this much stays with its row: twice the default is 2 % of the whole store less, and one
# look-up less to read it. What is compressed already is not compressed again.
INLINE_BYTES_MAX: Final = 4_080

# Indexes that only grow at their end leave no room in their pages: 1 % of the whole store.
_ASCENDING: Final = {
    "call": ("pkey", "project_id_idx"),
    "body": ("pkey",),
    "tag": ("pkey",),
    "text_feature": ("pkey",),
}
_TIME = re.compile(r"[0-9a-f]{12}(?=[0-9a-f]{20}\Z)")


class Partition(NamedTuple):
    """A range of ids. None stands for no end; `name` is what follows that of the table."""

    name: str
    start: str | None
    end: str | None


class Partitions:
    """What partitions there are, as far as this process has seen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: set[Partition] = set()

    def prepare(self, call_ids: Iterable[str], now_ns: int) -> None:
        """Make sure that these calls have partitions, and those of the weeks to come.

        Raise RowRejected for an id that is none, StoreUnavailable where trying again may help.
        Call it outside of any transaction.
        """
        if self._engine.dialect.name != "postgresql":
            return
        this_week = now_ns // 1_000_000 // WEEK_MS
        wanted = {_of_week(this_week + ahead) for ahead in range(WEEKS_AHEAD + 1)}
        wanted |= {partition_of(call_id) for call_id in call_ids}
        if missing := wanted - self._known:
            with database.writing(self._engine) as connection:
                create(connection, missing)
            self._known |= missing

    def forget(self) -> None:
        """Look again next time: somebody may have dropped one."""
        self._known.clear()


def create(connection: Connection, partitions: Iterable[Partition]) -> None:
    """Create those of the partitions that are not there, of all tables."""
    lock(connection, "partitions")
    existing = set(
        connection.scalars(
            text(
                "SELECT child.relname FROM pg_inherits JOIN pg_class AS child"
                " ON child.oid = inhrelid WHERE inhparent = to_regclass('call')"
            )
        )
    )
    for partition in sorted(partitions):
        if f"call_{partition.name}" not in existing:
            for table in PARTITIONED:
                _create_one(connection, table.name, partition)


def partition_of(call_id: str) -> Partition:
    """Say where a call is. Raise RowRejected for an id that is none."""
    return _of_week(_milliseconds(call_id) // WEEK_MS)


def _create_one(connection: Connection, table: str, partition: Partition) -> None:
    name = f"{table}_{partition.name}"
    start = f"'{partition.start:0<32}'" if partition.start else "MINVALUE"
    end = f"'{partition.end:0<32}'" if partition.end else "MAXVALUE"
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    for index in _ASCENDING[table]:
        connection.exec_driver_sql(f"ALTER INDEX {name}_{index} SET (fillfactor = 100)")
    if table == body.name:
        connection.exec_driver_sql(
            f"ALTER TABLE {name} ALTER capture SET STORAGE EXTERNAL,"
            f" SET (toast_tuple_target = {INLINE_BYTES_MAX})"
        )
    connection.exec_driver_sql(
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
    )


def _of_week(week: int) -> Partition:
    if week < FIRST:
        return Partition("past", None, _bound(FIRST))
    if week >= LAST:
        return Partition("future", _bound(LAST), None)
    thursday = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(weeks=week)
    return Partition(f"{thursday:%Y_%m_%d}", _bound(week), _bound(week + 1))


def _bound(week: int) -> str:
    return f"{week * WEEK_MS:012x}"


def _milliseconds(call_id: str) -> int:
    found = _TIME.match(call_id)
    if found is None:
        raise RowRejected("a call cannot be stored: its id is not 32 hexadecimal digits")
    return int(found[0], 16)
