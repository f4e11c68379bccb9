"""How large the store is, and what of it: tables, indexes, partitions.

Costs a count of the calls. In SQLite it also reads the whole file, whose pages say whose they are;
where SQLite was built without that, tables and indexes are not told apart.
"""

from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import Connection, exc, func, select, text

from storage.database import reading
from storage.reader import StoreReader
from storage.rows import time_of
from storage.schema import body, call, label, score

_OF_SQLITE = text(
    "SELECT dbstat.name, coalesce(kind.type, 'table'), sum(pgsize) FROM dbstat"
    " LEFT JOIN sqlite_master AS kind ON kind.name = dbstat.name GROUP BY 1, 2"
)
# Of a partition, and of its index, the name is that of what it is a part of.
_OF_POSTGRES = text(
    "SELECT coalesce(whole.relname, part.relname),"
    " CASE part.relkind WHEN 'r' THEN 'table' ELSE 'index' END,"
    " sum(CASE part.relkind WHEN 'r' THEN pg_table_size(part.oid)"
    " ELSE pg_relation_size(part.oid) END)::bigint"
    " FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid"
    " LEFT JOIN pg_class AS whole ON whole.oid = inhparent"
    " WHERE part.relkind IN ('r', 'i') AND part.relnamespace ="
    " (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('call')) GROUP BY 1, 2"
)
_PARTITIONS = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_inherits JOIN pg_class ON oid = inhrelid"
    " WHERE inhparent IN (to_regclass('call'), to_regclass('body'), to_regclass('tag'),"
    " to_regclass('text_feature')) ORDER BY relname"
)


class Part(msgspec.Struct, frozen=True):
    """A table with what it keeps out of line, or an index."""

    name: str
    kind: Literal["table", "index"]
    bytes: int


class Sizes(msgspec.Struct, frozen=True):
    """The store at one moment. Parts are the largest first, partitions the oldest first."""

    bytes: int
    calls: int
    bodies: int
    scores: int
    labels: int  # with the verdicts on them
    oldest: datetime | None
    newest: datetime | None
    parts: list[Part]
    partitions: dict[str, int]  # bytes by name, over all tables; of PostgreSQL

    @property
    def bytes_a_call(self) -> float | None:
        """Bytes of the whole store for each call in it; None where there is none."""
        return self.bytes / self.calls if self.calls else None


def measure(store: StoreReader) -> Sizes:
    """Measure the store. Raise what reading raises."""
    with reading(store.engine) as connection:
        is_postgres = connection.dialect.name == "postgresql"
        started_at = call.c.started_at
        calls, oldest, newest = connection.execute(
            select(func.count(), func.min(started_at), func.max(started_at)).select_from(call)
        ).one()
        return Sizes(
            bytes=_total(connection),
            calls=calls,
            bodies=connection.execute(select(func.count()).select_from(body)).scalar_one(),
            scores=connection.execute(select(func.count()).select_from(score)).scalar_one(),
            labels=connection.execute(select(func.count()).select_from(label)).scalar_one(),
            oldest=None if oldest is None else time_of(oldest),
            newest=None if newest is None else time_of(newest),
            parts=_parts(connection, is_postgres),
            partitions=_partitions(connection) if is_postgres else {},
        )


def total_bytes(store: StoreReader) -> int:
    """Say how many bytes the store takes, and nothing else. Costs nothing."""
    with reading(store.engine) as connection:
        return _total(connection)


def _total(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        size = func.pg_database_size(func.current_database())
        return int(connection.execute(select(size)).scalar_one())
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _parts(connection: Connection, is_postgres: bool) -> list[Part]:
    try:
        found = connection.execute(_OF_POSTGRES if is_postgres else _OF_SQLITE)
    except exc.OperationalError as error:
        if "dbstat" not in str(error.orig):
            raise
        return []
    parts = [Part(name, kind, byte_count) for name, kind, byte_count in found]
    return sorted(parts, key=lambda part: (-part.bytes, part.name))


def _partitions(connection: Connection) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, byte_count in connection.execute(_PARTITIONS):
        of_week = name.partition("_")[2]
        sums[of_week] = sums.get(of_week, 0) + byte_count
    return dict(sorted(sums.items(), key=lambda item: (item[0] != "past", item[0])))
