"""The index of words in PostgreSQL: a table for each week of call ids, with a GIN index.

The words are divided here, not by the server (whose parser takes ten times as long), and come as
a finished tsvector. The server keeps it beside the index to see where words stand: 2,500 bytes for
a call whose two texts have 1.4 KB. Of one word it knows the first 256 places in a call.

What is found comes from the primary key while some of the calls looked at have it: a microsecond
or two a call, and it may end soon. From the GIN index where words are rare; where they stand is
checked then, from the newest call on. Words that many calls have, and hardly one as they are
wanted, are looked for in the whole week: half a microsecond a call, which the server's processes
share. None of that is left to the planner: of words it has not counted, and of phrases, it guesses
how many calls have them, and the wrong way takes seconds where the right one takes milliseconds.

Words of calls that were taken out stay in the pages of both until the week's table is written anew
(storage.scrub).
"""

from collections.abc import Iterable, Iterator, Sequence

import psycopg
from sqlalchemy import (
    ColumnElement,
    Connection,
    MetaData,
    Subquery,
    cast,
    column,
    delete,
    false,
    func,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.sql import FromClause, TableClause

from storage.id_range import IdRange
from storage.postgres import among
from storage.schema import CALL_ID, call
from storage.search_words import Entry, Phrase, Search

LOOKED_AT_ONCE = 500  # calls looked at for the words, one by one, at first …
LOOKED_AT_ONCE_MAX = 8_000  # … and four times as many each time, up to this
COMMON_RATIO = 0.002  # of the calls looked at must be found for it to go on so …
# … and if so many have all the words, though not as they are wanted, it looks at all the rest: to
# take those from the GIN index and look at each then costs as much.
FREQUENT_RATIO = 0.1
WEEKS_ASKED_MAX = 10  # for one call, two microseconds each
# Rows up to this stay whole: to fetch their words from beside the table takes half of the time of
# looking at them, and 4 % of the bytes.
INLINE_BYTES_MAX = 8_160

metadata = MetaData()  # nothing besides the tables of the weeks


def create_week(connection: Connection, week: int) -> None:
    """Make the table of a week."""
    name = table_of(week)
    connection.exec_driver_sql(
        f"CREATE TABLE {name} (call_id uuid CONSTRAINT pk_{name} PRIMARY KEY,"
        ' project text COLLATE "C" NOT NULL, words tsvector NOT NULL)'
        f" WITH (toast_tuple_target = {INLINE_BYTES_MAX})"
    )
    connection.exec_driver_sql(f"CREATE INDEX ix_{name}_words ON {name} USING gin (words)")


def drop_week(connection: Connection, week: int) -> None:
    """Take the table of a week away."""
    connection.exec_driver_sql(f"DROP TABLE {table_of(week)}")


def unknown(connection: Connection, week: int, call_ids: Sequence[str]) -> set[str]:
    """Say which of some calls of a week, IN_MAX at most, are not in the index. Primary key."""
    words = _table(week)
    query = select(words.c.call_id).where(words.c.call_id.in_(call_ids))
    return set(call_ids).difference(connection.scalars(query))


def add(connection: Connection, week: int, entries: Sequence[Entry]) -> None:
    """Add calls of a week, none of which is there."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    statement = psycopg.sql.SQL("COPY {} (call_id, project, words) FROM STDIN")
    with raw.cursor() as cursor:
        with cursor.copy(statement.format(psycopg.sql.Identifier(table_of(week)))) as copy:
            for entry in entries:
                copy.write_row((entry.id, entry.project, _vector(entry)))


def remove(connection: Connection, week: int, call_ids: Sequence[str]) -> int:
    """Take calls of a week out, IN_MAX at most; return how many were in."""
    words = _table(week)
    return connection.execute(delete(words).where(among(words.c.call_id, call_ids))).rowcount


def table_of(week: int) -> str:
    """Name the table of a week."""
    return f"search_{week:d}"


def count(connection: Connection, weeks: Iterable[int]) -> int:
    """Count the calls in the index. Scans an index of each week."""
    return sum(
        connection.execute(select(func.count()).select_from(_table(week))).scalar_one()
        for week in weeks
    )


def find(
    connection: Connection,
    week: int,
    project: str,
    search: Search,
    ids: IdRange,
    newest_first: bool,
) -> Iterator[Sequence[str]]:
    """Yield the ids found in a week, in order, some hundred at a time.

    The primary key from the end while some of the calls have the words. For the rest the GIN index,
    or a look at all.
    """
    words = _table(week)
    single = _single(search)
    order = words.c.call_id.desc() if newest_first else words.c.call_id
    at_once = LOOKED_AT_ONCE
    while True:
        # What is cut off stays apart: the planner cannot make a look into the index of it.
        part = select(words).where(*ids.conditions(words.c.call_id)).order_by(order)
        looked_at = part.limit(at_once).subquery()
        last = connection.scalar(select(looked_at.c.call_id).offset(at_once - 1).limit(1))
        some = _matching(connection, looked_at, project, search)
        if some:
            yield sorted(some, reverse=newest_first)
        if last is None:
            return
        ids = IdRange(ids.first, last) if newest_first else IdRange(f"{last}0", ids.before)
        if len(some) < at_once * COMMON_RATIO:
            break
        at_once = min(at_once * 4, LOOKED_AT_ONCE_MAX)
    having = _matching(connection, looked_at, project, single) if single != search else ()
    if len(having) < at_once * FREQUENT_RATIO:
        yield from _rare(connection, words, project, search, ids, newest_first)
    elif some := _anywhere(connection, words, project, search, ids):
        yield sorted(some, reverse=newest_first)


def condition(
    connection: Connection,
    weeks: Sequence[int],
    project: str,
    search: Search,
    ids: IdRange,
    newest_first: bool,
) -> ColumnElement[bool] | None:
    """Say in SQL that a call has what is searched for; None where the index finds that quicker.

    A look into each week by the primary key, until the call is there. It does not pay where few of
    the calls at the end of the range have the words, nor where a call may be in many weeks.
    """
    if not 0 < len(weeks) <= WEEKS_ASKED_MAX:
        return None
    words = _table(weeks[-1] if newest_first else weeks[0])
    order = words.c.call_id.desc() if newest_first else words.c.call_id
    part = select(words).where(*ids.conditions(words.c.call_id)).order_by(order)
    some = _matching(connection, part.limit(LOOKED_AT_ONCE).subquery(), project, search)
    if len(some) < LOOKED_AT_ONCE * COMMON_RATIO:
        return None
    looks = [
        select(_has(table, search)).where(table.c.call_id == call.c.id).scalar_subquery()
        for table in map(_table, reversed(weeks))
    ]
    return func.coalesce(*looks, false())


def _rare(
    connection: Connection,
    words: TableClause,
    project: str,
    search: Search,
    ids: IdRange,
    newest_first: bool,
) -> Iterator[Sequence[str]]:
    """Yield the ids of a range, by the GIN index: it knows the words, and not where they stand."""
    single = _single(search)
    part = select(words).where(*ids.conditions(words.c.call_id), _has(words, single))
    found = sorted(_matching(connection, part.offset(0).subquery(), project), reverse=newest_first)
    if search == single:
        yield found
        return
    start, at_once = 0, LOOKED_AT_ONCE
    while some := found[start : start + at_once]:
        among_these = select(words).where(among(words.c.call_id, some)).offset(0).subquery()
        yield sorted(_matching(connection, among_these, project, search), reverse=newest_first)
        start, at_once = start + at_once, min(at_once * 4, LOOKED_AT_ONCE_MAX)


def _anywhere(
    connection: Connection, words: TableClause, project: str, search: Search, ids: IdRange
) -> Sequence[str]:
    """Look at all calls of a range. A server that has processes to spare divides them."""
    # As an expression the words are no index: the planner guesses that many have any phrase.
    said = func.coalesce(words.c.words, cast("", TSVECTOR)).bool_op("@@")
    query = select(words.c.call_id).where(*ids.conditions(words.c.call_id))
    found = query.where(words.c.project == project, said(cast(_query(search), TSQUERY)))
    return connection.scalars(found).all()


def _single(search: Search) -> Search:
    """Ask for the wanted words alone, wherever they stand."""
    return Search(tuple((word,) for phrase in search.wanted for word in phrase), ())


def _matching(
    connection: Connection, part: Subquery, project: str, search: Search | None = None
) -> Sequence[str]:
    query = select(part.c.call_id).where(part.c.project == project)
    if search is not None:
        query = query.where(_has(part, search))
    return connection.scalars(query).all()


def _has(part: FromClause, search: Search) -> ColumnElement[bool]:
    return part.c.words.bool_op("@@")(cast(_query(search), TSQUERY))


def _vector(entry: Entry) -> str:
    """Write a tsvector: every word with its places. The two texts do not touch each other."""
    places: dict[str, list[str]] = {}
    for start, words in ((1, entry.asked), (len(entry.asked) + 2, entry.answered)):
        for place, word in enumerate(words, start):
            places.setdefault(word, []).append(str(place))
    return " ".join(f"'{word}':{','.join(at)}" for word, at in places.items())


def _query(search: Search) -> str:
    """Write a search as a tsquery. Words are letters and digits: nothing to be escaped."""
    wanted = [_phrase(words) for words in search.wanted]
    return " & ".join([*wanted, *(f"!({_phrase(words)})" for words in search.unwanted)])


def _phrase(words: Phrase) -> str:
    return "(" + " <-> ".join(f"'{word}'" for word in words) + ")"


def _table(week: int) -> TableClause:
    return table(table_of(week), column("call_id", CALL_ID), column("project"), column("words"))
