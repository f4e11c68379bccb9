"""The newest calls of a project for which something holds: which index finds them.

A list goes down one of these from its end, until it has as many calls as are asked for:

    search          what is found by the index of words (storage.search), where a search is made;
                    in PostgreSQL not if the filter wants a tag and the words are frequent
    a narrow value  index of the session, the group or the answer's id, and a sort
    a tag           index (key, value, call_id), where the filter wants a value of a tag: of several
                    tags the one with the fewest calls, and the others are looked up for each. In
                    PostgreSQL (key, value) and a sort, or the newest tags if many have the value
    failures        the partial index (project, id), where the filter leaves out complete calls and
                    no tag is rare
    anything else   index (project, id)

A time in the filter bounds all of them (storage.filter_bounds). What is found by words or by a tag
is looked up by id, CANDIDATES_MAX at a time, and the whole filter is checked on each. A filter that
few of many candidates meet costs a microsecond or two for each, up to all calls of the time; so do,
in PostgreSQL, two tags that many calls have and few together: 0.2 s in a million.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    exists,
    func,
    literal,
    literal_column,
    select,
)

from storage import database, search
from storage.capture import Outcome
from storage.column_types import NO_ID
from storage.erasure import visible
from storage.filter_bounds import Bounds, bounds_of
from storage.filters import compile_filter
from storage.id_range import NO_IDS, IdRange
from storage.rows import CALL_COLUMNS
from storage.schema import CALL_ID, call, tag
from storage.search_words import parse_search
from storage.short_columns import of_answer, of_session
from storage.trace import Side

CANDIDATES_MIN = 100
CANDIDATES_MAX = 5_000
RARE_MAX = 1_000  # a tag with fewer calls is quicker than the index of failures

# Holds of every call, and tells SQLite to read a project's calls in the order of their ids, about
# that in which they lie in the file. It would read them by session, each from somewhere else: 2.5 s
# of a core for a million instead of 0.5.
BY_ID = call.c.id > ""

_FAILED = call.c.outcome != literal_column(f"'{Outcome.COMPLETE.value}'")

Found = Row[*tuple[Any, ...]]


class Listing:
    """A page of a list: of all calls that match the `limit` newest, those `before` an id.

    With `after`, an id too: the `limit` next newer than that. Raise FilterError or SearchError for
    a text that is none, before the database is asked.
    """

    def __init__(
        self,
        project: str,
        where: str | None,
        *,
        limit: int,
        before: str | None = None,
        after: str | None = None,
        words: str | None = None,
    ) -> None:
        self._project = project
        self._matching = [compile_filter(where)] if where is not None else []
        self._bounds = bounds_of(where) if where is not None else Bounds()
        self._search = parse_search(words) if words is not None else None
        self._limit = limit
        self._newest_first = after is None
        # With a digit more it is the least text that is greater.
        of_page = IdRange(None if after is None else f"{after}0", before)
        self._ids = self._bounds.ids.meeting(of_page)

    def read(self, connection: Connection) -> list[Found]:
        """Read CALL_COLUMNS of the calls, newest first. SearchNotBuilt without an index."""
        matching = [*self._matching, *visible(connection)]
        said = self._said_in_words(connection)
        if said is not None:
            matching.append(said)
        candidates = self._candidates(connection, by_words=said is None)
        if candidates is None:
            matching += [*self._ids.conditions(call.c.id), *_failed(self._bounds)]
            matching += _within(self._project, self._bounds)
            found = self._read(connection, matching, self._limit)
        else:
            matching.append(call.c.project == self._project)
            with closing(candidates):
                found = self._choose(connection, candidates, matching)
        return found if self._newest_first else found[::-1]

    def _said_in_words(self, connection: Connection) -> ColumnElement[bool] | None:
        """Say that the words searched for are there, where a tag is what finds calls sooner."""
        if self._search is None or not self._bounds.tags:
            return None
        return search.condition(
            connection,
            self._project,
            self._search,
            self._ids,
            newest_first=self._newest_first,
        )

    def _candidates(
        self, connection: Connection, *, by_words: bool
    ) -> Generator[Sequence[str]] | None:
        """Say where to look; None for an index of `call` itself."""
        bounds, newest_first = self._bounds, self._newest_first
        if self._search is not None and by_words:
            ids, among = _tagged_by_few(connection, bounds, self._ids)
            found = search.find(
                connection, self._project, self._search, ids, newest_first=newest_first
            )
            return found if among is None else _only(found, among)
        if bounds.narrow:
            return None
        rarest = _rarest_tag(connection, bounds, self._ids)
        if rarest is None or bounds.failed and rarest.calls >= RARE_MAX:
            return None
        return _tagged(connection, bounds, rarest, self._ids, newest_first)

    def _choose(
        self,
        connection: Connection,
        candidates: Iterable[Sequence[str]],
        matching: Sequence[ColumnElement[bool]],
    ) -> list[Found]:
        """Read the first of the candidates for which everything holds. Primary key."""
        found: list[Found] = []
        for some in candidates:
            for start in range(0, len(some), CANDIDATES_MAX):
                part = some[start : start + CANDIDATES_MAX]
                among = database.among(connection, call.c.id, part)
                found += self._read(connection, [*matching, among], self._limit - len(found))
                if len(found) == self._limit:
                    return found
        return found

    def _read(
        self, connection: Connection, matching: Sequence[ColumnElement[bool]], limit: int
    ) -> list[Found]:
        # An expression that is the id and no index: else SQLite reads all calls in their order.
        id = func.coalesce(call.c.id, literal(NO_ID, CALL_ID)) if self._bounds.narrow else call.c.id
        query = select(*CALL_COLUMNS).where(*matching).limit(limit)
        query = query.order_by(id.desc() if self._newest_first else id)
        return list(connection.execute(query))


def conditions(
    project: str | None, where: str | None, side: Side | None = None, *, has_order: bool = True
) -> list[ColumnElement[bool]]:
    """Say what must hold of a call, and what that implies, for the sake of the indexes.

    Without a project: of all of them. `has_order`: the query sorts, and that decides its index.
    """
    matching = [compile_filter(where)] if where is not None else []
    bounds = bounds_of(where) if where is not None else Bounds()
    matching += [*bounds.ids.conditions(call.c.id), *_failed(bounds)]
    if project is not None:
        matching += _within(project, bounds)
    if project is not None and not (has_order or bounds.narrow):
        matching.append(BY_ID)
    if side is not None:
        matching.append(call.c.side == side.value)
    return matching


def _failed(bounds: Bounds) -> list[ColumnElement[bool]]:
    return [_FAILED] if bounds.failed else []


def _within(project: str, bounds: Bounds) -> Iterator[ColumnElement[bool]]:
    """Say that a call is of a project; by a narrow value, where there is one, for its index."""
    narrow = dict(bounds.narrow)
    if "session_id" in narrow:
        yield of_session(project, narrow["session_id"])
    elif "provider_id" in narrow:
        yield of_answer(project, narrow["provider_id"])
    else:
        yield call.c.project == project


class _Tag(NamedTuple):
    """A tag that is wanted; `calls` stops at RARE_MAX, and at 0 where nobody has counted."""

    key: str
    value: str
    calls: int = 0


def _rarest_tag(connection: Connection, bounds: Bounds, ids: IdRange) -> _Tag | None:
    """Choose the tag with the fewest calls, None where none is wanted.

    Counts at most RARE_MAX entries of each, and none where there is no choice to make.
    """
    if len(bounds.tags) == 1 and not bounds.failed:
        return _Tag(*bounds.tags[0])
    counted = []
    for key, value in bounds.tags:
        some = _with_tag(key, value, ids).limit(RARE_MAX).subquery()
        count = connection.execute(select(func.count()).select_from(some)).scalar_one()
        counted.append(_Tag(key, value, count))
    return min(counted, key=lambda each: each.calls, default=None)


def _tagged(
    connection: Connection, bounds: Bounds, rarest: _Tag, ids: IdRange, newest_first: bool
) -> Generator[Sequence[str]]:
    """Yield the ids of calls with all tags, in order. The index of tags; primary key."""
    call_id = tag.c.call_id
    at_once = CANDIDATES_MIN
    while True:
        query = _with_tag(rarest.key, rarest.value, ids)
        for key, value in bounds.tags:
            if (key, value) != (rarest.key, rarest.value):
                other = tag.alias()
                has = (other.c.call_id == call_id, other.c.key == key, other.c.value == value)
                query = query.where(exists().where(*has).correlate(tag))
        query = query.order_by(call_id.desc() if newest_first else call_id)
        some = connection.scalars(query.limit(at_once)).all()
        if some:
            yield some
        if len(some) < at_once:
            return
        last = some[-1]
        ids = IdRange(ids.first, last) if newest_first else IdRange(f"{last}0", ids.before)
        at_once = min(at_once * 4, CANDIDATES_MAX)


def _tagged_by_few(
    connection: Connection, bounds: Bounds, ids: IdRange
) -> tuple[IdRange, set[str] | None]:
    """List the calls of a rare tag, and the range they lie in; None where no tag is rare."""
    for key, value in bounds.tags:
        some = set(connection.scalars(_with_tag(key, value, ids).limit(RARE_MAX)))
        if not some:
            return NO_IDS, some
        if len(some) < RARE_MAX:
            return IdRange(min(some), f"{max(some)}0"), some
    return ids, None


def _with_tag(key: str, value: str, ids: IdRange) -> Select[str]:
    query = select(tag.c.call_id).where(tag.c.key == key, tag.c.value == value)
    return query.where(*ids.conditions(tag.c.call_id))


def _only(pages: Generator[Sequence[str]], among: set[str]) -> Generator[Sequence[str]]:
    with closing(pages):
        for page in pages:
            yield [id for id in page if id in among]
