"""Scores and labels as rows of the store, and as they are read again.

A verdict is a row of `label`; the newest one is what a label's status is. What is read is of calls
that can be seen (storage.erasure); what still waits for its call is only counted.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Table, func, select

from storage.erasure import visible
from storage.labels import (
    Label,
    LabelSource,
    Said,
    Score,
    ScoreSource,
    Status,
    Value,
    Verdict,
    decode_message,
    encode_message,
)
from storage.reservation import IN_MAX
from storage.rows import Values, microseconds_of, storable, time_of
from storage.schema import call, label, score

TABLES: Final = (score, label)

Found = Row[*tuple[Any, ...]]


class Place(NamedTuple):
    """Which call is meant, of which project; `joined_at` is None where it is not here yet."""

    call_id: str
    project: str
    joined_at: int | None


def read_scores(connection: Connection, call_ids: Sequence[str]) -> dict[str, tuple[Score, ...]]:
    """Read the scores of calls that can be seen, oldest first. Index (call_id, name)."""
    found: dict[str, tuple[Score, ...]] = {}
    for row in _read(connection, score, call_ids):
        found[row.call_id] = (*found.get(row.call_id, ()), score_of(row))
    return found


def read_labels(connection: Connection, call_ids: Sequence[str]) -> dict[str, tuple[Label, ...]]:
    """Read the labels of calls that can be seen, oldest first, rejected ones too. Index (call_id).

    The status is that of the newest verdict, where there is one.
    """
    rows = list(_read(connection, label, call_ids))
    verdicts = {row.label_id: Status(row.status) for row in rows if row.label_id}
    found: dict[str, tuple[Label, ...]] = {}
    for row in rows:
        if not row.label_id:
            status = verdicts.get(row.id, Status(row.status))
            found[row.call_id] = (*found.get(row.call_id, ()), _label_of(row, status))
    return found


def read_verdicts(connection: Connection, call_id: str) -> Sequence[Verdict]:
    """Read the verdicts on the labels of one call, oldest first. Index (call_id)."""
    return [_verdict_of(row) for row in _read(connection, label, [call_id]) if row.label_id]


def count_waiting(connection: Connection) -> int:
    """Count what waits for its call. Two partial indexes."""
    return sum(
        connection.execute(
            select(func.count()).select_from(table).where(table.c.joined_at.is_(None))
        ).scalar_one()
        for table in TABLES
    )


def score_names(connection: Connection, project: str) -> set[str]:
    """List the names of a project's scores. Scans its part of the index (project, name)."""
    names = select(score.c.name).where(score.c.project == project).distinct()
    return set(connection.scalars(names))


def known_said(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Say which of these scores, labels and verdicts are stored. Primary keys."""
    known: set[str] = set()
    for table in TABLES:
        known.update(connection.scalars(select(table.c.id).where(table.c.id.in_(ids))))
    return known


def score_values(said: Score, place: Place) -> Values:
    """Write the row of a score."""
    value = said.value
    kind = "text" if isinstance(value, str) else "number"
    return {
        **_said_values(said, place),
        "provider_id": said.provider_id,
        "session_id": said.session_id,
        "source": said.source.value,
        "name": said.name,
        "kind": "boolean" if isinstance(value, bool) else kind,
        "number": None if isinstance(value, str) else float(value),
        "text": storable(value) if isinstance(value, str) else "",
        "comment": storable(said.comment),
    }


def label_values(said: Label, place: Place) -> Values:
    """Write the row of a label."""
    return {
        **_said_values(said, place),
        "provider_id": said.provider_id,
        "session_id": said.session_id,
        "source": said.source.value,
        "label_id": "",
        "status": said.status.value,
        "message": encode_message(said.message),
        "note": storable(said.note),
    }


def verdict_values(said: Verdict, place: Place) -> Values:
    """Write the row of a verdict."""
    return {
        **_said_values(said, place),
        "provider_id": "",
        "session_id": "",
        "source": LabelSource.HUMAN.value,
        "label_id": said.label_id,
        "status": said.status.value,
        "message": "",
        "note": storable(said.note),
    }


def score_of(row: Found) -> Score:
    """Make a score of its row."""
    value: Value = row.text
    if row.kind != "text":
        value = bool(row.number) if row.kind == "boolean" else row.number
    return Score(
        row.id,
        row.project,
        row.call_id,
        row.provider_id,
        row.session_id,
        time_of(row.created_at),
        row.name,
        value,
        row.comment,
        ScoreSource(row.source),
        row.author,
    )


def _said_values(said: Said, place: Place) -> Values:
    return {
        "id": said.id,
        "project": place.project,
        "call_id": place.call_id,
        "joined_at": place.joined_at,
        "created_at": microseconds_of(said.created_at),
        "author": storable(said.author),
    }


def _label_of(row: Found, status: Status) -> Label:
    return Label(
        row.id,
        row.project,
        row.call_id,
        row.provider_id,
        row.session_id,
        time_of(row.created_at),
        decode_message(row.message),
        row.note,
        LabelSource(row.source),
        row.author,
        status,
    )


def _verdict_of(row: Found) -> Verdict:
    return Verdict(
        row.id,
        row.project,
        row.call_id,
        row.label_id,
        time_of(row.created_at),
        Status(row.status),
        row.note,
        row.author,
    )


def _read(connection: Connection, table: Table, call_ids: Sequence[str]) -> Iterator[Found]:
    columns = table.c
    seen = visible(connection)
    for start in range(0, len(call_ids), IN_MAX):
        query = select(table).join(call, call.c.id == columns.call_id).where(*seen)
        query = query.where(columns.call_id.in_(call_ids[start : start + IN_MAX]))
        yield from connection.execute(query.order_by(columns.created_at, columns.id))
