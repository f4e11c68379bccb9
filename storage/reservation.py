"""Group to side; the policy and its ledger.

A group's side follows from a hash of the project's salt and the group's id, so it depends on
nothing that happened before; and it is written to the reservation ledger when the group's first
call is stored. The ledger is append-only: of the first rows the first commit wins, later rows of a
group (storage.sides) only ever take it from train to a side that is held out. (Of an erased group
the name may go: its rows stay, under `tombstone_of` it, and count when the group comes back.) A new
policy keeps the salt, so that raising a ratio only adds groups to a side and takes none away.

The salt divides groups, names what is left of erased ones and of persons who were erased, and does
nothing else: whoever assigns variants of an experiment by a hash takes a salt of his own, for with
this one a variant would be tested on its own arm. It is no secret: every manifest shows it.

The ratios are of groups, not of calls, and binomial: of 200 groups at 0.10, between 6 and 14.5 %
are test in 19 of 20 projects.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from storage.database import among, insert_missing, insert_new
from storage.schema import reservation, reservation_change, split_policy
from storage.trace import Side

TEST_RATIO = 0.10
VAL_RATIO = 0.05
SALT_BYTES = 16
# Ids in one IN (…): far below the 32,766 parameters of SQLite and the 65,535 of PostgreSQL.
IN_MAX = 1000


class PolicyError(ValueError):
    """Ratios that leave nothing to divide."""


class Cause(StrEnum):
    """Why the ledger has a row of a group."""

    FIRST_CALL = "first_call"  # its first row: the side by its hash
    RATIO_RAISED = "ratio_raised"  # taken from train by a larger share of test or val
    TOP_UP = "top_up"  # taken from train because test had too few groups
    JOINED = "joined"  # another group joined it that was on a side further held out
    QUARANTINE = "quarantine"  # another joined it when both had left; that one's calls are apart
    TARGETED = "targeted"  # calls of it are in a targeted test set: nothing of it is trained on
    TIME_HOLDOUT = "time_holdout"  # it left in a time hold-out: nothing of it is trained on


class Policy(msgspec.Struct, frozen=True):
    """How a project divides its groups. Ratios are shares of groups, 0..1."""

    version: int
    salt: str  # 32 hex characters
    test_ratio: float
    val_ratio: float


def u_of(salt: str, project: str, group_id: str) -> float:
    """Place a group uniformly in [0, 1): the first 8 bytes of a SHA-256, as a fraction.

    The same as `u` in any language: sha256(salt + NUL + project + NUL + group) over UTF-8, its
    first 64 bits as a big-endian integer, divided by 2**64.
    """
    text = f"{salt}\0{project}\0{group_id}".encode("utf-8", "surrogatepass")
    # The division rounds to 53 bits: the 1,024 topmost values would become 1.0, once in 2e16.
    return min(int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64, _BELOW_ONE)


def tombstone_of(salt: str, project: str, group_id: str) -> str:
    """Name what is left of an erased group: a hash that only who knows the salt can look for."""
    text = f"{salt}\0erased group\0{project}\0{group_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()


def side_of(u: float, test_ratio: float, val_ratio: float) -> Side:
    """Say on which side a group at `u` is: test from below, val from above, train between."""
    if u < test_ratio:
        return Side.TEST
    return Side.VAL if u >= 1 - val_ratio else Side.TRAIN


def validate_ratios(test_ratio: float, val_ratio: float) -> None:
    """Raise PolicyError unless both are in [0, 1) and leave something for train."""
    if not (0 <= test_ratio < 1 and 0 <= val_ratio < 1 and test_ratio + val_ratio < 1):
        raise PolicyError(
            f"test_ratio {test_ratio} and val_ratio {val_ratio}: write two shares of groups "
            "between 0 and 1 whose sum is below 1, such as 0.10 and 0.05"
        )


def find_policy(connection: Connection, project: str) -> Policy | None:
    """Read the policy in force, None before the project's first call. Reads the primary key."""
    columns = split_policy.c
    row = connection.execute(
        select(columns.version, columns.salt, columns.test_ratio, columns.val_ratio)
        .where(columns.project == project)
        .order_by(columns.version.desc())
        .limit(1)
    ).first()
    return None if row is None else Policy(*row)


def ensure_policy(
    connection: Connection, project: str, test_ratio: float, val_ratio: float, now_us: int
) -> Policy:
    """Read the policy in force; make the project's first one, with these ratios, if none is."""
    found = find_policy(connection, project)
    if found is None:
        salt = secrets.token_hex(SALT_BYTES)
        _add_policy(connection, project, Policy(1, salt, test_ratio, val_ratio), now_us)
        found = find_policy(connection, project)  # not necessarily ours: the first commit wins
    assert found is not None
    return found


def change_policy(
    connection: Connection, project: str, test_ratio: float, val_ratio: float, now_us: int
) -> Policy:
    """Put new ratios in force for groups not yet reserved; reserved ones stay where they are.

    Return the policy as it stands then: the old one, where nothing changes. Raise PolicyError
    for ratios that `validate_ratios` refuses.
    """
    validate_ratios(test_ratio, val_ratio)
    current = ensure_policy(connection, project, test_ratio, val_ratio, now_us)
    if (current.test_ratio, current.val_ratio) == (test_ratio, val_ratio):
        return current
    changed = Policy(current.version + 1, current.salt, test_ratio, val_ratio)
    _add_policy(connection, project, changed, now_us)
    return find_policy(connection, project) or changed


def reserve(
    connection: Connection, project: str, group_ids: Iterable[str], policy: Policy, now_us: int
) -> dict[str, Side]:
    """Return the side of every group, reserving those that are new. Uses the primary keys.

    Who stores calls by the answer holds their groups' sides (`storage.sides.hold`) before asking.
    """
    wanted = sorted(set(group_ids))
    sides = sides_of(connection, project, policy.salt, wanted)
    missing = [group_id for group_id in wanted if group_id not in sides]
    if missing:
        rows = []
        for group_id in missing:
            u = u_of(policy.salt, project, group_id)
            rows.append(
                {
                    "project": project,
                    "group_id": group_id,
                    "side": side_of(u, policy.test_ratio, policy.val_ratio).value,
                    "u": u,
                    "policy_version": policy.version,
                    "reason": Cause.FIRST_CALL.value,
                    "reserved_at": now_us,
                }
            )
        new = insert_missing(connection, reservation, rows)
        sides |= {str(row["group_id"]): Side(str(row["side"])) for row in new}
        if len(new) < len(missing):  # another host was first
            sides |= _reserved(connection, project, missing)
    return sides


def sides_of(
    connection: Connection, project: str, salt: str, group_ids: Iterable[str]
) -> dict[str, Side]:
    """Read the sides that groups have now, also under the names of erased ones. Primary keys.

    Groups without a reservation are left out.
    """
    wanted = sorted(set(group_ids))
    sides = _reserved(connection, project, wanted)
    names = tombstones_of(salt, project, set(wanted) - sides.keys())
    found = _reserved(connection, project, sorted(names))
    return sides | {names[tombstone]: side for tombstone, side in found.items()}


def tombstones_of(salt: str, project: str, group_ids: Iterable[str]) -> dict[str, str]:
    """Map the names that groups have after they were erased to the groups.

    A root is left out: it is a hash already, and keeps its name.
    """
    return {
        tombstone_of(salt, project, group_id): group_id
        for group_id in group_ids
        if not _ROOT.fullmatch(group_id)
    }


def side_now() -> ColumnElement[str]:
    """Say in SQL which side a row of `reservation` has now: that of the group's last change."""
    columns = reservation_change.c
    last = (
        select(columns.side)
        .where(
            columns.project == reservation.c.project,
            columns.group_id == reservation.c.group_id,
        )
        .order_by(columns.number.desc())
        .limit(1)
    )
    return func.coalesce(last.scalar_subquery(), reservation.c.side)


_ROOT = re.compile(r"[0-9a-f]{64}")
_BELOW_ONE = 1 - 2**-53  # the greatest float below 1


def _reserved(connection: Connection, project: str, group_ids: Sequence[str]) -> dict[str, Side]:
    columns = reservation.c
    rows = connection.execute(
        select(columns.group_id, side_now()).where(
            columns.project == project, among(connection, columns.group_id, group_ids)
        )
    )
    return {group_id: Side(side) for group_id, side in rows}


def _add_policy(connection: Connection, project: str, policy: Policy, now_us: int) -> None:
    connection.execute(
        insert_new(connection, split_policy),
        {"project": project, "created_at": now_us, **msgspec.structs.asdict(policy)},
    )
