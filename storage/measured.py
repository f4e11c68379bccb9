"""What was measured of many calls, read for drift: columns, in pages, and never a body.

Two looks: which calls there are (three columns of each, and which of their groups began earlier),
and what was measured of those chosen. Whoever wants both of one state of the store makes them in
one `reading`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, TypeVarTuple

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, select

from storage.capture import Endpoint, Outcome
from storage.database import among, listed
from storage.erasure import visible
from storage.grouping import TAG_PREFIX
from storage.id_range import IdRange, ids_between
from storage.label_rows import score_names
from storage.lists import conditions
from storage.rows import IS_MEASURED
from storage.schema import body, call, score, text_feature, tool_set
from storage.short_columns import read_column
from storage.trace import Side
from storage.withheld import SYNTHETIC

ROWS_AT_ONCE: Final = 2_000  # more at a time are slower: the garbage collector looks at them all

Columns = TypeVarTuple("Columns")
Scores = dict[str, dict[str, float | str]]  # of calls by their ids, by name

EVERY_ID: Final = IdRange("")  # with a beginning, for SQLite: storage.lists.BY_ID
_TERMS: Final = ("prompt_terms", "answer_terms", "answer_fields")


def read_candidates(
    connection: Connection, project: str, where: str | None, endpoints: Collection[Endpoint]
) -> Iterator[Sequence[Row[str, str, int]]]:
    """Read id, group and start of the complete calls that a filter matches and somebody made.

    In pages, of some endpoints, in no order. Index (project, id) for a time, or what the planner
    prefers for the filter; raises FilterError.
    """
    query = select(call.c.id, call.c.group_id, call.c.started_at).where(
        *conditions(project, where), *_counting(endpoints), *visible(connection)
    )
    yield from _pages(connection, query)


def read_leaving(
    connection: Connection,
    project: str,
    where: str | None,
    endpoints: Collection[Endpoint],
    sides: Collection[Side],
    ids: IdRange = EVERY_ID,
) -> Iterator[Sequence[Row[str, str, int, str]]]:
    """Read id, group, start and side of those of such calls that may leave on some sides.

    Of a range of ids. Without its body a call leaves in no export. Index (project, id), about the
    order in which rows and bodies lie: 1.5 microseconds a call, six in the order of their groups.
    Raises FilterError.
    """
    has_body = exists().where(body.c.call_id == call.c.id)
    query = select(call.c.id, call.c.group_id, call.c.started_at, call.c.side).where(
        *conditions(project, where),
        *_counting(endpoints),
        *visible(connection),
        *ids.conditions(call.c.id),
        call.c.side.in_([side.value for side in sides]),
        has_body,
    )
    yield from _pages(connection, query)


def id_ranges(connection: Connection, project: str, calls: int) -> Sequence[IdRange]:
    """Cut a project's calls into ranges of so many ids. Index (project, id), without the rows."""
    cuts = [""]
    query = select(call.c.id).where(call.c.project == project).order_by(call.c.id)
    while cut := connection.scalar(query.where(call.c.id >= cuts[-1]).offset(calls).limit(1)):
        cuts.append(cut)
    return [IdRange(first, before) for first, before in zip(cuts, [*cuts[1:], None], strict=True)]


def first_and_last(
    connection: Connection, project: str, where: str | None, endpoints: Collection[Endpoint]
) -> tuple[int, int]:
    """Say when the first and the last of such calls started, in microseconds; 0 of none.

    Scans the calls of the filter.
    """
    query = select(func.min(call.c.started_at), func.max(call.c.started_at)).where(
        *conditions(project, where, has_order=False),
        *_counting(endpoints),
        *visible(connection),
    )
    first, last = connection.execute(query).one()
    return first or 0, last or 0


def begun_before(
    connection: Connection,
    project: str,
    where: str | None,
    endpoints: Collection[Endpoint],
    group_ids: Sequence[str],
    before_us: int,
) -> set[str]:
    """Say which of some groups had a call such as `read_candidates` reads before a time.

    In microseconds. A user or a tag is no piece of work that begins: a group that was made of one
    is never among them. Index (project, group_id), up to the first such call of each group.
    """
    begun: set[str] = set()
    for start in range(0, len(group_ids), ROWS_AT_ONCE):
        wanted = listed(connection, group_ids[start : start + ROWS_AT_ONCE])
        earlier = select(call.c.id).where(
            *conditions(project, where),
            *_counting(endpoints),
            *visible(connection),
            call.c.group_id == wanted.c.value,
            call.c.group_source != "user",
            call.c.group_source.not_like(f"{TAG_PREFIX}%"),
            call.c.started_at < before_us,
        )
        first = earlier.limit(1).correlate(wanted).scalar_subquery()
        rows = connection.execute(select(wanted.c.value, first))
        begun.update(group_id for group_id, found in rows if found is not None)
    return begun


def read_columns(connection: Connection, call_ids: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Read columns of some calls, in the order of their ids, but for terms and tools.

    Each field of `schema` is a column of `call` or `text_feature`, by its name; what is not in the
    sample of texts is null there, as are `tools` and the terms. Calls without features are left
    out. Primary keys.
    """
    read = [field.name for field in schema if field.name not in (*_TERMS, "tools")]
    sampled = _same_version()
    query = (
        select(*map(_column, read))
        .join_from(call, text_feature, sampled, isouter=True)
        .where(IS_MEASURED)
    )
    tables = []
    for start in range(0, len(call_ids), ROWS_AT_ONCE):
        part = call_ids[start : start + ROWS_AT_ONCE]
        of_part = query.where(among(connection, call.c.id, part)).order_by(call.c.id)
        rows = connection.execute(of_part).all()
        values = dict(zip(read, zip(*rows, strict=True), strict=True)) if rows else {}
        arrays = [
            pa.array(values[field.name], field.type)
            if field.name in values
            else pa.nulls(len(rows), field.type)
            for field in schema
        ]
        tables.append(pa.table(arrays, schema))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def read_terms(connection: Connection, call_ids: Sequence[str]) -> dict[str, Sequence[bytes]]:
    """Read the terms of some calls in the sample: those of prompts, of answers, of fields.

    Nothing for a call that is not in it. Primary key.
    """
    query = select(text_feature.c.call_id, *(text_feature.c[name] for name in _TERMS))
    terms: dict[str, Sequence[bytes]] = {}
    for start in range(0, len(call_ids), ROWS_AT_ONCE):
        part = call_ids[start : start + ROWS_AT_ONCE]
        rows = connection.execute(query.where(among(connection, text_feature.c.call_id, part)))
        terms.update((row[0], row[1:]) for row in rows)
    return terms


def measured_whole(
    connection: Connection, call_ids: Sequence[str], feature_version: int
) -> set[str]:
    """Say of which calls features and texts were measured, by a version. Primary keys."""
    query = select(call.c.id).join(text_feature, _same_version())
    query = query.where(call.c.feature_version == feature_version)
    found: set[str] = set()
    for start in range(0, len(call_ids), ROWS_AT_ONCE):
        part = call_ids[start : start + ROWS_AT_ONCE]
        found.update(connection.scalars(query.where(among(connection, call.c.id, part))))
    return found


def read_tool_sets(connection: Connection, hashes: Sequence[str]) -> dict[str, str]:
    """Read the JSON lists of tools that some hashes stand for. Primary key."""
    known: dict[str, str] = {}
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        part = hashes[start : start + ROWS_AT_ONCE]
        query = select(tool_set.c.tools_hash, tool_set.c.tools)
        rows = connection.execute(query.where(among(connection, tool_set.c.tools_hash, part)))
        known.update((row.tools_hash, row.tools) for row in rows)
    return known


def read_score_values(connection: Connection, project: str, call_ids: Sequence[str]) -> Scores:
    """Read the scores of some calls by name: a number, 0 or 1 for a truth value, or a text.

    Of several under one name the newest. Index (call_id, name).
    """
    scores: Scores = {}
    if not score_names(connection, project):
        return scores
    query = select(score.c.call_id, score.c.name, score.c.number, score.c.text)
    for start in range(0, len(call_ids), ROWS_AT_ONCE):
        part = call_ids[start : start + ROWS_AT_ONCE]
        of_part = query.where(among(connection, score.c.call_id, part))
        ordered = of_part.order_by(score.c.created_at, score.c.id)
        for call_id, name, number, text in connection.execute(ordered):
            scores.setdefault(call_id, {})[name] = text if number is None else number
    return scores


def count_between(connection: Connection, project: str, start: int, end: int) -> int:
    """Count the calls whose ids are of a range of times, in microseconds, or a minute around it.

    So that who keeps what was read of them can tell whether any came or went. Index (project, id),
    without the rows: a millisecond for 20,000, unless an erasure is going on.
    """
    within = ids_between(start, end - 1).conditions(call.c.id)
    query = select(func.count()).select_from(call).where(call.c.project == project, *within)
    return connection.execute(query.where(*visible(connection))).scalar_one()


def visible_ids(connection: Connection, call_ids: Sequence[str]) -> set[str]:
    """Say which of some calls are there and are not to be forgotten. Primary key."""
    seen: set[str] = set()
    for start in range(0, len(call_ids), ROWS_AT_ONCE):
        part = call_ids[start : start + ROWS_AT_ONCE]
        query = select(call.c.id).where(among(connection, call.c.id, part))
        seen.update(connection.scalars(query.where(*visible(connection))))
    return seen


def _pages(connection: Connection, query: Select[*Columns]) -> Iterator[Sequence[Row[*Columns]]]:
    result = connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
    with closing(result):
        yield from result.partitions()


def _same_version() -> ColumnElement[bool]:
    """Say that the texts of a call were measured by the version that measured it."""
    same = text_feature.c.feature_version == call.c.feature_version
    return and_(text_feature.c.call_id == call.c.id, same)


def _counting(endpoints: Collection[Endpoint]) -> list[ColumnElement[bool]]:
    """Say that a call is complete, of some endpoints, and that somebody made it."""
    return [
        call.c.outcome == Outcome.COMPLETE.value,
        call.c.endpoint.in_(sorted(endpoint.value for endpoint in endpoints)),
        call.c.source != SYNTHETIC,
    ]


def _column(name: str) -> ColumnElement[Any]:
    if name == "call_id":
        return call.c.id
    return read_column(name) if name in call.c else text_feature.c[name]
