"""The ids of accepted calls that have no row, as far as they are known, in the store.

A worker notes them in its roster while it lives (storage.roster); when it is settled they come
here. Limits: DROPPED_MAX ids, the newest; of older ones only the ledger's counts remain.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, func, select

from storage.database import insert_new
from storage.reservation import IN_MAX
from storage.roster import NoRowReason
from storage.schema import call, dropped_call

DROPPED_MAX: Final = 1_000_000  # some 100 MB with their index


def note_dropped(
    connection: Connection, dropped: Mapping[str, NoRowReason], *, dropped_max: int = DROPPED_MAX
) -> None:
    """Remember why these calls have no row; those that have one are left out.

    Primary keys; counts the ids that are remembered.
    """
    ids = sorted(dropped)
    for start in range(0, len(ids), IN_MAX):
        part = ids[start : start + IN_MAX]
        stored = set(connection.scalars(select(call.c.id).where(call.c.id.in_(part))))
        rows = [{"call_id": id, "reason": dropped[id].value} for id in part if id not in stored]
        if rows:
            connection.execute(insert_new(connection, dropped_call), rows)
    excess = connection.execute(select(func.count()).select_from(dropped_call)).scalar_one()
    if excess > dropped_max:
        newest = select(dropped_call.c.call_id).order_by(dropped_call.c.call_id.desc())
        last = newest.offset(dropped_max - 1).limit(1).scalar_subquery()
        connection.execute(delete(dropped_call).where(dropped_call.c.call_id < last))
