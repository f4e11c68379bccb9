"""Which calls somebody means to erase, as the command line and the API are told it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from storage.erasure import Kind, Selection
from storage.reader import StoreReader
from storage.rows import microseconds_of
from storage.tracing import whole_id


class BadSelection(Exception):
    """What was said names no calls, or names them in more than one way."""


def select(
    *,
    ids: Sequence[str],
    user: str | None,
    session: str | None,
    tag: str | None,
    since: str | None,
    until: str | None,
    where: str | None,
) -> Selection:
    """Make a selection of what was said; raise BadSelection unless it is said in one way."""
    given: list[Selection] = []
    if ids:
        given.append(Selection(Kind.ID, ids=tuple(dict.fromkeys(ids))))
    for kind, value in ((Kind.USER, user), (Kind.SESSION, session), (Kind.WHERE, where)):
        if value is not None:
            given.append(Selection(kind, value=value))
    if tag is not None:
        key, equals, value = tag.partition("=")
        if not (key and equals and value):
            raise BadSelection(f"the tag {tag} is to be written as KEY=VALUE")
        given.append(Selection(Kind.TAG, key=key.lower(), value=value))
    if since is not None or until is not None:
        times = [None if each is None else microseconds_of(_time(each)) for each in (since, until)]
        given.append(Selection(Kind.TIME, since=times[0], until=times[1]))
    if len(given) != 1 or given[0].kind in (Kind.USER, Kind.SESSION) and not given[0].value:
        raise BadSelection(
            "say in exactly one way which calls: by id, user, session, tag, from and to, or where"
        )
    return given[0]


def with_whole_ids(selection: Selection, store: StoreReader) -> Selection:
    """Complete ids of which only the beginning was said: `select` knows no store.

    Raise CallIdError for what is no id, or the beginning of several.
    """
    whole = tuple(dict.fromkeys(whole_id(given, store) for given in selection.ids))
    return msgspec.structs.replace(selection, ids=whole)


def _time(text: str) -> datetime:
    try:
        time_given = datetime.fromisoformat(text)
    except ValueError:
        raise BadSelection(f"{text} is no time: write 2026-10-01 or 2026-10-01T12:30:00Z") from None
    return time_given.replace(tzinfo=UTC) if time_given.tzinfo is None else time_given
