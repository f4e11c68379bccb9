"""Calls group by group, in ranges that several processes can read at the same time.

A range holds whole groups, in the order of their ids; within a group calls come in the order of
theirs. All ranges together hold every call of a project once. Where the cuts are depends on the
calls alone, not on who reads them.

Only what a dataset needs of a call is read. Memory: where the ranges begin, a page of rows, and
bodies of BODIES_BYTES_MAX (storage.reader). Not here: tags, measures, prices.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Row, and_, case, func, literal, select

from storage.bodies import BodyReader
from storage.capture import Capture
from storage.column_types import id_text
from storage.database import listed
from storage.erasure import visible
from storage.filters import compile_filter
from storage.labels import Label, Score
from storage.lists import BY_ID
from storage.reader import BODIES_BYTES_MAX, PAGE_ROWS, StoreReader
from storage.schema import call, label
from storage.short_columns import read_column
from storage.trace import Side

GROUPS_AT_ONCE = 10_000

_SIDES: Mapping[str, Side] = {side.value: side for side in Side}
_Page = Sequence[Row[*tuple[Any, ...]]]


class GroupRange(NamedTuple):
    """Groups from `start` on and before `end`; to the last one where `end` is None."""

    start: str
    end: str | None


class GroupedCall(NamedTuple):
    """What a dataset needs of a stored call. `matches`: the filter, if there is one.

    `capture` is None where the body was deleted by its age. `labels` and `scores`: oldest first.
    """

    id: str
    group_id: str
    side: Side
    source: str
    matches: bool
    regenerated_from: str
    edited_from: str
    capture: Capture | None
    labels: tuple[Label, ...] = ()
    scores: tuple[Score, ...] = ()


class ProjectSize(NamedTuple):
    """`body_bytes`: requests and answers as they passed, before anything was compressed."""

    calls: int
    groups: int
    body_bytes: int


def size_of(reader: StoreReader, project: str) -> ProjectSize:
    """Count the calls and groups of a project, and the bytes of its bodies.

    Scans its calls in the order of their ids, and the index (project, group_id).
    """
    bodies = func.sum(call.c.request_bytes + call.c.response_bytes)
    with reader.reading() as connection:
        query = select(func.count(), func.coalesce(bodies, 0)).where(call.c.project == project)
        seen = visible(connection)
        calls, body_bytes = connection.execute(query.where(BY_ID, *seen)).one()
        groups = select(call.c.group_id).where(call.c.project == project, *seen).distinct()
        counted = select(func.count()).select_from(groups.subquery())
        return ProjectSize(calls, connection.scalar(counted) or 0, int(body_bytes))


def group_ranges(reader: StoreReader, project: str, calls: int) -> Sequence[GroupRange]:
    """Cut a project's groups into ranges of about so many calls; a larger group is one of its own.

    Index (project, group_id), scanned once.
    """
    numbered = (
        select(
            call.c.group_id,
            (func.row_number().over(order_by=call.c.group_id) % calls).label("place"),
        )
        .where(call.c.project == project)
        .subquery()
    )
    every = select(numbered.c.group_id).where(numbered.c.place == 0).order_by(numbered.c.group_id)
    with reader.reading() as connection:
        starts = list(dict.fromkeys(["", *connection.scalars(every)]))
    return [GroupRange(start, end) for start, end in zip(starts, [*starts[1:], None], strict=True)]


def has_labels(reader: StoreReader) -> bool:
    """Tell whether the store has any label, of whatever project."""
    with reader.reading() as connection:
        return connection.scalar(select(label.c.id).limit(1)) is not None


def group_ids(reader: StoreReader, project: str, among: GroupRange) -> Sequence[str]:
    """List the groups of a range, in order, those of which nothing is to be seen included.

    Index (project, group_id), without the rows.
    """
    query = select(call.c.group_id).where(call.c.project == project, *_within(among))
    with reader.reading() as connection:
        return connection.scalars(query.distinct().order_by(call.c.group_id)).all()


def group_firsts(
    reader: StoreReader, project: str, group_ids: Sequence[str]
) -> Sequence[tuple[str, str]]:
    """Read the ids of some groups' first calls, in that order; of none to be seen, nothing.

    Index (project, group_id), and a row for each call of these groups.
    """
    firsts: dict[str, str] = {}
    with reader.reading() as connection:
        seen = visible(connection)
        for start in range(0, len(group_ids), GROUPS_AT_ONCE):
            wanted = listed(connection, group_ids[start : start + GROUPS_AT_ONCE])
            # Joined: for a minimum by itself SQLite goes through all ids until one is of the group.
            of_group = and_(call.c.project == project, call.c.group_id == wanted.c.value)
            query = select(wanted.c.value, func.min(id_text(call.c.id))).join(call, of_group)
            rows = connection.execute(query.where(*seen).group_by(wanted.c.value))
            firsts.update((group_id, call_id) for group_id, call_id in rows)
    return [(group_id, firsts[group_id]) for group_id in group_ids if group_id in firsts]


def read_groups(
    reader: StoreReader,
    project: str,
    where: str | None,
    among: GroupRange,
    *,
    labels: bool = False,
    scores: bool = False,
) -> Generator[GroupedCall]:
    """Read the calls of a range, group after group, by id within each; `where` leaves none out.

    Index (project, group_id), and a sort within each group; bodies by their primary key. `labels`
    and `scores` are looked up where they are asked for, by their indexes.
    """
    # A number, for SQLite has no truth values; what a filter cannot tell, it does not match.
    matches = (
        case((compile_filter(where), 1), else_=0) if where is not None else literal(1, Integer)
    )
    query = select(
        call.c.id,
        call.c.group_id,
        call.c.side,
        read_column("source"),
        matches.label("matches"),
        call.c.regenerated_from,
        call.c.edited_from,
        (call.c.request_bytes + call.c.response_bytes).label("body_bytes"),
    ).where(call.c.project == project, *_within(among))
    with reader.reading() as connection:
        query = query.where(*visible(connection)).order_by(call.c.group_id, call.c.id)
        bodies = BodyReader(connection)
        result = connection.execute(query, execution_options={"yield_per": PAGE_ROWS})
        with closing(result):  # whoever reads them may have had enough
            for page in result.partitions():
                ids = [found.id for found in page]
                said = reader.labels(ids) if labels else {}
                judged = reader.scores(ids) if scores else {}
                for found, capture in _with_captures(bodies, page):
                    # Taken apart at once: an attribute of a row takes 0.3 µs.
                    call_id, group_id, side, source, matching, again_of, edit_of, _ = found
                    yield GroupedCall(
                        call_id,
                        group_id,
                        _SIDES[side],
                        source,
                        bool(matching),
                        again_of,
                        edit_of,
                        capture,
                        said.get(call_id, ()),
                        judged.get(call_id, ()),
                    )


def _within(among: GroupRange) -> list[ColumnElement[bool]]:
    end = [] if among.end is None else [call.c.group_id < among.end]
    return [call.c.group_id >= among.start, *end]


def _with_captures(
    bodies: BodyReader, page: _Page
) -> Generator[tuple[Row[*tuple[Any, ...]], Capture | None]]:
    for part in _parts(page):
        ids = [found.id for found in part]
        captures = bodies.captures(ids)
        following = next(captures, None)
        for call_id, found in zip(ids, part, strict=True):
            capture = None
            if following is not None and following[0] == call_id:
                capture, following = following[1], next(captures, None)
            yield found, capture


def _parts(page: _Page) -> Generator[_Page]:
    """Divide a page so that the bodies of a part stay below BODIES_BYTES_MAX, uncompressed."""
    start = size = 0
    for index, found in enumerate(page):
        if index > start and size + found.body_bytes > BODIES_BYTES_MAX:
            yield page[start:index]
            start, size = index, 0
        size += found.body_bytes
    yield page[start:]
