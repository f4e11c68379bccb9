"""Targeted test sets: calls that somebody chose, kept as they were chosen.

A set is the ids that a filter matched at one moment, and the filter. It never changes: not by calls
that come later, nor by another filter under the same name. From then on nothing of the members'
groups leaves for training (storage.sides); removing a set does not change that, for a model may
have been tested with it. Members that are on the random test side stay there, too.

Not taken are calls of groups of which something has left for training, for a model may know them;
they are kept with the set, and counted. Nor are calls that nobody made, and those in quarantine.
"""

import re
from typing import Final

from sqlalchemy import Connection, insert, select, update

from storage import database
from storage.capture import Clock
from storage.counted import counted
from storage.erasure import visible
from storage.lists import conditions
from storage.reservation import Cause, Policy, find_policy
from storage.schema import call, test_set, test_set_call
from storage.sides import TRAINED, Change, change, hold, left_for_training
from storage.store import TraceStore
from storage.trace import Side
from storage.withheld import SYNTHETIC, TargetedSet, list_test_sets

MEMBERS_MAX: Final = 100_000  # a test set is read by people, and run by models that cost money
ROWS_AT_ONCE: Final = 5_000
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")  # it becomes the name of a file


class TestSetError(Exception):
    """A targeted set cannot be made or removed as asked; the message says why."""

    __test__ = False  # for pytest, which takes it for a test


def create_test_set(
    store: TraceStore, project: str, name: str, where: str, *, note: str = "", clock: Clock
) -> TargetedSet:
    """Choose the calls that match now for a set of this name, and withhold their groups.

    Raise TestSetError where the name is no name or was used before, or where nothing is taken;
    FilterError for a wrong filter. Scans the project's calls, while nobody else writes.
    """
    if not _NAME.fullmatch(name):
        raise TestSetError(
            f"{name!r} is no name for a test set: write lower-case letters, digits, - _ and ., "
            "at most 64 of them"
        )
    with database.writing(store.engine) as connection:
        hold(connection, project, changing=True)
        _refuse_used(connection, project, name)
        policy = find_policy(connection, project)
        found = _matching(connection, project, where)
        if policy is None or not found:
            raise TestSetError(f"no call of project {project} matches {where}")
        now_us = clock.wall_ns() // 1000
        _choose(connection, project, name, where, note, found, policy, now_us)
        made = [each for each in list_test_sets(connection, project) if each.name == name]
    return made[0]


def remove_test_set(store: TraceStore, project: str, name: str, *, clock: Clock) -> TargetedSet:
    """Take a set out of the lists and of later exports. Its groups stay withheld, its name used.

    Raise TestSetError where there is none of this name.
    """
    columns = test_set.c
    with database.writing(store.engine) as connection:
        found = [each for each in list_test_sets(connection, project) if each.name == name]
        if not found:
            raise TestSetError(f"project {project} has no test set {name!r}")
        connection.execute(
            update(test_set)
            .where(columns.project == project, columns.name == name)
            .values(removed_at=clock.wall_ns() // 1000)
        )
    return found[0]


def _refuse_used(connection: Connection, project: str, name: str) -> None:
    columns = test_set.c
    used = select(columns.name).where(columns.project == project, columns.name == name)
    if connection.scalar(used) is not None:
        raise TestSetError(
            f"project {project} has or had a test set {name!r}, and a set is never changed: "
            "take another name"
        )


def _matching(connection: Connection, project: str, where: str) -> list[tuple[str, str, Side]]:
    """List id, group and side of the calls that match now, by id. See storage.lists for indexes."""
    columns = call.c
    query = (
        select(columns.id, columns.group_id, columns.side)
        .where(*conditions(project, where), *visible(connection))
        .where(columns.source != SYNTHETIC, columns.side != Side.QUARANTINE.value)
        .order_by(columns.id)
        .limit(MEMBERS_MAX + 1)
    )
    found = [(id, group_id, Side(side)) for id, group_id, side in connection.execute(query)]
    if len(found) > MEMBERS_MAX:
        raise TestSetError(
            f"more than {MEMBERS_MAX:,} calls match {where}: a test set holds fewer; narrow it"
        )
    return found


def _choose(
    connection: Connection,
    project: str,
    name: str,
    where: str,
    note: str,
    found: list[tuple[str, str, Side]],
    policy: Policy,
    now_us: int,
) -> None:
    groups = {group_id: side for _, group_id, side in found}
    trained = left_for_training(connection, project, policy.salt, groups)
    if len(trained) == len(groups):
        raise TestSetError(
            f"all that match, {counted(len(found), 'call')}, are of groups of which something "
            "has left in a train or val file: nothing can be tested with them"
        )
    of_set = {"project": project, "name": name}
    connection.execute(
        insert(test_set), [of_set | {"selector": where, "note": note, "created_at": now_us}]
    )
    rows = [
        of_set | {"call_id": id, "group_id": group_id, "taken": group_id not in trained}
        for id, group_id, _ in found
    ]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        connection.execute(insert(test_set_call), rows[start : start + ROWS_AT_ONCE])
    withheld = [
        Change(group_id, side, Cause.TARGETED)
        for group_id, side in sorted(groups.items())
        if group_id not in trained and side in TRAINED
    ]
    change(connection, project, policy, withheld, now_us)
