"""The list of calls as a page: rows, links that narrow the filter, pages, the bars above.

A list reads rows and never bodies. A page holds PAGE_CALLS calls and is found by the id of the call
before or after it, so page ten thousand costs what page one does. The bars count the newest
COUNTED_MAX calls of the project at most, and say so where that leaves some out.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from review import bars, facts
from review.addresses import Selection
from review.conditions import Conditions, equals, tag_name
from review.passages import first_line
from storage.capture import Outcome
from storage.filter_syntax import FilterError
from storage.reader import StoreReader
from storage.rows import CallRow
from storage.search import SearchNotBuilt
from storage.search_words import SearchError
from storage.trace import Side

PAGE_CALLS = 50
PROJECTS_MAX = 100
COUNTED_MAX = 30_000  # 8 ms of counting
TAGS_SHOWN_MAX = 6  # of one call; its page has them all
OFFERED_MAX = 8  # models, and tags, that the links above the list offer


class Link(msgspec.Struct, frozen=True):
    """A text, and the list it leads to."""

    text: str
    href: str
    chosen: bool = False


class Line(msgspec.Struct, frozen=True):
    """One call in the list."""

    row: CallRow
    href: str
    time: str
    model: Link
    outcome: Link
    endpoint: str
    tokens: str
    cost: str
    duration: str
    first_token: str
    side: Link
    session: Link | None
    tags: tuple[Link, ...]
    tags_left_out: int
    marks: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the call ended well."""
        return self.row.outcome is Outcome.COMPLETE


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with the filter or the search; of a filter, where: before, there, after."""

    sentence: str
    before: str = ""
    there: str = ""
    after: str = ""

    @property
    def is_of_filter(self) -> bool:
        """Whether the filter is meant, and not the search."""
        return bool(self.there)


class Listing(msgspec.Struct, frozen=True):
    """One page of the list."""

    selection: Selection
    lines: tuple[Line, ...]
    newer: str  # addresses, empty where there is nothing
    older: str
    chips: tuple[Link, ...]  # the search, each condition of the filter, and the list without it
    offers: tuple[tuple[str, tuple[Link, ...]], ...]
    picture: bars.Picture | None
    projects: tuple[str, ...]
    problem: Problem | None

    @property
    def is_unused(self) -> bool:
        """Whether the project has no calls at all, as far as one can see from here."""
        narrowed = self.selection.where or self.selection.search
        return not (self.lines or self.newer or narrowed or self.problem)


def listing(
    store: StoreReader, selection: Selection, now: datetime, *, before: str = "", after: str = ""
) -> Listing:
    """Read one page of calls: the newest, or those next to an id."""
    wanted = Conditions(selection.where)
    projects = store.projects(PROJECTS_MAX)
    known = (selection.project,) if selection.project not in projects else ()
    rows: Sequence[CallRow] = ()
    newer = older = False
    picture = problem = None
    try:
        rows, newer, older = _page(store, selection, before, after)
        picture = _picture(store, selection, wanted, rows, now)
    except FilterError as error:
        problem = _problem(error, selection.where)
    except (SearchError, SearchNotBuilt) as error:
        problem = Problem(str(error))
    return Listing(
        selection=selection,
        lines=tuple(_line(row, selection, wanted) for row in rows),
        newer=selection.list(after=rows[0].id) if newer and rows else "",
        older=selection.list(before=rows[-1].id) if older and rows else "",
        chips=tuple(_chips(selection, wanted)),
        offers=tuple(_offers(rows, selection, wanted)),
        picture=picture,
        projects=(*known, *projects),
        problem=problem,
    )


def older_than(
    store: StoreReader, selection: Selection, call_id: str, limit: int
) -> Sequence[CallRow]:
    """Read calls of a list, newest first: the newest, or those older than an id."""
    return store.list(
        selection.project,
        selection.where or None,
        limit=limit,
        before=call_id or None,
        search=selection.search or None,
    )


def newer_than(
    store: StoreReader, selection: Selection, call_id: str, limit: int
) -> Sequence[CallRow]:
    """Read the calls of a list that are next newer than an id, newest first."""
    return store.list(
        selection.project,
        selection.where or None,
        limit=limit,
        after=call_id,
        search=selection.search or None,
    )


def _page(
    store: StoreReader, selection: Selection, before: str, after: str
) -> tuple[Sequence[CallRow], bool, bool]:
    """Read a page; tell whether there are newer and older calls than those on it."""
    if after:
        rows = newer_than(store, selection, after, PAGE_CALLS + 1)
        if len(rows) > PAGE_CALLS:
            return rows[1:], True, True
        # The newest ones: a whole page of them, though some were on the page it is come from.
    rows = older_than(store, selection, before, PAGE_CALLS + 1)
    return rows[:PAGE_CALLS], bool(before), len(rows) > PAGE_CALLS


def _picture(
    store: StoreReader,
    selection: Selection,
    wanted: Conditions,
    rows: Sequence[CallRow],
    now: datetime,
) -> bars.Picture | None:
    """Count up to now, or up to the newest call shown where that is long ago.

    There is no picture of a search: words are not counted over time.
    """
    if not rows or selection.search:
        return None
    if rows[0].started_at < bars.period(now, bars.LONGEST)[0]:
        now = rows[0].started_at
    since = bars.period(now, bars.LONGEST)[0]
    bound = store.start_of_newest(selection.project, COUNTED_MAX)
    counted_from = bound if bound is not None and bound > since else None
    earliest = counted_from or store.first_start(selection.project, since=since)
    step = bars.step_back_to(earliest or since, now)
    since, until = bars.period(now, step)
    if counted_from is not None and counted_from <= since:
        counted_from = None
    counts = store.counts_over_time(
        selection.project,
        selection.where or None,
        since=counted_from or since,
        until=until,
        step=step.length,
    )
    return bars.picture(
        counts,
        since,
        step,
        counted_from,
        lambda span: selection.list(where=wanted.added(span, replacing="started_at ")),
    )


def _chips(selection: Selection, wanted: Conditions) -> Iterable[Link]:
    if selection.search:
        yield Link(f"search: {selection.search}", selection.list(search=""))
    for part in wanted.parts:
        yield Link(part, selection.list(where=wanted.without(part)))


def _line(row: CallRow, selection: Selection, wanted: Conditions) -> Line:
    def narrowed(text: str, name: str, value: str) -> Link:
        return Link(text, selection.list(where=wanted.added(equals(name, value))))

    tags = list(row.tags.items())
    return Line(
        row=row,
        href=selection.call(row.id),
        time=facts.moment(row.started_at),
        model=narrowed(facts.model(row), "request_model", row.request_model),
        outcome=narrowed(facts.outcome(row), "outcome", row.outcome),
        endpoint=facts.endpoint(row),
        tokens=facts.tokens(row),
        cost=facts.dollars(row.cost_usd),
        duration=facts.duration(row.duration_ms),
        first_token=facts.duration(row.time_to_first_token_ms),
        side=narrowed(row.side, "side", row.side),
        session=narrowed(row.session_id, "session_id", row.session_id) if row.session_id else None,
        tags=tuple(
            narrowed(first_line(f"{key}={value}"), tag_name(key), value)
            for key, value in tags[:TAGS_SHOWN_MAX]
        ),
        tags_left_out=max(0, len(tags) - TAGS_SHOWN_MAX),
        marks=marks(row),
    )


def marks(row: CallRow) -> tuple[str, ...]:
    """Name what a reader must know of what is kept of a call."""
    names = {"redacted": row.redacted, "truncated": row.truncated, "note": bool(row.note)}
    return tuple(name for name, holds in names.items() if holds)


def _offers(
    rows: Sequence[CallRow], selection: Selection, wanted: Conditions
) -> Iterable[tuple[str, tuple[Link, ...]]]:
    """Offer what narrows the list: closed lists whole, of the rest what is on this page."""

    def choices(name: str, values: Iterable[str]) -> tuple[Link, ...]:
        links = []
        for value in values:
            condition = equals(name, value)
            chosen = condition in wanted.parts
            where = (
                wanted.without(condition)
                if chosen
                else wanted.added(condition, replacing=f"{name} = ")
            )
            links.append(Link(value.replace("_", " "), selection.list(where=where), chosen))
        return tuple(links)

    yield "outcome", choices("outcome", Outcome)
    yield "side", choices("side", Side)
    models = sorted({row.request_model for row in rows if row.request_model})
    yield "model", choices("request_model", models[:OFFERED_MAX])
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.tags.items():
            values.setdefault(key, set()).add(value)
    # A tag with a value for every call, such as an id, narrows the list to one call: no offer.
    for key in sorted(key for key in values if len(values[key]) <= OFFERED_MAX)[:OFFERED_MAX]:
        yield f"tag {first_line(key)}", choices(tag_name(key), sorted(values[key]))


def _problem(error: FilterError, where: str) -> Problem:
    start, end = error.start, max(error.end, error.start + 1)
    return Problem(
        sentence=error.problem,
        before=where[:start],
        there=where[start:end] or " ",
        after=where[end:],
    )
