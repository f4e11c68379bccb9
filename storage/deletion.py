"""Rows deleted for good: calls with all that hangs on them, or their bodies alone.

A call's row goes last, within one transaction with its tags, features, body and index of words.
What stays is what keeps promises made before: the ids of erased calls, the side of a group, the
ids of the calls that left in a dataset. Where a group is named after a person's text (a session, a
user, a tag, a trace) and its last call goes, that name is replaced by a salted hash under which
`storage.reservation` still finds its side when the group comes back. A root is a hash already.

The caller bounds the number of ids: storage.reservation.IN_MAX at most.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, delete, exists, select, update

from storage import bodies, search
from storage.erasure import remember
from storage.links import JOINED
from storage.reservation import IN_MAX, find_policy, tombstone_of
from storage.schema import call, dataset, dataset_item, feature, reservation, tag

# A root, and a name too long to be kept, is this already.
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class _Named(NamedTuple):
    """A group that is named after somebody's text."""

    project: str
    group_id: str


def delete_calls(
    connection: Connection, call_ids: Sequence[str], erasure_id: str | None = None
) -> int:
    """Delete these calls and all that hangs on them; return how many there were.

    With `erasure_id`, their ids are kept as erased by it, also of those that are not there.
    Primary keys, and the index (project, group_id).
    """
    assert len(call_ids) <= IN_MAX
    named = _named_groups(connection, call_ids)
    search.forget(connection, call_ids)
    bodies.release(connection, call_ids)
    for table in (tag, feature):
        connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
    count = connection.execute(delete(call).where(call.c.id.in_(call_ids))).rowcount
    if erasure_id is not None:
        remember(connection, dict.fromkeys(call_ids, erasure_id))
    for group in named:
        if not _has_calls(connection, group):
            _bury(connection, group)
    return count


def delete_bodies(connection: Connection, call_ids: Sequence[str]) -> None:
    """Delete what these calls said, and keep their rows. Primary keys."""
    assert len(call_ids) <= IN_MAX
    search.forget(connection, call_ids)
    bodies.release(connection, call_ids)


def _named_groups(connection: Connection, call_ids: Sequence[str]) -> Iterable[_Named]:
    columns = call.c
    rows = connection.execute(
        select(columns.project, columns.group_id, columns.group_source)
        .where(columns.id.in_(call_ids), columns.group_source != "root")
        .distinct()
    )
    # A call that was joined to another has that one's group, which may be a root.
    return sorted(
        {
            _Named(project, group_id)
            for project, group_id, source in rows
            if not (source == JOINED and _HASH.fullmatch(group_id))
        }
    )


def _has_calls(connection: Connection, group: _Named) -> bool:
    condition = and_(call.c.project == group.project, call.c.group_id == group.group_id)
    return connection.execute(select(call.c.id).where(condition).limit(1)).first() is not None


def _bury(connection: Connection, group: _Named) -> None:
    """Take a group's name away, and keep its side."""
    policy = find_policy(connection, group.project)
    assert policy is not None, "a project with groups has a policy"
    tombstone = tombstone_of(policy.salt, group.project, group.group_id)
    columns = reservation.c
    of_group = and_(columns.project == group.project, columns.group_id == group.group_id)
    is_there = exists().where(columns.project == group.project, columns.group_id == tombstone)
    if connection.execute(select(is_there)).scalar_one():
        connection.execute(delete(reservation).where(of_group))
    else:
        connection.execute(update(reservation).where(of_group).values(group_id=tombstone))
    of_project = select(dataset.c.id).where(dataset.c.project == group.project)
    connection.execute(
        update(dataset_item)
        .where(dataset_item.c.group_id == group.group_id, dataset_item.c.dataset_id.in_(of_project))
        .values(group_id=tombstone)
    )
