"""What an erasure would take, asking for it, and the receipt of it.

A receipt is read from the rows that the erasure leaves: itself, the ids it has taken, and the
datasets that were published with them. So it can be read again at any time and is always of now.
It tells ids, never what was said; of a person only the fingerprint (storage.erasure).
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, func, select

from storage import database, erasure
from storage.capture import Clock, new_id
from storage.erasure import IDS_MAX, Erasure, Kind, Selection
from storage.reader import StoreReader
from storage.rows import time_of
from storage.schema import call, dataset, dataset_item, erased_call
from storage.schema import erasure as erasure_table
from storage.scrub import OUT_OF_REACH


class NothingToErase(Exception):
    """No call in the store is meant by a selection, or not all that it names are there."""


class AlreadyErased(NothingToErase):
    """The calls it names have been erased before; the message says when."""


class TooManyIds(Exception):
    """More ids than one request may name."""


class Holding(msgspec.Struct, frozen=True):
    """A published dataset and how many of the calls left in it."""

    id: str
    directory: str
    created_at: datetime
    calls: int


class Preview(msgspec.Struct, frozen=True):
    """What an erasure would take."""

    calls: int
    first: datetime | None
    last: datetime | None
    datasets: Sequence[Holding]


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure has taken so far, from where, and what it cannot reach.

    `calls` are counted as they go; `hidden_at` is when nobody could see them any more,
    `deleted_at` when the last row had gone, `scrubbed_at` when the last byte had.
    """

    id: str
    project: str
    selector: Selection
    reason: str
    hidden_at: datetime
    deleted_at: datetime | None
    scrubbed_at: datetime | None
    calls: int
    datasets: Sequence[Holding]
    out_of_reach: Sequence[str] = OUT_OF_REACH


def preview(store: StoreReader, project: str, selection: Selection, *, clock: Clock) -> Preview:
    """Say what would go. Scans the project's calls, but for ids and sessions.

    Raise NothingToErase where that is none, or an id is not known; FilterError for a bad filter.
    """
    if len(selection.ids) > IDS_MAX:
        raise TooManyIds(f"{len(selection.ids)} ids: name {IDS_MAX} at most at a time")
    wanted = Erasure("", project, selection, "", clock.wall_ns() // 1000, 0, None, None)
    with database.reading(store.engine) as connection:
        matching = (erasure.condition_of(wanted), *erasure.visible(connection))
        columns = (func.count(), func.min(call.c.started_at), func.max(call.c.started_at))
        count, first, last = connection.execute(select(*columns).where(*matching)).one()
        _refuse_unknown(connection, wanted, count)
        holding = _holding(connection, call.c.id, matching)
    return Preview(count, _time(first), _time(last), holding)


def request(
    store: StoreReader, project: str, selection: Selection, *, reason: str, clock: Clock
) -> Receipt:
    """Ask for an erasure: once this returns, nobody sees the calls. Return the receipt so far."""
    erasure_id = new_id(clock)
    with database.writing(store.engine) as connection:
        now_us = clock.wall_ns() // 1000
        erasure.add(connection, erasure_id, project, selection, reason=reason, now_us=now_us)
    made = receipt(store, erasure_id)
    assert made is not None
    return made


def receipt(store: StoreReader, erasure_id: str, project: str | None = None) -> Receipt | None:
    """Read the receipt of an erasure, None where there is none (in this project).

    Scans the ids that were ever erased.
    """
    with database.reading(store.engine) as connection:
        found = erasure.find(connection, erasure_id)
        if found is None or project not in (None, found.project):
            return None
        erased = (erased_call.c.erasure_id == erasure_id,)
        holding = _holding(connection, erased_call.c.call_id, erased)
    return Receipt(
        id=found.id,
        project=found.project,
        selector=found.selection,
        reason=found.reason,
        hidden_at=time_of(found.requested_at),
        deleted_at=_time(found.deleted_at),
        scrubbed_at=_time(found.scrubbed_at),
        calls=found.call_count,
        datasets=holding,
    )


def project_of(store: StoreReader, call_id: str) -> str | None:
    """Say to which project a call belongs or belonged, None where no such call is known."""
    with database.reading(store.engine) as connection:
        found = connection.scalar(select(call.c.project).where(call.c.id == call_id))
        if found is None:
            erased = select(erasure_table.c.project).join(
                erased_call, erased_call.c.erasure_id == erasure_table.c.id
            )
            found = connection.scalar(erased.where(erased_call.c.call_id == call_id))
    return found


def _refuse_unknown(connection: Connection, wanted: Erasure, count: int) -> None:
    """Never say that something was erased which was not there."""
    selection = wanted.selection
    if selection.kind is not Kind.ID:
        if not count:
            raise NothingToErase(
                f"no call in the store of project {wanted.project} is meant: nothing was erased; "
                "a call that has just ended needs a moment to be stored"
            )
        return
    here = select(call.c.id).where(erasure.condition_of(wanted), *erasure.visible(connection))
    missing = sorted(set(selection.ids) - set(connection.scalars(here)))
    if not missing:
        return
    known = select(erased_call.c.call_id, erased_call.c.erasure_id)
    erased = {
        call_id: erasure_id
        for call_id, erasure_id in connection.execute(
            known.where(erased_call.c.call_id.in_(missing))
        )
    }
    for pending in erasure.unfinished(connection):
        hidden = select(call.c.id).where(call.c.id.in_(missing), erasure.condition_of(pending))
        erased |= dict.fromkeys(connection.scalars(hidden), pending.id)
    if unknown := [call_id for call_id in missing if call_id not in erased]:
        raise NothingToErase(
            f"there is no call {unknown[0]} in project {wanted.project}: nothing was erased; "
            "a call that has just ended needs a moment to be stored"
        )
    raise AlreadyErased(
        f"call {missing[0]} has been erased already: `shalt erase --receipt {erased[missing[0]]}`"
    )


def _holding(
    connection: Connection, ids: Column[str], matching: Sequence[ColumnElement[bool]]
) -> Sequence[Holding]:
    """List the datasets in which calls have left. Index (call_id) of dataset_item."""
    columns = (dataset.c.id, dataset.c.directory, dataset.c.created_at)
    query = (
        select(*columns, func.count())
        .join(dataset_item, dataset_item.c.dataset_id == dataset.c.id)
        .join(ids.table, ids == dataset_item.c.call_id)
        .where(*matching)
        .group_by(*columns)
        .order_by(dataset.c.id)
    )
    return [
        Holding(id, directory, time_of(created_at), calls)
        for id, directory, created_at, calls in connection.execute(query)
    ]


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time_of(microseconds)
