"""Mark stored calls again that repeat or edit others, exactly: what the recorder could not see.

The recorder compares a call with the few of its group that it stored before (storage.retakes).
Here whole groups are read, but only those in which two calls have as many messages: of others no
call can be another's, and a conversation that only grew is not read. Marks change, nothing else
does; what an erased call was marked from stays said. Memory is that of the digests of one group.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import bindparam, func, select, update

from storage import database
from storage.derive import derive
from storage.retakes import NO_RETAKE, Retake, Take, compare_all, is_named, take_of
from storage.schema import call
from storage.store import TraceStore

Progress = Callable[[int, int], None]  # groups done, groups to do


class Marked(msgspec.Struct):
    """What was looked at, and how many calls are marked otherwise than before."""

    groups: int = 0
    changed: int = 0


def mark_again(
    store: TraceStore,
    project: str,
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Marked:
    """Compare the calls of every group that may hold repeated ones; write it unless `dry_run`.

    Scans the project's calls, and reads the bodies of those groups.
    """
    marked = Marked()
    groups = _groups(store, project)
    for group_id in groups:
        before: dict[str, Retake] = {}
        takes: list[Take] = []
        named = True
        quoted = group_id.replace("'", "''")
        for each in store.scan(project, f"group_id = '{quoted}'"):
            row = each.row
            named = named and is_named(row.group_source)
            if each.capture is not None and (found := take_of(derive(each.capture))) is not None:
                before[row.id] = Retake(row.regenerated_from, row.edited_from)
                takes.append(found[0])
        after = compare_all(takes, named=named)
        changed = {
            call_id: now
            for call_id, was in before.items()
            if (now := after.get(call_id, NO_RETAKE)) != was
        }
        if changed and not dry_run:
            _write(store, changed)
        marked.groups += 1
        marked.changed += len(changed)
        progress(marked.groups, len(groups))
    return marked


def _groups(store: TraceStore, project: str) -> list[str]:
    """List the groups in which two calls have as many messages."""
    alike = (
        select(call.c.group_id)
        .where(call.c.project == project, call.c.message_count.is_not(None))
        .group_by(call.c.group_id, call.c.message_count)
        .having(func.count() > 1)
    )
    with database.reading(store.engine) as connection:
        return sorted(set(connection.scalars(alike)))


def _write(store: TraceStore, changed: dict[str, Retake]) -> None:
    rows = [{"the_id": call_id, **now._asdict()} for call_id, now in changed.items()]
    statement = update(call).where(call.c.id == bindparam("the_id"))
    with database.writing(store.engine) as connection:
        connection.execute(
            statement.values({name: bindparam(name) for name in Retake._fields}), rows
        )
