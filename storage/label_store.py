"""Scores and labels in the store: added, joined to the calls they are about, forgotten.

What is said of a call may come before it, and waits then: `joined_at` is NULL. A batch of calls
looks for what waits for them, and moves what was said of a session to its newest call that began
before that was said (storage.labels has the rule), so the order in which things come to be stored
does not matter. On several hosts a batch of calls and what is said never pass each other unseen:
who adds what was said waits until the batches that are being stored are there, and they for it.

A score that says again what the newest of its kind says (call, name, source, author) is kept once.
What is said of an erased call is not stored, and its id kept with that of the call, so that it can
be found in the spool.

Cost of a batch of calls: four look-ups in partial indexes that are empty as a rule.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    select,
    update,
)

from storage.column_types import CALL_ID, NO_ID, id_text
from storage.database import insert_missing
from storage.erasure import Erasure, Kind, Matcher, matcher, remember, since
from storage.label_rows import (
    TABLES,
    Found,
    Place,
    label_values,
    score_of,
    score_values,
    verdict_values,
)
from storage.labels import Label, Said, Score
from storage.reservation import IN_MAX
from storage.rows import Recorded, Values, microseconds_of, storable
from storage.schema import call, erased_call, label, score
from storage.short_columns import of_answer, of_session

EXPIRED_AT_ONCE: Final = 500
ALIKE_MAX: Final = 100  # scores of one call or session read to find one of a kind
_LOCK: Final = 0x6C6162656C  # "label": any number that nobody else in the database takes
# Literally, for a partial index to be used.
_NOTHING: Final[ColumnElement[str]] = literal_column("''")


def keep_apart(connection: Connection, *, adding: bool) -> None:
    """Wait for those whose writes one must see; hold it until the transaction ends.

    Who adds what was said is alone; batches of calls, and who deletes, are so together. SQLite has
    one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        wait = func.pg_advisory_xact_lock if adding else func.pg_advisory_xact_lock_shared
        connection.execute(select(wait(_LOCK)))


def add(connection: Connection, said: Sequence[Said], now_us: int) -> None:
    """Store what was said, but for what is there already or of a call that was erased.

    Primary keys, and for each the index by which its call is found.
    """
    fresh = {each.id: each for each in reversed(said)}
    for call_ids in _slices(fresh):
        for table in TABLES:
            known = select(table.c.id).where(table.c.id.in_(call_ids))
            for there in connection.scalars(known).all():
                del fresh[there]
    erased = dict(_erased(connection, list(fresh.values())))
    remember(connection, erased)
    kept = [each for each in fresh.values() if each.id not in erased]
    for each in sorted(kept, key=lambda each: (each.created_at, each.id)):
        if isinstance(each, Score):
            place = _place(connection, each, now_us)
            if not _repeats(connection, each, place):
                insert_missing(connection, score, [score_values(each, place)])
        elif isinstance(each, Label):
            place = _place(connection, each, now_us)
            insert_missing(connection, label, [label_values(each, place)])
        else:
            joined = Place(each.call_id, each.project, now_us)
            insert_missing(connection, label, [verdict_values(each, joined)])


def join(connection: Connection, new: Sequence[Recorded], now_us: int) -> None:
    """Give new calls what was said of them before they came."""
    if not new:
        return
    comers = _Comers(new)
    for table in TABLES:
        columns = table.c
        waiting = columns.joined_at.is_(None)
        found: dict[str, Found] = {}
        if _is_any(connection, table, waiting):
            found |= _rows_with(connection, table, columns.call_id, list(comers.by_id), waiting)
            provider_ids = list(comers.by_provider_id)
            found |= _rows_with(connection, table, columns.provider_id, provider_ids, waiting)
        of_session = columns.session_id != _NOTHING
        if comers.by_session and _is_any(connection, table, of_session):
            sessions = list(comers.by_session)
            # The index begins with the project.
            meant = of_session & columns.project.in_(sorted(set(comers.by_id.values())))
            found |= _rows_with(connection, table, columns.session_id, sessions, meant)
        changes = [change for row in found.values() for change in comers.take(row, now_us)]
        if changes:
            changed = update(table).where(columns.id == bindparam("of"))
            names = ("call_id", "project", "joined_at")
            to: dict[str, object] = {name: bindparam(f"to_{name}") for name in names}
            connection.execute(changed.values(to), changes)


def forget(connection: Connection, call_ids: Sequence[str], erasure_id: str | None = None) -> None:
    """Delete what was said of calls; with `erasure_id`, its ids are kept as erased by it.

    Index (call_id). At most IN_MAX calls.
    """
    for table in TABLES:
        _forget(connection, table, table.c.call_id.in_(call_ids), erasure_id)


def forget_refused(connection: Connection, call_ids: Sequence[str]) -> None:
    """Delete what was said of calls that were erased before they came. Index (call_id)."""
    for part in _slices(call_ids):
        query = select(erased_call.c.call_id, erased_call.c.erasure_id)
        for call_id, erasure_id in connection.execute(query.where(erased_call.c.call_id.in_(part))):
            forget(connection, [call_id], erasure_id)


def forget_texts(connection: Connection, call_ids: Sequence[str]) -> None:
    """Delete what was written of calls whose bodies go: labels, and the comments of scores."""
    connection.execute(delete(label).where(label.c.call_id.in_(call_ids)))
    commented = score.c.call_id.in_(call_ids) & (score.c.comment != "")
    connection.execute(update(score).where(commented).values(comment=""))


def forget_waiting(connection: Connection, wanted: Erasure) -> None:
    """Delete what was said of an erased call or session that has not come, and may never.

    Indexes (call_id), and (project, session_id), partial.
    """
    selection = wanted.selection
    if selection.kind is Kind.ID:
        forget(connection, selection.ids, wanted.id)
    elif selection.kind is Kind.SESSION and not selection.hashed and selection.value:
        for table in TABLES:
            columns = table.c
            meant = (
                (columns.project == wanted.project)
                & (columns.session_id == selection.value)
                & (columns.session_id != _NOTHING)
                & (columns.created_at <= wanted.requested_at)
            )
            _forget(connection, table, meant, wanted.id)


def expire(connection: Connection, said_before_us: int) -> int:
    """Delete some of what has waited too long for its call; return how many."""
    count = 0
    for table in TABLES:
        columns = table.c
        old = select(columns.id).where(
            columns.joined_at.is_(None), columns.created_at < said_before_us
        )
        ids = connection.scalars(old.limit(EXPIRED_AT_ONCE)).all()
        if ids:
            connection.execute(delete(table).where(columns.id.in_(ids)))
        count += len(ids)
    return count


class _Comers:
    """New calls, as what was said of them finds them."""

    def __init__(self, new: Sequence[Recorded]) -> None:
        self.by_id: dict[str, str] = {}  # id -> project
        self.by_provider_id: dict[str, list[str]] = {}
        self.by_session: dict[str, list[str]] = {}
        for recorded in new:
            span = recorded.span
            self.by_id[span.id] = span.project
            if provider_id := storable(span.understood.provider_id):
                self.by_provider_id.setdefault(provider_id, []).append(span.id)
            if session_id := storable(span.session_id):
                self.by_session.setdefault(session_id, []).append(span.id)

    def take(self, row: Found, now_us: int) -> Iterator[Values]:
        """Yield the change of a row that one of them is meant by, if there is any."""
        if row.provider_id:
            candidates = self.by_provider_id.get(row.provider_id, [])
        elif row.session_id:
            candidates = self.by_session.get(row.session_id, [])
        else:
            yield {
                "of": row.id,
                "to_call_id": row.call_id,
                "to_project": self.by_id[row.call_id],
                "to_joined_at": now_us,
            }
            return
        of_project = [each for each in candidates if self.by_id[each] == row.project]
        chosen = _nearest([*filter(None, [row.call_id]), *of_project], row.created_at)
        if chosen and chosen != row.call_id:
            yield {
                "of": row.id,
                "to_call_id": chosen,
                "to_project": row.project,
                "to_joined_at": now_us,
            }


def _nearest(call_ids: Iterable[str], created_us: int) -> str | None:
    """Choose the newest call that began before something was said, else the first one."""
    ids = sorted(call_ids)
    before = [each for each in ids if each <= _last_id_at(created_us)]
    return before[-1] if before else next(iter(ids), None)


def _last_id_at(microseconds: int) -> str:
    return f"{microseconds // 1000:012x}{'f' * 20}"


def _place(connection: Connection, said: Score | Label, now_us: int) -> Place:
    """Find the call that is meant. Its primary key, or the index of what it is named by."""
    if said.call_id:
        of_call = select(call.c.project).where(call.c.id == said.call_id)
        project = connection.scalar(of_call)
        if project is None:
            return Place(said.call_id, said.project, None)
        return Place(said.call_id, project, now_us)
    meant = (
        of_answer(said.project, said.provider_id)
        if said.provider_id
        else of_session(said.project, said.session_id)
    )
    last = _last_id_at(microseconds_of(said.created_at))
    # An expression that is the id: else SQLite reads the calls of a project in its order.
    id = func.coalesce(call.c.id, literal(NO_ID, CALL_ID))
    chosen = connection.scalar(select(func.max(id_text(id))).where(meant, id <= last))
    chosen = chosen or connection.scalar(select(func.min(id_text(id))).where(meant))
    return Place(chosen or "", said.project, now_us if chosen else None)


def _repeats(connection: Connection, said: Score, place: Place) -> bool:
    """Tell whether a score says again what the newest of its kind says.

    Index (call_id, name), or that of what a call is named by that is not here yet.
    """
    columns = score.c
    # Only what its index knows, or SQLite takes one under which all that waits lies together.
    if place.call_id:
        same = [columns.call_id == place.call_id, columns.name == said.name]
        same += [columns.provider_id == said.provider_id, columns.session_id == said.session_id]
    elif said.provider_id:
        same = [columns.provider_id == said.provider_id, columns.joined_at.is_(None)]
    else:
        same = [columns.project == said.project, columns.session_id == said.session_id]
        same.append(columns.session_id != _NOTHING)
    by = (columns.source == said.source.value, columns.author == said.author)
    before = columns.created_at <= microseconds_of(said.created_at)
    query = select(score).where(*same, *by, before)
    query = query.order_by(columns.created_at.desc(), columns.id.desc())
    for row in connection.execute(query.limit(ALIKE_MAX)).all():
        known = score_of(row)
        if (known.name, known.project, known.call_id) == (said.name, place.project, place.call_id):
            is_alike = isinstance(known.value, bool) is isinstance(said.value, bool)
            return is_alike and (known.value, known.comment) == (said.value, said.comment)
    return False


def _erased(connection: Connection, said: Sequence[Said]) -> Iterator[tuple[str, str]]:
    """Yield the id of what is not to be stored, and of the erasure that wants so."""
    if not said:
        return
    ids = {each.id for each in said} | {each.call_id for each in said if each.call_id}
    known: dict[str, str] = {}
    for part in _slices(ids):
        query = select(erased_call.c.call_id, erased_call.c.erasure_id)
        found = connection.execute(query.where(erased_call.c.call_id.in_(part)))
        known |= {call_id: erasure_id for call_id, erasure_id in found}
    sessions = list(_erased_sessions(connection, said))
    for each in said:
        erasure_id = known.get(each.id) or known.get(each.call_id)
        if erasure_id is None and isinstance(each, Score | Label) and each.session_id:
            erasure_id = _of_session(each, sessions)
        if erasure_id is not None:
            yield each.id, erasure_id


def _erased_sessions(
    connection: Connection, said: Sequence[Said]
) -> Iterator[tuple[Erasure, Matcher]]:
    """Yield the erasures of sessions since the oldest of what was said. Index (requested_at)."""
    named = [each for each in said if isinstance(each, Score | Label) and each.session_id]
    if named:
        oldest_us = min(microseconds_of(each.created_at) for each in named)
        for wanted in since(connection, oldest_us):
            if wanted.selection.kind is Kind.SESSION:
                yield wanted, matcher(connection, wanted)


def _of_session(said: Score | Label, erased: Sequence[tuple[Erasure, Matcher]]) -> str | None:
    for wanted, selects in erased:
        is_before = microseconds_of(said.created_at) <= wanted.requested_at
        if is_before and selects.names_session(said.project, said.session_id):
            return wanted.id
    return None


def _is_any(connection: Connection, table: Table, condition: ColumnElement[bool]) -> bool:
    return connection.execute(select(table.c.id).where(condition).limit(1)).first() is not None


def _rows_with(
    connection: Connection,
    table: Table,
    column: ColumnElement[str],
    values: Sequence[str],
    condition: ColumnElement[bool],
) -> dict[str, Found]:
    """Read the rows that have one of some values in a column, by their ids."""
    rows: dict[str, Found] = {}
    for start in range(0, len(values), IN_MAX):
        among = column.in_(values[start : start + IN_MAX])
        for row in connection.execute(select(table).where(among, condition)):
            rows[row.id] = row
    return rows


def _forget(
    connection: Connection, table: Table, meant: ColumnElement[bool], erasure_id: str | None
) -> None:
    if erasure_id is not None:
        ids = connection.scalars(select(table.c.id).where(meant)).all()
        remember(connection, dict.fromkeys(ids, erasure_id))
    connection.execute(delete(table).where(meant))


def _slices(values: Iterable[str]) -> Iterator[Sequence[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), IN_MAX):
        yield ordered[start : start + IN_MAX]
