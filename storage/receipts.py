"""What an erasure would take, asking for it, and the receipt of it.

A receipt is read from the rows that the erasure leaves: itself, the ids it has taken, and the
datasets that were published with them. So it can be read again at any time and is always of now.
It tells ids, never what was said; of a person only the fingerprint (storage.erasure).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, Select, func, select

from storage import database, erasure
from storage.capture import Clock, new_id
from storage.erasure import IDS_MAX, Erasure, Kind, Selection
from storage.lists import BY_ID
from storage.reader import StoreReader
from storage.rows import time_of
from storage.schema import call, dataset, dataset_item, erased_call
from storage.schema import erasure as erasure_table
from storage.scrub import OUT_OF_REACH

IDS_AT_ONCE: Final = 5_000  # of the calls that would go, looked up among those that left


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
    """Say what would go. Scans the project's calls once, but for ids, sessions and tags: at a
    million 0.5 s of a core, and a microsecond or two for each that would go.

    Raise NothingToErase where that is none, or an id is not known; FilterError for a bad filter.
    """
    if len(selection.ids) > IDS_MAX:
        raise TooManyIds(f"{len(selection.ids)} ids: name {IDS_MAX} at most at a time")
    wanted = Erasure("", project, selection, "", clock.wall_ns() // 1000, 0, None, None)
    with database.reading(store.engine) as connection:
        matching = [erasure.condition_of(wanted), *erasure.visible(connection)]
        if selection.kind in (Kind.USER, Kind.TIME, Kind.WHERE):  # the others have an index
            matching.append(BY_ID)
        count, times, held = 0, set[int](), Counter[str]()
        query = select(call.c.id, call.c.started_at).where(*matching)
        found = connection.execute(query, execution_options={"yield_per": IDS_AT_ONCE})
        for part in found.partitions():
            ids, started = zip(*part, strict=True)
            count += len(ids)
            times |= {min(started), max(started)}
            held.update(_left(connection, ids))
        _refuse_unknown(connection, wanted, count)
        holding = _holdings(connection, held)
    return Preview(count, _time(min(times, default=None)), _time(max(times, default=None)), holding)


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
        left = (
            select(dataset_item.c.dataset_id, func.count())
            .join(erased_call, erased_call.c.call_id == dataset_item.c.call_id)
            .where(erased_call.c.erasure_id == erasure_id)
            .group_by(dataset_item.c.dataset_id)
        )
        holding = _holdings(connection, _counts(connection, left))
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


def _left(connection: Connection, call_ids: Sequence[str]) -> Mapping[str, int]:
    """Count by dataset which of some calls have left in it. Index (call_id) of dataset_item."""
    of_these = database.among(connection, dataset_item.c.call_id, call_ids)
    query = select(dataset_item.c.dataset_id, func.count()).where(of_these)
    return _counts(connection, query.group_by(dataset_item.c.dataset_id))


def _counts(connection: Connection, query: Select[str, int]) -> Mapping[str, int]:
    return {id: count for id, count in connection.execute(query)}


def _holdings(connection: Connection, calls: Mapping[str, int]) -> Sequence[Holding]:
    """Name the datasets of some counts. Primary key."""
    columns = (dataset.c.id, dataset.c.directory, dataset.c.created_at)
    query = select(*columns).where(database.among(connection, dataset.c.id, sorted(calls)))
    return [
        Holding(id, directory, time_of(created_at), calls[id])
        for id, directory, created_at in connection.execute(query.order_by(dataset.c.id))
    ]


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time_of(microseconds)
