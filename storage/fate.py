"""What became of a call, as one can tell it of every id.

An id is answered for by the first of these that knows it: the store (stored, erased, dropped), the
poison directory, the spools (backlog, in flight, dropped). This module has the words, and what the
store knows; storage.tracing asks the others.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from storage import erasure as erasures
from storage.capture import DropReason, LeftOut
from storage.roster import NoRowReason
from storage.schema import call, dropped_call, erased_call, erasure

PREFIX_CHARACTERS_MIN: Final = 8
FOUND_MAX: Final = 5  # ids named when a beginning is that of several
_ID = re.compile(r"[0-9a-f]{8,32}")
_ID_CHARACTERS: Final = 32
_LEFT_OUT: Final = frozenset(map(str, LeftOut))
_RETENTIONS_READ: Final = 1_000


class State(StrEnum):
    """What became of a call."""

    STORED = "stored"
    BACKLOG = "backlog"  # in the spool, not in the store yet
    IN_FLIGHT = "in_flight"  # not ended yet
    DROPPED = "dropped"  # accepted, and there is no record of it
    LEFT_OUT = "left_out"  # accepted, and not to be recorded
    ERASED = "erased"  # on request
    DELETED = "deleted"  # by retention, if it was ever here
    UNKNOWN = "unknown"


class Fate(msgspec.Struct, frozen=True):
    """What became of one call, and a sentence that says so."""

    call_id: str
    state: State
    explanation: str
    project: str = ""  # of a stored call
    reason: NoRowReason | None = None  # of one without a row


class CallIdError(Exception):
    """This is no id of a call, or the beginning of more than one."""


class StoreFates(msgspec.Struct, frozen=True):
    """What the store knows of ids that begin alike.

    `named_count` is how many calls without a row it knows by id; calls that began before
    `kept_since_us` have been deleted by retention.
    """

    fates: Sequence[Fate]
    named_count: int
    kept_since_us: int


def parse_call_id(text: str) -> str:
    """Return an id, or the beginning of one, as it is stored. Raise CallIdError where it is none.

    A UUID with dashes and capitals is the same id.
    """
    given = text.strip().lower().replace("-", "")
    if not _ID.fullmatch(given):
        raise CallIdError(
            f"{text!r} is no id of a call: that is 32 of the characters 0-9 and a-f, as in the "
            f"header x-shalt-call-id; its first {PREFIX_CHARACTERS_MIN} or more will do"
        )
    return given


def only_one(prefix: str, call_ids: Sequence[str]) -> str | None:
    """Return the one id that begins so, None where there is none. Raise CallIdError for several."""
    if len(call_ids) > 1:
        named = ", ".join(sorted(call_ids)[:FOUND_MAX])
        raise CallIdError(f"{prefix} is the beginning of more than one id: {named}")
    return call_ids[0] if call_ids else None


def time_of_id(call_id: str) -> datetime:
    """Tell when a call with this id, or one that begins so, began: to the millisecond, or less."""
    milliseconds = int(call_id[:12].ljust(12, "0"), 16)
    return datetime.fromtimestamp(min(milliseconds / 1000, 253_402_300_799), UTC)


def fates_in_store(connection: Connection, prefix: str) -> StoreFates:
    """Read what became of the calls whose ids begin so. Primary keys; counts dropped_call."""
    end = prefix + "g"  # sorts behind all that follows a prefix
    among = (call.c.id >= prefix, call.c.id < end)
    stored = select(call.c.id, call.c.project).where(*among).limit(FOUND_MAX + 1)
    seen = set(connection.scalars(select(call.c.id).where(*among, *erasures.visible(connection))))
    erased = select(erased_call.c.call_id, erased_call.c.erasure_id).where(
        erased_call.c.call_id >= prefix, erased_call.c.call_id < end
    )
    dropped = select(dropped_call.c.call_id, dropped_call.c.reason).where(
        dropped_call.c.call_id >= prefix, dropped_call.c.call_id < end
    )
    fates = {
        call_id: rowless_fate(call_id, reason_of(reason))
        for call_id, reason in connection.execute(dropped.limit(FOUND_MAX + 1))
    }
    for call_id, erasure_id in connection.execute(erased.limit(FOUND_MAX + 1)):
        fates[call_id] = Fate(
            call_id, State.ERASED, f"erased on request: `shalt erase --receipt {erasure_id}`"
        )
    for call_id, project in connection.execute(stored):
        if call_id in seen:
            told = f"stored in project {project}: `shalt show {call_id}`"
            fates[call_id] = Fate(call_id, State.STORED, told, project)
        else:
            fates[call_id] = Fate(
                call_id, State.ERASED, "erased on request: hidden, and about to be deleted"
            )
    named = connection.execute(select(func.count()).select_from(dropped_call)).scalar_one()
    return StoreFates(list(fates.values()), named, _kept_since(connection))


def reason_of(text: str) -> NoRowReason:
    """Read the reason as the store has it."""
    return LeftOut(text) if text in _LEFT_OUT else DropReason(text)


def rowless_fate(call_id: str, reason: NoRowReason) -> Fate:
    """Say that a call has no record, and why."""
    because: dict[NoRowReason, str] = {
        DropReason.SPOOL_FULL: "the spool had reached spool_bytes_max",
        DropReason.SPOOL_ERROR: "the disk did not take it",
        DropReason.WORKER_DIED: "its worker was killed before it was on the disk",
        DropReason.POISON: "it could not be understood or stored",
        LeftOut.SAMPLED_OUT: "sample_ratio of the calls are kept, and it was not one of them",
        LeftOut.OPTED_OUT: "it asked not to be (x-shalt-record: none)",
    }
    state = State.LEFT_OUT if isinstance(reason, LeftOut) else State.DROPPED
    return Fate(call_id, state, f"not recorded: {because[reason]}", reason=reason)


def _kept_since(connection: Connection) -> int:
    """Read up to which start retention has deleted calls whole; 0 where it has not."""
    query = (
        select(erasure.c.selector)
        .where(erasure.c.kind == erasures.Kind.RETENTION.value, erasure.c.deleted_at.is_not(None))
        .where(erasure.c.bodies_only.is_(False))
        .order_by(erasure.c.requested_at.desc())
        .limit(_RETENTIONS_READ)
    )
    found = (
        msgspec.json.decode(selector, type=erasures.Selection)
        for selector in connection.scalars(query)
    )
    return max((selection.until or 0 for selection in found), default=0)
