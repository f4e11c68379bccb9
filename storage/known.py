"""Which calls the store knows, by their ids alone."""

from collections.abc import Collection, Sequence

from sqlalchemy import select

from storage import database
from storage.reader import StoreReader
from storage.reservation import IN_MAX
from storage.schema import call, erased_call


def known_ids(store: StoreReader, call_ids: Collection[str]) -> set[str]:
    """Return which of these are stored, or were and have been erased. Primary keys.

    Raise StoreUnavailable or StoreNotReady where the store cannot be read.
    """
    ids = sorted(call_ids)
    known: set[str] = set()
    with database.reading(store.engine) as connection:
        for start in range(0, len(ids), IN_MAX):
            part = ids[start : start + IN_MAX]
            known.update(connection.scalars(select(call.c.id).where(call.c.id.in_(part))))
            erased = select(erased_call.c.call_id).where(erased_call.c.call_id.in_(part))
            known.update(connection.scalars(erased))
    return known


def ids_after(store: StoreReader, project: str, after: str, *, limit: int) -> Sequence[str]:
    """List the oldest ids of a project's calls that sort after `after`. Index (project, id).

    Calls whose erasure has been asked for are among them until it is done.
    """
    query = select(call.c.id).where(call.c.project == project, call.c.id > after)
    with database.reading(store.engine) as connection:
        return list(connection.scalars(query.order_by(call.c.id).limit(limit)))
