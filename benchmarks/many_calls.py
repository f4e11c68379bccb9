"""Make a store of many calls out of one of few: the same calls again, moved on in time.

    python -m benchmarks.many_calls sqlite:////path/to/calls.sqlite --times 20

Recording a million calls takes ten minutes of a core, copying 50,000 of them twenty times two. Copy
K of a call starts K/times of the distance of two calls later, so that they mix; its id, its bases,
its session, group and upstream's id are its own, its user, tags and bytes are not. Every table that
says something of calls is copied with its indexes, in PostgreSQL the index of words, too.
Calls that were erased, scores and labels are not: copy before there are any.
"""

import argparse
import sqlite3
import time
from typing import Final

from sqlalchemy import Column, Connection, Table, func, select

from storage import database, search
from storage.partitions import WEEK_MS, Partitions
from storage.schema import (
    body,
    body_part,
    call,
    reservation,
    tag,
    text_feature,
)

# What is referred to comes first.
TABLES: Final = (reservation, call, body, body_part, tag, text_feature)
IDS: Final = frozenset({"id", "call_id", "base_id", "regenerated_from", "edited_from"})
NAMES: Final = frozenset({"session_id", "provider_id", "previous_id", "linked_to"})
MOVED_IN_POSTGRESQL: Final = """
CREATE OR REPLACE FUNCTION pg_temp.moved(id text, by_ms bigint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN id = '' THEN id ELSE
lpad(to_hex(('x' || substr(id, 1, 12))::bit(48)::bigint + by_ms), 12, '0') || substr(id, 13) END $$
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", help="SQLAlchemy URL")
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    multiply(given.store, given.times)


def multiply(url: str, times: int) -> None:
    """Copy the calls of a store so often that it has `times` as many. Prints how far it is."""
    engine = database.open_engine(url)
    with database.reading(engine) as connection:
        ids = func.min(call.c.id), func.max(call.c.id), func.count()
        first, last, count = connection.execute(select(*ids)).one()
    step_ms = max((int(last[:12], 16) - int(first[:12], 16)) // (count * times), 1)
    Partitions(engine).prepare([first, _moved(last, step_ms * times)], time.time_ns())
    with database.writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE original AS SELECT id, group_id FROM call")
        connection.exec_driver_sql("CREATE UNIQUE INDEX ix_original ON original (id)")
    for number in range(1, times):
        with database.writing(engine) as connection:
            moved = _function(connection)
            for table in TABLES:
                _copy(connection, table, moved, number, number * step_ms)
            if connection.dialect.name == "postgresql" and search.exists(connection):
                _copy_words(connection, moved, number * step_ms)
        print(f"\r{count * (number + 1):,} calls", end="", flush=True)
    with database.writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE original")
    print()
    engine.dispose()


def _copy(connection: Connection, table: Table, moved: str, number: int, by_ms: int) -> None:
    """Copy the rows that a table has of the original calls."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(_value(column, moved, number, by_ms) for column in table.columns)
    key, known = "call_id", "id"
    if table is call:
        key = "id"
    elif table is reservation:
        key = known = "group_id"
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {table.name}"  # noqa: S608  names of the schema
        f" WHERE {key} IN (SELECT {known} FROM original)"
    )


def _value(column: Column[object], moved: str, number: int, by_ms: int) -> str:
    """Say in SQL what a column holds in a copy."""
    name = f'"{column.name}"'
    if column.name in IDS:
        return f"{moved}({name}, {by_ms})"
    if column.name in NAMES:
        return f"CASE WHEN {name} = '' THEN '' ELSE {name} || '-{number}' END"
    if column.name == "started_at":
        return f"{name} + {by_ms * 1000}"
    if column.name == "group_id":  # a hash stays as long as it is
        return (
            f"CASE WHEN length({name}) = 64 THEN substr({name}, 1, 60) || '-{number:03x}'"
            f" ELSE {name} || '-{number}' END"
        )
    return name


def _copy_words(connection: Connection, moved: str, by_ms: int) -> None:
    """Copy what the index of words has of the original calls, unless it would be another week's."""
    for week in connection.exec_driver_sql("SELECT number FROM search_week").scalars().all():
        connection.exec_driver_sql(
            f"INSERT INTO search_{week} SELECT {moved}(call_id, {by_ms}), project, words"  # noqa: S608  numbers
            f" FROM search_{week} WHERE call_id IN (SELECT id FROM original)"
            f" AND {moved}(call_id, {by_ms}) < '{(week + 1) * WEEK_MS:012x}'"
        )


def _function(connection: Connection) -> str:
    """Teach the database to move an id on; return what the function is called."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(MOVED_IN_POSTGRESQL)
        return "pg_temp.moved"
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.create_function("moved", 2, _moved, deterministic=True)
    return "moved"


def _moved(id: str, by_ms: int) -> str:
    return id and f"{int(id[:12], 16) + by_ms:012x}{id[12:]}"


if __name__ == "__main__":
    main()
