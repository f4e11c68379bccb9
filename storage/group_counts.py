"""How many groups and calls are on each side, which groups are largest, what made them groups."""

from collections.abc import Sequence

from sqlalchemy import Connection, case, func, select

from storage.erasure import visible
from storage.rows import GroupSize, SideCount
from storage.schema import call, reservation_change
from storage.trace import Side
from storage.withheld import SYNTHETIC


def count_sides(connection: Connection, project: str) -> dict[Side, SideCount]:
    """Count the groups and calls of each side, made-up calls apart. Scans the project's calls."""
    real_group = case((call.c.source != SYNTHETIC, call.c.group_id))
    made_up = func.sum(case((call.c.source == SYNTHETIC, 1), else_=0))
    query = (
        select(call.c.side, func.count(real_group.distinct()), func.count(real_group), made_up)
        .where(call.c.project == project, *visible(connection))
        .group_by(call.c.side)
    )
    counts = dict.fromkeys(Side, SideCount(groups=0, calls=0))
    for side, groups, calls, synthetic in connection.execute(query):
        counts[Side(side)] = SideCount(groups, calls, int(synthetic))
    return counts


def list_largest(connection: Connection, project: str, limit: int) -> Sequence[GroupSize]:
    """List the groups with the most calls, largest first. Scans the project's calls.

    Of a group partly in quarantine, the side is that of the others where there are any.
    """
    size = func.count().label("size")
    side = func.max(call.c.side)  # "quarantine" sorts before the three others
    query = (
        select(call.c.group_id, func.min(call.c.group_source), side, size)
        .where(call.c.project == project, *visible(connection))
        .group_by(call.c.group_id)
        .order_by(size.desc(), call.c.group_id)
        .limit(limit)
    )
    return [
        GroupSize(group_id, source, Side(side), calls)
        for group_id, source, side, calls in connection.execute(query)
    ]


def count_sources(connection: Connection, project: str) -> dict[str, SideCount]:
    """Count groups and calls by what made them groups, most calls first. Scans the calls.

    More than one besides `previous_response` says that `group_by` was changed, or that only a part
    of the calls names its session: then one conversation may be in two groups.
    """
    source, calls = call.c.group_source, func.count()
    query = (
        select(source, func.count(call.c.group_id.distinct()), calls)
        .where(call.c.project == project, *visible(connection))
        .group_by(source)
        .order_by(calls.desc(), source)
    )
    return {name: SideCount(groups, calls) for name, groups, calls in connection.execute(query)}


def count_causes(connection: Connection, project: str) -> dict[str, int]:
    """Count the changes in the project's ledger by their cause. Scans them."""
    columns = reservation_change.c
    query = (
        select(columns.reason, func.count())
        .where(columns.project == project)
        .group_by(columns.reason)
        .order_by(columns.reason)
    )
    return {cause: count for cause, count in connection.execute(query)}
