"""What is to be forgotten: calls by id, user, session, tag, time or filter. Hidden at once.

An erasure is a row of `erasure`. From its commit on nothing that reads the store sees the calls
it selects (`visible`, in every query of storage.reader); they are deleted after that, chunk by
chunk (storage.eraser), and then their bytes (storage.scrub). The row is all the state there is: a
process that is killed anywhere leaves it to the next one.

Which calls: those that began before the request, whenever they come to be stored. One that waits
in the spool, or is still going on, is refused when it comes (`refuse`) and counted as stored.
Who is erased and comes back is recorded again. An id stays refused for ever.

Once the rows are gone, the row of the erasure itself would be what names the person: the name is
replaced by a SHA-256 with the salt of the project. Whoever has both the database and a list of
names can still tell which of them were erased; nobody can without the list.

A filter (`where`) is not kept either, and for what comes late it is asked only until the rows
are gone. Times are microseconds since 1970 UTC.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    false,
    func,
    insert,
    not_,
    select,
    update,
)

from storage.database import among, insert_new
from storage.filters import compile_filter
from storage.reservation import find_policy
from storage.rows import Recorded, storable
from storage.schema import call, dataset_item, erased_call, erasure, tag
from storage.short_columns import of_session
from storage.trace import Span

IDS_MAX: Final = 1_000  # calls that one request may name
_LOCK: Final = 0x6572617365  # "erase": any number that nobody else in the database takes


class Kind(StrEnum):
    """What an erasure selects by."""

    ID = "id"
    USER = "user"
    SESSION = "session"
    TAG = "tag"
    TIME = "time"
    WHERE = "where"
    RETENTION = "retention"  # by age: storage.retention; hides nothing


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which calls: what `kind` needs is filled, the rest is not.

    `value` is the user, the session, the value of the tag `key`, or the text of the filter;
    `hashed` says that only its fingerprint is left. A range of time is half-open.
    """

    kind: Kind
    ids: tuple[str, ...] = ()
    key: str = ""
    value: str = ""
    since: int | None = None
    until: int | None = None
    hashed: bool = False


class Erasure(msgspec.Struct, frozen=True):
    """A request to forget, and how far it is; `call_count` is of calls forgotten so far."""

    id: str
    project: str
    selection: Selection
    reason: str
    requested_at: int
    call_count: int
    deleted_at: int | None
    scrubbed_at: int | None


def add(
    connection: Connection,
    erasure_id: str,
    project: str,
    selection: Selection,
    *,
    reason: str,
    now_us: int,
) -> Erasure:
    """Write a request down: once that is committed, the calls cannot be seen."""
    assert selection.kind is not Kind.RETENTION, "retention hides nothing"
    _wait_for_others(connection, asking=True)
    wanted = Erasure(erasure_id, project, selection, reason, now_us, 0, None, None)
    connection.execute(
        insert(erasure).values(
            id=wanted.id,
            project=project,
            kind=selection.kind.value,
            selector=encoded(selection),
            bodies_only=False,
            reason=reason,
            requested_at=now_us,
            call_count=0,
        )
    )
    return wanted


def find(connection: Connection, erasure_id: str) -> Erasure | None:
    """Read one erasure, None where there is none. Primary key."""
    row = connection.execute(select(erasure).where(erasure.c.id == erasure_id)).first()
    return None if row is None or row.kind == Kind.RETENTION else _of_row(row)


def unfinished(connection: Connection) -> Sequence[Erasure]:
    """List the erasures of which bytes may be left, oldest first. Index (scrubbed_at), partial."""
    query = select(erasure).where(erasure.c.scrubbed_at.is_(None), _IS_ASKED)
    return [_of_row(row) for row in connection.execute(query.order_by(erasure.c.requested_at))]


def since(connection: Connection, requested_at: int) -> Sequence[Erasure]:
    """List the erasures asked for at this time or later, oldest first. Index (requested_at)."""
    query = select(erasure).where(erasure.c.requested_at >= requested_at, _IS_ASKED)
    return [_of_row(row) for row in connection.execute(query.order_by(erasure.c.requested_at))]


def visible(connection: Connection) -> Sequence[ColumnElement[bool]]:
    """Return what a query of `call` must add to see no erased call: nothing, as a rule.

    Index (scrubbed_at), partial: a row for each erasure that is not done.
    """
    return [not_(condition_of(each)) for each in unfinished(connection) if each.deleted_at is None]


def condition_of(wanted: Erasure) -> ColumnElement[bool]:
    """Say in SQL which rows of `call` an erasure selects; of one that is deleted, none."""
    selection = wanted.selection
    if selection.hashed:
        return false()
    # What selects a session says of which project it is.
    is_session = selection.kind is Kind.SESSION
    of_project = [] if is_session else [call.c.project == wanted.project]
    if selection.kind is Kind.ID:
        return and_(*of_project, call.c.id.in_(selection.ids))
    selected = _selected(wanted.project, selection)
    return and_(*of_project, call.c.started_at <= wanted.requested_at, *selected)


class Refusal(NamedTuple):
    """Calls that must not be stored. `again` are those that had been refused or erased before."""

    fresh: frozenset[str]
    again: frozenset[str]


def refuse(connection: Connection, batch: Sequence[Recorded]) -> Refusal:
    """Find the calls that have been erased and must not be stored, and keep their ids.

    An erasure that was done is not any more: the spool still has their bytes. Costs two looks:
    at the ids in `erased_call`, and at the erasures since the oldest of the calls began.
    """
    if not batch:
        return Refusal(frozenset(), frozenset())
    _wait_for_others(connection, asking=False)
    ids = [recorded.span.id for recorded in batch]
    among_these = among(connection, erased_call.c.call_id, ids)
    again = set(connection.scalars(select(erased_call.c.call_id).where(among_these)))
    fresh: dict[str, str] = {}
    oldest_us = min(recorded.span.started_at_ns for recorded in batch) // 1000
    for wanted in since(connection, oldest_us):
        selects = matcher(connection, wanted)
        found = {
            recorded.span.id: wanted.id
            for recorded in batch
            if recorded.span.id not in again | fresh.keys() and selects(recorded.span)
        }
        if found:
            _refused(connection, wanted.id, len(found))
            fresh |= found
    remember(connection, fresh)
    return Refusal(frozenset(fresh), frozenset(again))


def remember(connection: Connection, erasure_ids: Mapping[str, str]) -> None:
    """Keep the ids of erased calls, each with its erasure; the first one holds."""
    rows = [{"call_id": key, "erasure_id": value} for key, value in sorted(erasure_ids.items())]
    if rows:
        connection.execute(insert_new(connection, erased_call), rows)


def holds_erased(connection: Connection, dataset_id: str) -> bool:
    """Tell whether calls of a dataset have been erased: while it was written, if it is new.

    Primary keys of its items, once for each erasure that is not done.
    """
    items = select(dataset_item.c.call_id).where(dataset_item.c.dataset_id == dataset_id)
    erased = items.join(erased_call, erased_call.c.call_id == dataset_item.c.call_id)
    if connection.execute(erased.limit(1)).first() is not None:
        return True
    items = items.join(call, call.c.id == dataset_item.c.call_id)
    return any(
        connection.execute(items.where(condition_of(each)).limit(1)).first() is not None
        for each in unfinished(connection)
        if each.deleted_at is None
    )


def any_erased(connection: Connection, call_ids: Sequence[str]) -> bool:
    """Tell whether one of some calls was erased, or is to be. As `holds_erased`."""
    known = among(connection, erased_call.c.call_id, call_ids)
    if connection.execute(select(erased_call.c.call_id).where(known).limit(1)).first() is not None:
        return True
    stored = select(call.c.id).where(among(connection, call.c.id, call_ids))
    return any(
        connection.execute(stored.where(condition_of(each)).limit(1)).first() is not None
        for each in unfinished(connection)
        if each.deleted_at is None
    )


class Matcher:
    """Tells whether an erasure selects a call that is not in the store."""

    def __init__(self, wanted: Erasure, salt: str) -> None:
        self._wanted = wanted
        self._salt = salt

    def __call__(self, span: Span) -> bool:
        """Tell whether it does. A filter is left to the database: False."""
        wanted, selection = self._wanted, self._wanted.selection
        if span.project != wanted.project:
            return False
        if selection.kind is Kind.ID:
            return span.id in selection.ids
        started_us = span.started_at_ns // 1000
        if started_us > wanted.requested_at:
            return False
        match selection.kind:
            case Kind.TIME:
                return _within(started_us, selection)
            case Kind.USER:
                return self._is_meant(span.user_id)
            case Kind.SESSION:
                return self._is_meant(span.session_id)
            case Kind.TAG:
                return self._is_meant(span.tags.get(selection.key, ""))
        return False

    def names_session(self, project: str, session_id: str) -> bool:
        """Tell whether it is an erasure of this session."""
        wanted = self._wanted
        is_of_sessions = wanted.selection.kind is Kind.SESSION and wanted.project == project
        return is_of_sessions and self._is_meant(session_id)

    def _is_meant(self, text: str) -> bool:
        selection = self._wanted.selection
        value = storable(text)
        if selection.hashed and value:
            value = fingerprint(self._salt, self._wanted.project, selection, value)
        return bool(value) and value == selection.value


def matcher(connection: Connection, wanted: Erasure) -> Matcher:
    """Make what compares calls with an erasure. Reads the project's policy, for its salt."""
    policy = find_policy(connection, wanted.project)
    return Matcher(wanted, policy.salt if policy else "")


def fingerprint(salt: str, project: str, selection: Selection, value: str) -> str:
    """Return what is kept of a value: SHA-256 of salt, project, kind, key and value, in hex."""
    text = "\0".join((salt, "erased", project, selection.kind.value, selection.key, value))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def without_names(connection: Connection, wanted: Erasure) -> Selection:
    """Return the selection with the person's name replaced by its fingerprint."""
    selection = wanted.selection
    if selection.hashed or not selection.value:
        return selection
    policy = find_policy(connection, wanted.project)
    salt = policy.salt if policy else ""
    hashed = fingerprint(salt, wanted.project, selection, selection.value)
    return msgspec.structs.replace(selection, value=hashed, hashed=True)


def _refused(connection: Connection, erasure_id: str, count: int) -> None:
    connection.execute(
        update(erasure)
        .where(erasure.c.id == erasure_id)
        .values(call_count=erasure.c.call_count + count, scrubbed_at=None)
    )


def _wait_for_others(connection: Connection, *, asking: bool) -> None:
    """Keep a request and the batches being stored apart: a batch is before it, or sees it.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock if asking else func.pg_advisory_xact_lock_shared
        connection.execute(select(lock(_LOCK)))


def encoded(selection: Selection) -> str:
    """Write a selection as the table keeps it."""
    return msgspec.json.encode(selection).decode()


_IS_ASKED = erasure.c.kind != Kind.RETENTION.value


def _selected(project: str, selection: Selection) -> Sequence[ColumnElement[bool]]:
    match selection.kind:
        case Kind.USER:
            return [call.c.user_id == selection.value]
        case Kind.SESSION:
            return [of_session(project, selection.value)]
        case Kind.TAG:
            calls = select(tag.c.call_id).where(
                tag.c.key == selection.key, tag.c.value == selection.value
            )
            return [call.c.id.in_(calls)]
        case Kind.TIME:
            since_us, until_us = selection.since, selection.until
            conditions = [] if since_us is None else [call.c.started_at >= since_us]
            return conditions if until_us is None else [*conditions, call.c.started_at < until_us]
        case Kind.WHERE:
            # Where the filter is NULL it does not hold, and the call is not to be hidden.
            return [case((compile_filter(selection.value), 1), else_=0) == 1]
    raise AssertionError(f"{selection.kind} selects no rows")


def _within(started_us: int, selection: Selection) -> bool:
    after = selection.since is None or started_us >= selection.since
    return after and (selection.until is None or started_us < selection.until)


def _of_row(row: Row[*tuple[object, ...]]) -> Erasure:
    values = row._mapping
    return Erasure(
        id=values["id"],
        project=values["project"],
        selection=_decode(values["selector"]),
        reason=values["reason"],
        requested_at=values["requested_at"],
        call_count=values["call_count"],
        deleted_at=values["deleted_at"],
        scrubbed_at=values["scrubbed_at"],
    )


_decode = msgspec.json.Decoder(Selection).decode
