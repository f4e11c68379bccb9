"""Groups taken from train for test and val: by larger ratios, or to top up a small test side.

What is taken has never left in a train or val file, and stays where it is then (storage.sides).
New ratios take every group on train whose `u` they place elsewhere; the smaller ones release none.
A top-up takes those with the lowest `u`, which is as random as the ratio. Groups whose calls are
all gone stay as they are.

Groups move in batches, each in a transaction of its own, so recording goes on between two; whoever
is interrupted says the same again. Memory holds the ids of the groups to move.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from storage import database
from storage.capture import Clock
from storage.erasure import visible
from storage.reader import StoreReader
from storage.reservation import Cause, find_policy, side_of, sides_of, u_of
from storage.rows import SideCount
from storage.schema import call
from storage.sides import Change, change, hold, left_for_training
from storage.store import TraceStore
from storage.trace import Side
from storage.withheld import SYNTHETIC

GROUPS_AT_ONCE: Final = 500
# With fewer groups a share of them is far from what was asked: of 50, between 2 and 18 % of 10 %.
TOP_UP_BELOW: Final = 200


class Effect(msgspec.Struct, frozen=True):
    """What ratios do to the groups that are there. `staying` would move, had they not left."""

    moving: dict[Side, SideCount]
    staying: dict[Side, SideCount]


class Taken(msgspec.Struct, frozen=True):
    """A group that a top-up has taken."""

    group_id: str
    u: float
    calls: int


class TopUp(msgspec.Struct, frozen=True):
    """What a top-up has done. Groups of test `before` and `after`, of the `wanted`, of `groups`."""

    groups: int
    wanted: int
    before: int
    after: int
    taken: tuple[Taken, ...]


class _Group(msgspec.Struct, frozen=True):
    id: str
    u: float
    calls: int
    target: Side


def preview_ratios(
    reader: StoreReader, project: str, test_ratio: float, val_ratio: float
) -> Effect:
    """Say what `change_ratios` would do now. Scans the project's calls."""
    with reader.reading() as connection:
        policy = find_policy(connection, project)
        if policy is None:
            return _effect([], set())
        groups = _misplaced(connection, project, policy.salt, test_ratio, val_ratio)
        ids = [group.id for group in groups]
        return _effect(groups, left_for_training(connection, project, policy.salt, ids))


def change_ratios(
    store: TraceStore, project: str, test_ratio: float, val_ratio: float, *, clock: Clock
) -> Effect:
    """Put ratios in force, and move the groups that they place elsewhere; say which were moved.

    Raise PolicyError for ratios that leave no train. Scans the project's calls.
    """
    policy = store.change_policy(project, test_ratio, val_ratio)
    with store.reading() as connection:
        groups = _misplaced(connection, project, policy.salt, test_ratio, val_ratio)
    moved: list[_Group] = []
    stayed: set[str] = set()
    for start in range(0, len(groups), GROUPS_AT_ONCE):
        batch = groups[start : start + GROUPS_AT_ONCE]
        with database.writing(store.engine) as connection:
            hold(connection, project, changing=True)
            ids = [group.id for group in batch]
            left = left_for_training(connection, project, policy.salt, ids)
            sides = sides_of(connection, project, policy.salt, ids)
            batch = [each for each in batch if sides.get(each.id) is Side.TRAIN]
            changes = [
                Change(group.id, group.target, Cause.RATIO_RAISED)
                for group in batch
                if group.id not in left
            ]
            change(connection, project, policy, changes, clock.wall_ns() // 1000)
        moved += batch
        stayed |= left
    return _effect(moved, stayed)


def top_up(store: TraceStore, project: str, groups: int | None = None, *, clock: Clock) -> TopUp:
    """Take the groups with the lowest `u` from train for test until it has enough of them.

    Enough are `groups`, else the test ratio of all, rounded up; of TOP_UP_BELOW groups and more
    nothing is taken unless `groups` is given. Calls that nobody made do not count. Scans the
    project's calls, while nobody else writes.
    """
    with database.writing(store.engine) as connection:
        hold(connection, project, changing=True)
        policy = find_policy(connection, project)
        if policy is None:
            return TopUp(0, groups or 0, 0, 0, ())
        sides = _sizes(connection, project)
        total = sum(map(len, sides.values()))
        test = len(sides[Side.TEST])
        wanted = groups
        if wanted is None:
            wanted = math.ceil(policy.test_ratio * total) if total < TOP_UP_BELOW else test
        candidates = sorted(
            (u_of(policy.salt, project, group_id), group_id) for group_id in sides[Side.TRAIN]
        )
        left = left_for_training(connection, project, policy.salt, sides[Side.TRAIN])
        free = [(u, group_id) for u, group_id in candidates if group_id not in left]
        taken = [
            Taken(group_id, u, sides[Side.TRAIN][group_id])
            for u, group_id in free[: max(0, wanted - test)]
        ]
        changes = [Change(each.group_id, Side.TEST, Cause.TOP_UP) for each in taken]
        change(connection, project, policy, changes, clock.wall_ns() // 1000)
    return TopUp(total, wanted, test, test + len(taken), tuple(taken))


def _misplaced(
    connection: Connection, project: str, salt: str, test_ratio: float, val_ratio: float
) -> list[_Group]:
    """List the groups on train that belong elsewhere by these ratios, by u."""
    query = (
        select(call.c.group_id, func.count())
        .where(call.c.project == project, call.c.side == Side.TRAIN.value)
        .group_by(call.c.group_id)
    )
    groups = []
    for group_id, calls in connection.execute(query, execution_options={"yield_per": 1000}):
        u = u_of(salt, project, group_id)
        target = side_of(u, test_ratio, val_ratio)
        if target is not Side.TRAIN:
            groups.append(_Group(group_id, u, calls, target))
    return sorted(groups, key=lambda group: (group.u, group.id))


def _sizes(connection: Connection, project: str) -> dict[Side, dict[str, int]]:
    """Count the calls of each group, made-up ones and quarantine apart, by side."""
    columns = call.c
    rows = connection.execute(
        select(columns.side, columns.group_id, func.count())
        .where(columns.project == project, columns.source != SYNTHETIC, *visible(connection))
        .where(columns.side != Side.QUARANTINE.value)
        .group_by(columns.side, columns.group_id)
    )
    sides: defaultdict[Side, dict[str, int]] = defaultdict(dict)
    for side, group_id, calls in rows:
        sides[Side(side)][group_id] = calls
    return sides


def _effect(groups: Sequence[_Group], left: set[str]) -> Effect:
    def count(side: Side, *, gone: bool) -> SideCount:
        of_side = [each for each in groups if each.target is side and (each.id in left) is gone]
        return SideCount(groups=len(of_side), calls=sum(each.calls for each in of_side))

    held_out = (Side.TEST, Side.VAL)
    return Effect(
        moving={side: count(side, gone=False) for side in held_out},
        staying={side: count(side, gone=True) for side in held_out},
    )
