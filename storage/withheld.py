"""Groups on train and val that must not leave there, and the test sets that some are kept for.

A group is withheld for ever once a call of it is in a targeted test set, or has left in a time
hold-out; and for one export where it falls into the time that this one holds out. Its side stays:
the random test has the share it always had, of every month and every kind.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Final, Protocol

import msgspec
from sqlalchemy import Connection, func, select

from storage.erasure import visible
from storage.reservation import Cause, find_policy, tombstones_of
from storage.rows import microseconds_of, time_of
from storage.schema import call, test_set, test_set_call
from storage.sides import TRAINED, left_for_training, withheld_names

SYNTHETIC: Final = "synthetic"  # the source of calls that nobody made: never to test with


class TimeRange(Protocol):
    """Calls started at or after `start` and before `end`; None where open."""

    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime | None: ...


class Withheld(msgspec.Struct, frozen=True):
    """What one export keeps out of train and val.

    `held_by_time`: groups for its time hold-out; `left_before`: those of them of which something
    has left for training before, so that a model may know them. `causes` are by the ledger's names.
    """

    project: str
    salt: str
    causes: Mapping[str, Cause]
    chosen: Set[str]
    held_by_time: Set[str]
    left_before: Set[str]

    def of(self, group_id: str) -> Cause | None:
        """Say why a group must not leave on train or val; None where it may."""
        if group_id in self.chosen:
            return Cause.TARGETED
        if cause := self._noted(group_id):
            return cause
        return Cause.TIME_HOLDOUT if group_id in self.held_by_time else None

    def _noted(self, group_id: str) -> Cause | None:
        if not self.causes:
            return None
        names = (group_id, *tombstones_of(self.salt, self.project, [group_id]))
        return next((self.causes[name] for name in names if name in self.causes), None)


class TargetedSet(msgspec.Struct, frozen=True):
    """A named test set that somebody chose: no headline may come from it.

    `calls` and `groups` are in it. `refused_*` matched too, and were not taken, because something
    of their groups had left for training.
    """

    name: str
    where: str
    note: str
    created_at: datetime
    removed_at: datetime | None
    calls: int
    groups: int
    refused_calls: int
    refused_groups: int
    random: bool = False


def find_withheld(
    connection: Connection, project: str, time_holdout: TimeRange | None = None
) -> Withheld:
    """Find what an export must keep out of train and val.

    Scans the project's changes and targeted calls; with `time_holdout` also its calls.
    """
    policy = find_policy(connection, project)
    salt = policy.salt if policy is not None else ""
    columns = test_set_call.c
    members = (
        select(call.c.group_id)
        .join(test_set_call, columns.call_id == call.c.id)
        .where(columns.project == project, columns.taken)
    )
    held = frozenset[str]()
    if time_holdout is not None:
        held = frozenset(_started_within(connection, project, time_holdout))
    return Withheld(
        project=project,
        salt=salt,
        causes=withheld_names(connection, project),
        chosen=frozenset(connection.scalars(members.distinct())),
        held_by_time=held,
        left_before=frozenset(left_for_training(connection, project, salt, held)),
    )


def list_test_sets(
    connection: Connection, project: str, *, removed: bool = False
) -> Sequence[TargetedSet]:
    """List the targeted sets of a project by name, with `removed` those that were, too.

    Scans their calls.
    """
    members = test_set_call.c
    counts: dict[tuple[str, bool], tuple[int, int]] = {
        (name, taken): (calls, groups)
        for name, taken, calls, groups in connection.execute(
            select(
                members.name, members.taken, func.count(), func.count(members.group_id.distinct())
            )
            .where(members.project == project)
            .group_by(members.name, members.taken)
        )
    }
    columns = test_set.c
    query = select(test_set).where(columns.project == project).order_by(columns.name)
    if not removed:
        query = query.where(columns.removed_at.is_(None))
    return [
        TargetedSet(
            row.name,
            row.selector,
            row.note,
            time_of(row.created_at),
            None if row.removed_at is None else time_of(row.removed_at),
            *counts.get((row.name, True), (0, 0)),
            *counts.get((row.name, False), (0, 0)),
        )
        for row in connection.execute(query)
    ]


def list_test_set_calls(
    connection: Connection, project: str, name: str, *, taken: bool = True
) -> Sequence[str]:
    """List the ids that were chosen for a set, those since erased too; or those not taken.

    Primary key.
    """
    columns = test_set_call.c
    of_set = (columns.project == project, columns.name == name, columns.taken == taken)
    return connection.scalars(
        select(columns.call_id).where(*of_set).order_by(columns.call_id)
    ).all()


def _started_within(connection: Connection, project: str, time: TimeRange) -> Iterable[str]:
    """List the groups on train and val whose first call started within; made-up calls apart."""
    first = func.min(call.c.started_at)
    query = (
        select(call.c.group_id)
        .where(call.c.project == project, call.c.source != SYNTHETIC)
        .where(call.c.side.in_([side.value for side in TRAINED]), *visible(connection))
        .group_by(call.c.group_id)
    )
    if time.start is not None:
        query = query.having(first >= microseconds_of(time.start))
    if time.end is not None:
        query = query.having(first < microseconds_of(time.end))
    return connection.scalars(query)
