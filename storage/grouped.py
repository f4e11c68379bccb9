"""Calls group by group, in ranges that several processes can read at the same time.

A range holds whole groups, in the order of their ids; within a group calls come in the order of
theirs. All ranges together hold every call of a project once. Where the cuts are depends on the
calls alone, not on who reads them.

Only what a dataset needs of a call is read. Memory: the ids of a range's first groups, a page of
rows, and bodies of BODIES_BYTES_MAX (storage.reader). Not here: tags, measures, prices.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import Integer, Row, case, func, literal, select

from storage.bodies import BodyReader
from storage.capture import Capture
from storage.erasure import visible
from storage.filters import compile_filter
from storage.reader import BODIES_BYTES_MAX, PAGE_ROWS, StoreReader
from storage.schema import call
from storage.trace import Side

_Page = Sequence[Row[*tuple[Any, ...]]]


class GroupRange(NamedTuple):
    """Groups from `start` on and before `end`; to the last one where `end` is None."""

    start: str
    end: str | None


class GroupedCall(NamedTuple):
    """What a dataset needs of a stored call. `matches`: the filter, if there is one.

    `capture` is None where the body was deleted by its age.
    """

    id: str
    group_id: str
    side: Side
    source: str
    matches: bool
    capture: Capture | None


class ProjectSize(NamedTuple):
    """`body_bytes`: requests and answers as they passed, before anything was compressed."""

    calls: int
    body_bytes: int


def size_of(reader: StoreReader, project: str) -> ProjectSize:
    """Count the calls of a project, and the bytes of their bodies. Scans its calls."""
    bodies = func.sum(call.c.request_bytes + call.c.response_bytes)
    with reader.reading() as connection:
        query = select(func.count(), func.coalesce(bodies, 0)).where(call.c.project == project)
        calls, body_bytes = connection.execute(query.where(*visible(connection))).one()
    return ProjectSize(calls, int(body_bytes))


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


def read_groups(
    reader: StoreReader, project: str, where: str | None, among: GroupRange
) -> Generator[GroupedCall]:
    """Read the calls of a range, group after group, by id within each; `where` leaves none out.

    Index (project, group_id), and a sort within each group; bodies by their primary key.
    """
    # A number, for SQLite has no truth values; what a filter cannot tell, it does not match.
    matches = (
        case((compile_filter(where), 1), else_=0) if where is not None else literal(1, Integer)
    )
    query = select(
        call.c.id,
        call.c.group_id,
        call.c.side,
        call.c.source,
        matches.label("matches"),
        (call.c.request_bytes + call.c.response_bytes).label("body_bytes"),
    ).where(call.c.project == project, call.c.group_id >= among.start)
    if among.end is not None:
        query = query.where(call.c.group_id < among.end)
    with reader.reading() as connection:
        query = query.where(*visible(connection)).order_by(call.c.group_id, call.c.id)
        bodies = BodyReader(connection)
        result = connection.execute(query, execution_options={"yield_per": PAGE_ROWS})
        with closing(result):  # whoever reads them may have had enough
            for page in result.partitions():
                yield from _with_captures(bodies, page)


def _with_captures(bodies: BodyReader, page: _Page) -> Generator[GroupedCall]:
    for part in _parts(page):
        captures = bodies.captures([found.id for found in part])
        following = next(captures, None)
        for found in part:
            capture = None
            if following is not None and following[0] == found.id:
                capture, following = following[1], next(captures, None)
            side = Side(found.side)
            matches = bool(found.matches)
            yield GroupedCall(found.id, found.group_id, side, found.source, matches, capture)


def _parts(
    page: _Page,
) -> Generator[_Page]:
    """Divide a page so that the bodies of a part stay below BODIES_BYTES_MAX, uncompressed."""
    start = size = 0
    for index, found in enumerate(page):
        if index > start and size + found.body_bytes > BODIES_BYTES_MAX:
            yield page[start:index]
            start, size = index, 0
        size += found.body_bytes
    yield page[start:]
