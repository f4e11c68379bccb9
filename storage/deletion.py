"""Rows deleted for good: calls with all that hangs on them, or their bodies alone.

A call's row goes last, within one transaction with its tags, features, scores, labels, body and
index of words. With a body alone goes what was hashed of its words.
What stays is what keeps promises made before: the ids of erased calls, the side of a group, the
ids of the calls that left in a dataset. Where a group is named after a person's text (a session, a
user, a tag, a trace) and its last call goes, that name is replaced by a salted hash under which
`storage.reservation` still finds its side when the group comes back. A root is a hash already.

The caller bounds the number of ids: storage.reservation.IN_MAX at most.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, select, update

from storage import bodies, label_store, search
from storage.database import among
from storage.erasure import remember
from storage.links import JOINED
from storage.reservation import IN_MAX, find_policy, tombstone_of
from storage.schema import (
    call,
    dataset,
    dataset_item,
    reservation,
    reservation_change,
    tag,
    test_set_call,
    text_feature,
    tool_set,
)
from storage.sides import hold

# A root, and a name too long to be kept, is this already.
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def delete_calls(
    connection: Connection, call_ids: Sequence[str], erasure_id: str | None = None
) -> int:
    """Delete these calls and all that hangs on them; return how many there were.

    With `erasure_id`, their ids are kept as erased by it, also of those that are not there.
    Primary keys, and the index (project, group_id).
    """
    assert len(call_ids) <= IN_MAX
    label_store.keep_apart(connection, adding=False)
    label_store.forget(connection, call_ids, erasure_id)
    named = _named_groups(connection, call_ids)
    for project in sorted(named):
        hold(connection, project, changing=False)  # before the lock on bodies, as who records does
    search.forget(connection, call_ids)
    bodies.release(connection, call_ids)
    for table in (tag, text_feature):
        connection.execute(delete(table).where(among(connection, table.c.call_id, call_ids)))
    count = connection.execute(delete(call).where(among(connection, call.c.id, call_ids))).rowcount
    if erasure_id is not None:
        remember(connection, dict.fromkeys(call_ids, erasure_id))
    for project, group_ids in named.items():
        _bury(connection, project, _without_calls(connection, project, group_ids))
    return count


def delete_bodies(connection: Connection, call_ids: Sequence[str]) -> None:
    """Delete what these calls said, and what was written of it, and keep their rows.

    Primary keys; index (call_id).
    """
    assert len(call_ids) <= IN_MAX
    label_store.forget_texts(connection, call_ids)
    search.forget(connection, call_ids)
    delete_terms(connection, call_ids)
    bodies.release(connection, call_ids)


def delete_terms(connection: Connection, call_ids: Sequence[str]) -> None:
    """Delete the hashed words of calls. Primary key."""
    these = among(connection, text_feature.c.call_id, call_ids)
    connection.execute(delete(text_feature).where(these))


def delete_tool_sets(connection: Connection, hashes: Sequence[str]) -> int:
    """Delete those of some tool sets that no call offers; return how many. Scans `call`."""
    offered = select(call.c.tools_hash).where(call.c.tools_hash.in_(hashes))
    columns = tool_set.c
    unused = and_(columns.tools_hash.in_(hashes), columns.tools_hash.not_in(offered))
    return connection.execute(delete(tool_set).where(unused)).rowcount


def unused_tool_sets(connection: Connection) -> Sequence[str]:
    """List some tool sets that no call offers, IN_MAX at most. Scans `call`."""
    in_use = select(call.c.tools_hash).where(call.c.tools_hash != "").distinct()
    unused = select(tool_set.c.tools_hash).where(tool_set.c.tools_hash.not_in(in_use))
    return connection.scalars(unused.order_by(tool_set.c.tools_hash).limit(IN_MAX)).all()


def _named_groups(connection: Connection, call_ids: Sequence[str]) -> Mapping[str, set[str]]:
    """List the groups of calls that are named after somebody's text, by project. Primary key."""
    columns = call.c
    rows = connection.execute(
        select(columns.project, columns.group_id, columns.group_source)
        .where(columns.id.in_(call_ids), columns.group_source != "root")
        .distinct()
    )
    named: defaultdict[str, set[str]] = defaultdict(set)
    for project, group_id, source in rows:
        # A call that was joined to another has that one's group, which may be a root.
        if not (source == JOINED and _HASH.fullmatch(group_id)):
            named[project].add(group_id)
    return named


def _without_calls(connection: Connection, project: str, group_ids: set[str]) -> Sequence[str]:
    """List the groups that have no call any more. Index (project, group_id)."""
    of_groups = among(connection, call.c.group_id, sorted(group_ids))
    query = select(call.c.group_id).where(call.c.project == project, of_groups).distinct()
    alive = connection.scalars(query)
    return sorted(group_ids - set(alive))


def _bury(connection: Connection, project: str, group_ids: Sequence[str]) -> None:
    """Take the names of groups away, and keep their sides. Primary key; index (group_id)."""
    if not group_ids:
        return
    policy = find_policy(connection, project)
    assert policy is not None, "a project with groups has a policy"
    tombstones = {each: tombstone_of(policy.salt, project, each) for each in group_ids}
    columns = reservation.c
    these = among(connection, columns.group_id, list(tombstones.values()))
    known = select(columns.group_id).where(columns.project == project, these)
    buried = set(connection.scalars(known))  # a group that came back, and goes again
    again = [each for each in group_ids if tombstones[each] in buried]
    if again:
        returned = and_(columns.project == project, columns.group_id.in_(again))
        connection.execute(delete(reservation).where(returned))
    _rename(connection, reservation, columns.project == project, tombstones, set(again))
    for table in (reservation_change, test_set_call):
        _rename(connection, table, table.c.project == project, tombstones, set())
    of_project = select(dataset.c.id).where(dataset.c.project == project)
    items = dataset_item.c
    left = select(items.group_id).where(among(connection, items.group_id, group_ids))
    published = set(connection.scalars(left.distinct()))
    _rename(
        connection,
        dataset_item,
        items.dataset_id.in_(of_project),
        tombstones,
        tombstones.keys() - published,
    )


def _rename(
    connection: Connection,
    table: Table,
    of_project: ColumnElement[bool],
    names: Mapping[str, str],
    without: Set[str],
) -> None:
    """Give groups other names in one table, but for some."""
    renamed = [{"old": old, "new": new} for old, new in names.items() if old not in without]
    if renamed:
        named = table.c.group_id == bindparam("old")
        statement = update(table).where(of_project, named).values(group_id=bindparam("new"))
        connection.execute(statement, renamed)
