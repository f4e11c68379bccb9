"""Whether the store is whole: what it holds refers to what is there, and every body can be read.

In SQLite the file's own checks come first (`full`: every index entry is looked up as well). In
PostgreSQL, where no foreign key leads into a partitioned table, rows are looked for whose call is
not there; in both, scores and labels that had found theirs, and labels that are no message. Bodies
are decoded, SAMPLE of them chosen at random, or all. It reads, and mends nothing.

Cost: it scans every table but those of bodies; `full` decodes some 10,000 bodies a second.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Table, func, select

from storage import database
from storage.bodies import BodyReader
from storage.labels import decode_message
from storage.reader import StoreReader
from storage.schema import (
    body,
    body_part,
    call,
    dataset,
    dataset_item,
    erased_call,
    erasure,
    label,
    part,
    score,
    tag,
)

SAMPLE: Final = 1_000
PAGE_IDS: Final = 200  # bodies decoded at a time
SHOWN_MAX: Final = 20  # ids and complaints that are named of each kind

# Column by column, what must be there for a row to make sense.
_REFERENCES: Final[tuple[tuple[Table, str, Table, str], ...]] = (
    (body, "call_id", call, "id"),
    (tag, "call_id", call, "id"),
    (body_part, "call_id", body, "call_id"),
    (body_part, "hash", part, "hash"),
    (dataset_item, "dataset_id", dataset, "id"),
    (erased_call, "erasure_id", erasure, "id"),
)
# The same where no foreign key says so in SQLite either.
_BASES: Final = (body, "base_id", body, "call_id")


class Findings(msgspec.Struct, frozen=True):
    """What is wrong with a store, a sentence each; and how many bodies were decoded."""

    faults: list[str]
    bodies_read: int


def examine(
    store: StoreReader, *, full: bool = False, progress: Callable[[int], None] = lambda _count: None
) -> Findings:
    """Look for what is wrong. `progress` is told how many bodies have been decoded.

    Raise StoreNotReady or StoreTooNew where the tables are not this code's.
    """
    database.check(store.engine)
    with database.reading(store.engine) as connection:
        if connection.dialect.name == "sqlite":
            faults = list(_of_the_file(connection, full))
        else:
            faults = [
                each for reference in _REFERENCES for each in _orphans(connection, *reference)
            ]
        faults += [*_orphans(connection, *_BASES), *_strays(connection)]
        faults += _unreadable_labels(connection)
        faults = faults[:SHOWN_MAX]
        unreadable: list[str] = []
        count = 0
        for ids in _all_ids(connection) if full else [_some_ids(connection)]:
            for start in range(0, len(ids), PAGE_IDS):
                page = ids[start : start + PAGE_IDS]
                unreadable += _unreadable(connection, page)
                count += len(page)
                progress(count)
    if len(unreadable) > SHOWN_MAX:
        faults.append(f"{len(unreadable):,} bodies cannot be read; the first of them:")
    return Findings([*faults, *unreadable[:SHOWN_MAX]], count)


def _of_the_file(connection: Connection, full: bool) -> Iterator[str]:
    name = "integrity_check" if full else "quick_check"
    for (complaint,) in connection.exec_driver_sql(f"PRAGMA {name}({SHOWN_MAX})"):
        if complaint != "ok":
            yield f"{name}: {complaint}"
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"{table}: row {row} refers to a row of {parent} that is not there"


def _orphans(
    connection: Connection, table: Table, column: str, parent: Table, key: str
) -> Iterator[str]:
    """Name rows that refer to what is not there. Scans both tables."""
    known = parent.alias()  # it may be the same table
    there = select(known.c[key]).where(known.c[key] == table.c[column])
    query = select(table.c[column], func.count())
    query = query.where(table.c[column].is_not(None), ~there.exists())
    query = query.group_by(table.c[column]).order_by(table.c[column]).limit(SHOWN_MAX)
    for value, count in connection.execute(query):
        yield f"{table.name}: {count} rows of {column} {value}, which {parent.name} does not have"


def _strays(connection: Connection) -> Iterator[str]:
    """Name what was said of calls that were here once, and are not. Scans scores and labels."""
    for table in (score, label):
        there = select(call.c.id).where(call.c.id == table.c.call_id)
        joined = table.c.joined_at.is_not(None)
        query = select(table.c.id, table.c.call_id).where(joined, ~there.exists())
        for said_id, call_id in connection.execute(query.order_by(table.c.id).limit(SHOWN_MAX)):
            yield f"{table.name} {said_id} is of call {call_id}, which call does not have"


def _unreadable_labels(connection: Connection) -> Iterator[str]:
    """Decode the messages of all labels. Scans them."""
    query = select(label.c.id, label.c.message).where(label.c.label_id == "")
    for label_id, message in connection.execute(query, execution_options={"yield_per": PAGE_IDS}):
        try:
            decode_message(message)
        except msgspec.DecodeError as error:
            yield f"label {label_id} is no message: {error}"


def _some_ids(connection: Connection) -> list[str]:
    """Choose ids of bodies at random: the one that follows a point in the range of ids."""
    ids = select(body.c.call_id).order_by(body.c.call_id).limit(1)
    first = connection.scalar(ids)
    last = connection.scalar(ids.order_by(None).order_by(body.c.call_id.desc()))
    if first is None or last is None:
        return []
    total = connection.execute(select(func.count()).select_from(body)).scalar_one()
    if total <= SAMPLE:
        return list(connection.scalars(select(body.c.call_id).order_by(body.c.call_id)))
    points = (random.randint(int(first, 16), int(last, 16)) for _ in range(SAMPLE))
    found = (connection.scalar(ids.where(body.c.call_id >= f"{point:032x}")) for point in points)
    return sorted({call_id for call_id in found if call_id is not None})


def _all_ids(connection: Connection) -> Iterator[list[str]]:
    """Yield the ids of all bodies, in pages. Primary key."""
    query = select(body.c.call_id).order_by(body.c.call_id).limit(10 * PAGE_IDS)
    ids = list(connection.scalars(query))
    while ids:
        yield ids
        ids = list(connection.scalars(query.where(body.c.call_id > ids[-1])))


def _unreadable(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Decode bodies; say which cannot be, and why."""
    problem = "it is not found"
    try:
        if {call_id for call_id, _ in BodyReader(connection).captures(ids)} == set(ids):
            return []
    except Exception as error:  # noqa: BLE001  damaged bytes fail in as many ways as there are codecs
        problem = f"{type(error).__name__}: {error}"
    if len(ids) > 1:
        return [fault for call_id in ids for fault in _unreadable(connection, [call_id])]
    return [f"body of call {ids[0]} cannot be read: {problem}"]
