"""Groups that change sides: which may, that the ledger says so, and that their calls follow.

A group only ever moves to where it is further held out: from train to val, from either to test;
and only while nothing of it has left in a train or val file. So no group that was trained on is
ever tested with, and what was held out once stays so. A change is a row more in the ledger
(`reservation_change`), in one transaction with the side of the group's calls.

A row whose side is the one before says what else became of a group: that it is in a targeted test
set or left in a time hold-out, after which nothing of it is trained on (`WITHHOLDING`); that calls
which joined it had to go into quarantine.

Whoever stores calls, changes sides or says what has left holds the project's sides (`hold`): the
one in PostgreSQL who changes them waits for those who rely on them, and they for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, func, insert, select, update

from storage.postgres import lock
from storage.reservation import IN_MAX, Cause, Policy, tombstones_of
from storage.schema import call, dataset, dataset_item, reservation, reservation_change
from storage.trace import Side

TRAINED: Final = (Side.TRAIN, Side.VAL)  # what trainers see, if only to choose a checkpoint
# A group with a row of one of these may be on train or val, and does not leave there.
WITHHOLDING: Final = (Cause.TARGETED, Cause.TIME_HOLDOUT)

_FURTHER: Final = {Side.TRAIN: 0, Side.VAL: 1, Side.TEST: 2}


class Change(NamedTuple):
    """A row for the ledger: what becomes of a group, and why."""

    group_id: str
    side: Side
    cause: Cause


def hold(connection: Connection, project: str, *, changing: bool) -> None:
    """Keep those who rely on sides and those who change them apart until the transaction ends.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        lock(connection, "sides", project, shared=not changing)


def is_further(side: Side, than: Side) -> bool:
    """Tell whether a side is further held out than another: test than val, val than train."""
    return _FURTHER.get(side, 0) > _FURTHER.get(than, 0)


def left_for_training(
    connection: Connection, project: str, salt: str, group_ids: Iterable[str]
) -> set[str]:
    """Say of which groups something has left in a train or val file, under whatever name.

    Indexes (group_id) and (call_id) of what left, (project, group_id) of calls.
    """
    wanted = sorted(set(group_ids))
    names = {name: name for name in wanted} | tombstones_of(salt, project, wanted)
    left: set[str] = set()
    trained = dataset_item.c.side.in_([side.value for side in TRAINED])
    of_project = dataset_item.join(dataset, dataset.c.id == dataset_item.c.dataset_id)
    for part in slices(sorted(names)):
        under_name = (
            select(dataset_item.c.group_id)
            .select_from(of_project)
            .where(dataset.c.project == project, dataset_item.c.group_id.in_(part), trained)
        )
        left.update(names[name] for name in connection.scalars(under_name.distinct()))
    for part in slices(wanted):  # calls that were in another group when they left
        by_call = (
            select(call.c.group_id)
            .join(dataset_item, dataset_item.c.call_id == call.c.id)
            .where(call.c.project == project, call.c.group_id.in_(part), trained)
        )
        left.update(connection.scalars(by_call.distinct()))
    return left


def change(
    connection: Connection,
    project: str,
    policy: Policy,
    changes: Sequence[Change],
    now_us: int,
) -> int:
    """Add rows to the ledger, and take the groups' calls to their sides; return how many moved.

    Hold the sides, `changing`, and make sure that the groups may move before calling this. A row
    that says again why a group is withheld is left out. Calls in quarantine stay there. Primary
    keys; index (project, group_id).
    """
    names = _ledger_names(connection, project, policy.salt, [each.group_id for each in changes])
    numbers, known = _rows_of(connection, project, sorted(names.values()))
    rows = []
    for each in changes:
        name = names[each.group_id]
        if (name, each.cause) in known:
            continue
        numbers[name] = numbers.get(name, 0) + 1
        rows.append(
            {
                "project": project,
                "group_id": name,
                "number": numbers[name],
                "side": each.side.value,
                "policy_version": policy.version,
                "reason": each.cause.value,
                "changed_at": now_us,
            }
        )
    if rows:
        connection.execute(insert(reservation_change), rows)
    moved = 0
    for side in _FURTHER:
        group_ids = sorted({each.group_id for each in changes if each.side is side})
        for part in slices(group_ids):
            elsewhere = call.c.side.not_in([side.value, Side.QUARANTINE.value])
            of_groups = (call.c.project == project, call.c.group_id.in_(part))
            statement = update(call).where(*of_groups, elsewhere).values(side=side.value)
            moved += connection.execute(statement).rowcount
    return moved


def withheld_names(connection: Connection, project: str) -> dict[str, Cause]:
    """List the groups, by their names in the ledger, of which nothing is trained on, and why.

    Scans the project's changes. Where there are two causes, `targeted` is told.
    """
    columns = reservation_change.c
    rows = connection.execute(
        select(columns.group_id, columns.reason)
        .where(columns.project == project, columns.reason.in_([each.value for each in WITHHOLDING]))
        .order_by(columns.reason.desc())  # "time_holdout" sorts behind "targeted", which wins
    )
    return {group_id: Cause(cause) for group_id, cause in rows}


def slices(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a list into parts that fit into one IN (…)."""
    return (values[start : start + IN_MAX] for start in range(0, len(values), IN_MAX))


def _ledger_names(
    connection: Connection, project: str, salt: str, group_ids: Sequence[str]
) -> dict[str, str]:
    """Map groups to their names in the ledger: of one that came back, that of its tombstone."""
    wanted = sorted(set(group_ids))
    names = {group_id: group_id for group_id in wanted}
    tombstones = tombstones_of(salt, project, wanted)
    for part in slices(sorted(tombstones)):
        for tombstone in connection.scalars(
            select(reservation.c.group_id).where(
                reservation.c.project == project, reservation.c.group_id.in_(part)
            )
        ):
            names[tombstones[tombstone]] = tombstone
    return names


def _rows_of(
    connection: Connection, project: str, names: Sequence[str]
) -> tuple[dict[str, int], set[tuple[str, Cause]]]:
    """Read the last number of each group, and which of them are known to be withheld."""
    columns = reservation_change.c
    numbers: dict[str, int] = {}
    known: set[tuple[str, Cause]] = set()
    for part in slices(names):
        of_groups = and_(columns.project == project, columns.group_id.in_(part))
        newest = select(columns.group_id, func.max(columns.number)).where(of_groups)
        numbers |= {
            name: number for name, number in connection.execute(newest.group_by(columns.group_id))
        }
        withheld = columns.reason.in_([each.value for each in WITHHOLDING])
        causes = select(columns.group_id, columns.reason).where(of_groups, withheld)
        known |= {(name, Cause(cause)) for name, cause in connection.execute(causes)}
    return numbers, known
