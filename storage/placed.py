"""Why a group is on the side it is on, where that is not the side its hash gives it now.

The ledger says it: its last change of the group's side, or else the policy that was in force when
the group's first call was stored, in `policy_1`'s form: a ratio lowered since releases no group,
and one raised takes none that has left.
"""

from sqlalchemy import select

from storage.reader import StoreReader
from storage.reservation import tombstone_of
from storage.schema import reservation, reservation_change


def why_there(reader: StoreReader, project: str, salt: str, group_id: str) -> str:
    """Give the reason in the ledger's word, empty where the ledger has none.

    Primary keys, of the group's name and of its tombstone: an erased group may have come back.
    """
    names = (group_id, tombstone_of(salt, project, group_id))
    changed = (
        select(reservation_change.c.reason)
        .where(reservation_change.c.project == project, reservation_change.c.group_id.in_(names))
        .order_by(reservation_change.c.number.desc())
        .limit(1)
    )
    first = select(reservation.c.policy_version).where(
        reservation.c.project == project, reservation.c.group_id.in_(names)
    )
    with reader.reading() as connection:
        reason = connection.scalar(changed)
        version = connection.scalar(first) if reason is None else None
    if reason is not None:
        return str(reason)
    return "" if version is None else f"policy_{version}"
