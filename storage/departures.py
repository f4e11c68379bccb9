"""What leaves in a dataset: refused where its side has changed meanwhile, noted where it is apart.

An export reads one state of the store and takes its time. Before the store takes down what leaves,
it looks again, while nobody can change sides: each call is on the side in whose file it is, of no
group of train and val anything may be withheld, and of no targeted set anything was trained on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select

from storage.reader import StoreReader
from storage.reservation import Cause, find_policy, sides_of
from storage.rows import time_of
from storage.schema import (
    call,
    dataset,
    dataset_item,
    erased_call,
    reservation_change,
    test_set_call,
)
from storage.sides import TRAINED, WITHHOLDING, Change, change, hold, left_for_training
from storage.store_errors import StoreError
from storage.trace import Apart, Side


class ChangedMeanwhile(StoreError):
    """A dataset holds calls that have changed sides, or were withheld, since they were read."""


class Departure(NamedTuple):
    """A dataset as the store wrote it down when it left. `erased`: calls of it forgotten since."""

    project: str
    directory: str
    created_at: datetime
    calls: int
    erased: int


class Departed(NamedTuple):
    """A dataset that left: to which directory, when, with how many of its project's calls."""

    project: str
    directory: str
    created_at: datetime
    calls: int


def list_departed(reader: StoreReader, limit: int) -> Sequence[Departed]:
    """List the datasets that left last, newest first; counts the items of each, by an index."""
    count = select(func.count()).where(dataset_item.c.dataset_id == dataset.c.id).scalar_subquery()
    query = (
        select(dataset.c.project, dataset.c.directory, dataset.c.created_at, count)
        .order_by(dataset.c.id.desc())
        .limit(limit)
    )
    with reader.reading() as connection:
        return [
            Departed(project, directory, time_of(created_at), calls)
            for project, directory, created_at, calls in connection.execute(query)
        ]


def find_departure(reader: StoreReader, manifest_sha256: str) -> Departure | None:
    """Find the dataset whose manifest has a SHA-256, None where none such has left.

    Scans the datasets, and the items of the one that is found.
    """
    items = dataset_item.c
    with reader.reading() as connection:
        found = connection.execute(
            select(dataset.c.id, dataset.c.project, dataset.c.directory, dataset.c.created_at)
            .where(dataset.c.manifest_sha256 == manifest_sha256)
            .order_by(dataset.c.id)
        ).first()
        if found is None:
            return None
        calls, erased = connection.execute(
            select(func.count(), func.count(erased_call.c.call_id))
            .select_from(dataset_item)
            .join(erased_call, erased_call.c.call_id == items.call_id, isouter=True)
            .where(items.dataset_id == found.id)
        ).one()
    return Departure(found.project, found.directory, time_of(found.created_at), calls, erased)


def settle_departures(connection: Connection, project: str, dataset_id: str, now_us: int) -> None:
    """Check the items of a new dataset, and withhold the groups that leave apart from the sides.

    Raise ChangedMeanwhile where one of them may not leave any more. Holds the project's sides until
    the transaction ends. Primary keys, once for each item.
    """
    hold(connection, project, changing=True)
    policy = find_policy(connection, project)
    if policy is None:
        return  # without a call of the project there is nothing to protect
    if _has_moved(connection, dataset_id) or _is_withheld(connection, project, dataset_id):
        raise _changed(project)
    apart = _apart(connection, dataset_id)
    groups = sorted({group_id for groups in apart.values() for group_id in groups})
    trained = left_for_training(connection, project, policy.salt, apart.get(Apart.TARGETED, ()))
    if trained:
        raise _changed(project)
    sides = sides_of(connection, project, policy.salt, groups)
    changes = [
        Change(group_id, sides[group_id], Cause(kind.value))
        for kind, of_kind in apart.items()
        for group_id in of_kind
        if sides.get(group_id) in TRAINED
    ]
    change(connection, project, policy, changes, now_us)


def _changed(project: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"groups of project {project} changed sides or were withheld while a dataset was made of "
        "them: make it again. Nothing was published"
    )


def _has_moved(connection: Connection, dataset_id: str) -> bool:
    """Tell whether a call has another side than the file in which it leaves. Primary keys."""
    return _any(
        connection,
        dataset_id,
        [call.c.id == dataset_item.c.call_id],
        dataset_item.c.side.in_([side.value for side in (*TRAINED, Side.TEST)]),
        dataset_item.c.side != call.c.side,
    )


def _is_withheld(connection: Connection, project: str, dataset_id: str) -> bool:
    """Tell whether something leaves on train or val of which nothing may. Primary keys."""
    trained = dataset_item.c.side.in_([side.value for side in TRAINED])
    changes, chosen = reservation_change.c, test_set_call.c
    of_group = and_(changes.project == project, changes.group_id == dataset_item.c.group_id)
    causes = changes.reason.in_([cause.value for cause in WITHHOLDING])
    of_set = and_(chosen.project == project, chosen.group_id == dataset_item.c.group_id)
    return _any(connection, dataset_id, [of_group], trained, causes) or _any(
        connection, dataset_id, [of_set], trained, chosen.taken
    )


def _any(
    connection: Connection,
    dataset_id: str,
    joined: Sequence[ColumnElement[bool]],
    *conditions: ColumnElement[bool],
) -> bool:
    query = select(dataset_item.c.call_id).where(
        dataset_item.c.dataset_id == dataset_id, *joined, *conditions
    )
    return connection.execute(query.limit(1)).first() is not None


def _apart(connection: Connection, dataset_id: str) -> dict[Apart, list[str]]:
    """List the groups that leave in files beside those of the sides. Primary key."""
    columns = dataset_item.c
    rows = connection.execute(
        select(columns.side, columns.group_id)
        .where(columns.dataset_id == dataset_id, columns.side.in_([kind.value for kind in Apart]))
        .distinct()
        .order_by(columns.side, columns.group_id)
    )
    apart: dict[Apart, list[str]] = {}
    for side, group_id in rows:
        apart.setdefault(Apart(side), []).append(group_id)
    return apart
