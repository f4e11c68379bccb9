"""The newest calls of a project for which something holds: which index finds them.

A list goes down one of these from its end, until it has as many calls as are asked for:

    search          what is found by the index of words (storage.search), where a search is made
    a tag           index (key, value, call_id), where the filter wants a value of a tag: of several
                    tags the one with the fewest calls
    failures        the partial index (project, id), where the filter leaves out complete calls and
                    no tag is rare
    anything else   index (project, id)

A time in the filter bounds all of them (storage.filter_bounds). Candidates of the first two are
looked up by id, CANDIDATES_MAX at a time, and the whole filter is checked on each. A filter that
few of many candidates meet costs a microsecond or two for each, up to all calls of the time.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal_column, select

from storage import search
from storage.capture import Outcome
from storage.erasure import visible
from storage.filter_bounds import Bounds, bounds_of
from storage.filters import compile_filter
from storage.id_range import IdRange
from storage.reservation import IN_MAX
from storage.rows import CALL_COLUMNS
from storage.schema import call, tag
from storage.search_words import parse_search
from storage.trace import Side

CANDIDATES_MIN = 100
CANDIDATES_MAX = IN_MAX
RARE_MAX = 1_000  # a tag with fewer calls is quicker than the index of failures

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
        self._matching = conditions(project, where)
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
        candidates = self._candidates(connection)
        if candidates is None:
            matching += self._ids.conditions(call.c.id)
            found = self._read(connection, matching, self._limit)
        else:
            with closing(candidates):
                found = self._choose(connection, candidates, matching)
        return found if self._newest_first else found[::-1]

    def _candidates(self, connection: Connection) -> Generator[Sequence[str]] | None:
        """Say where to look; None for an index of `call` itself."""
        if self._search is not None:
            return search.find(
                connection,
                self._project,
                self._search,
                self._ids,
                newest_first=self._newest_first,
            )
        rarest = _rarest_tag(connection, self._bounds, self._ids)
        if rarest is None:
            return None
        return _tagged(connection, rarest, self._ids, self._newest_first)

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
                among = call.c.id.in_(some[start : start + CANDIDATES_MAX])
                found += self._read(connection, [*matching, among], self._limit - len(found))
                if len(found) == self._limit:
                    return found
        return found

    def _read(
        self, connection: Connection, matching: Sequence[ColumnElement[bool]], limit: int
    ) -> list[Found]:
        query = select(*CALL_COLUMNS).where(*matching).limit(limit)
        query = query.order_by(call.c.id.desc() if self._newest_first else call.c.id)
        return list(connection.execute(query))


def conditions(
    project: str | None, where: str | None, side: Side | None = None
) -> list[ColumnElement[bool]]:
    """Say what must hold of a call, and what that implies, for the sake of the indexes.

    Without a project: of all of them.
    """
    matching = [call.c.project == project] if project is not None else []
    if where is not None:
        matching.append(compile_filter(where))
        bounds = bounds_of(where)
        matching += bounds.ids.conditions(call.c.id)
        if bounds.failed:
            matching.append(_FAILED)
    if side is not None:
        matching.append(call.c.side == side.value)
    return matching


def _rarest_tag(connection: Connection, bounds: Bounds, ids: IdRange) -> tuple[str, str] | None:
    """Choose the tag to go by, None where there is none or the index of failures is better.

    Counts at most RARE_MAX entries of each.
    """
    if len(bounds.tags) == 1 and not bounds.failed:
        return bounds.tags[0]
    sizes: dict[tuple[str, str], int] = {}
    for key, value in bounds.tags:
        some = select(tag.c.call_id).where(tag.c.key == key, tag.c.value == value)
        some = some.where(*ids.conditions(tag.c.call_id)).limit(RARE_MAX)
        counted = select(func.count()).select_from(some.subquery())
        sizes[key, value] = connection.execute(counted).scalar_one()
    if not sizes or bounds.failed and min(sizes.values()) >= RARE_MAX:
        return None
    return min(sizes, key=lambda each: sizes[each])


def _tagged(
    connection: Connection, wanted: tuple[str, str], ids: IdRange, newest_first: bool
) -> Generator[Sequence[str]]:
    """Yield the ids of calls with a tag, in order. Index (key, value, call_id)."""
    key, value = wanted
    call_id = tag.c.call_id
    query = select(call_id).where(tag.c.key == key, tag.c.value == value)
    query = query.order_by(call_id.desc() if newest_first else call_id)
    at_once = CANDIDATES_MIN
    while True:
        some = connection.scalars(query.where(*ids.conditions(call_id)).limit(at_once)).all()
        if some:
            yield some
        if len(some) < at_once:
            return
        last = some[-1]
        ids = IdRange(ids.first, last) if newest_first else IdRange(f"{last}0", ids.before)
        at_once = min(at_once * 4, CANDIDATES_MAX)
