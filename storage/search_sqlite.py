"""The index of words in SQLite: an FTS5 table for each week of call ids, which keeps no text.

FTS5 finds rows by number and in the order of numbers, and deletes a row only if it is told its
words. So `search_document` keeps of each call its number and its words, once each, sorted and
compressed: a third of the bytes that search takes.

A number is the hour of the call's id and, in its last HOUR_BITS bits, how many came before in that
hour. So numbers of an hour lie side by side, which keeps FTS5's lists short (4 % longer than
without gaps), and the newest hour is read first. Within an hour calls are sorted by id once they
are found: one that took long is recorded long after its id was minted.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby

import zstandard
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)

from storage.id_range import IdRange
from storage.search_words import Entry, Phrase, Search

HOUR_MS = 3_600_000
HOUR_BITS = 24  # 16,777,216 calls an hour, 4,660 a second
FOUND_AT_ONCE = 200  # ids handed over together, at least, at first …
FOUND_AT_ONCE_MAX = 5_000  # … and four times as many each time, up to this
# Pages of 4 KB that one step of scrubbing writes: a tenth of a second of the write lock.
PAGES_AT_ONCE = 2_000
ZSTD_LEVEL = 3

metadata = MetaData()

_PLACES = (1 << HOUR_BITS) - 1
_document = Table(
    "search_document",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("call_id", String(32), nullable=False, unique=True),
    Column("words", LargeBinary, nullable=False),
)


def create_week(connection: Connection, week: int) -> None:
    """Make the table of a week."""
    connection.exec_driver_sql(
        f"CREATE VIRTUAL TABLE {_name(week)} USING fts5"
        "(project, asked, answered, content='', columnsize=0, tokenize='ascii')"
    )


def drop_week(connection: Connection, week: int) -> None:
    """Take the table of a week away."""
    connection.exec_driver_sql(f"DROP TABLE {_name(week)}")


def unknown(connection: Connection, _week: int, call_ids: Sequence[str]) -> set[str]:
    """Say which of some calls, IN_MAX at most, are not in the index. Unique index."""
    query = select(_document.c.call_id).where(_document.c.call_id.in_(call_ids))
    return set(call_ids).difference(connection.scalars(query))


def add(connection: Connection, week: int, entries: Sequence[Entry]) -> None:
    """Add calls of a week, none of which is there."""
    compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress
    documents: list[dict[str, object]] = []
    rows: list[tuple[int, str, str, str]] = []
    for hour, of_hour in groupby(sorted(entries), key=lambda entry: _hour(entry.id)):
        for number, entry in enumerate(of_hour, _next_number(connection, hour)):
            project = _project_word(entry.project)
            words = "\n".join(
                (project, _once(entry.asked), _once(entry.answered)),
            )
            documents.append(
                {"number": number, "call_id": entry.id, "words": compress(words.encode())}
            )
            rows.append((number, project, " ".join(entry.asked), " ".join(entry.answered)))
    connection.execute(insert(_document), documents)
    connection.exec_driver_sql(
        f"INSERT INTO {_name(week)} (rowid, project, asked, answered) VALUES (?, ?, ?, ?)",  # noqa: S608  a number
        rows,
    )


def remove(connection: Connection, week: int, call_ids: Sequence[str]) -> int:
    """Take calls of a week out, IN_MAX at most; return how many were in. `scrub` does the rest."""
    known = _document.c.call_id.in_(call_ids)
    found = connection.execute(select(_document.c.number, _document.c.words).where(known)).all()
    decompress = zstandard.ZstdDecompressor().decompress
    rows = [("delete", number, *decompress(words).decode().split("\n")) for number, words in found]
    if rows:
        table = _name(week)
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({table}, rowid, project, asked, answered)"  # noqa: S608  a number
            " VALUES (?, ?, ?, ?, ?)",
            rows,
        )
        connection.execute(delete(_document).where(known))
    return len(rows)


def scrub(connection: Connection, week: int, begun: bool) -> bool:
    """Rewrite a part of a week's table; tell whether more is to do. Then removed words are gone.

    FTS5 notes what was deleted beside what was written, and drops both when it merges them.
    """
    connection.exec_driver_sql("PRAGMA secure_delete = ON")  # what pages let go of is zeroed
    before = _changes(connection)
    table = _name(week)
    # Negative: take all that is there, not only what lies on one level.
    pages = PAGES_AT_ONCE if begun else -PAGES_AT_ONCE
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)",  # noqa: S608  a number
        (pages,),
    )
    return _changes(connection) - before >= 2  # so FTS5 says that it had something to merge


def count(connection: Connection, _weeks: Iterable[int]) -> int:
    """Count the calls in the index. Scans an index."""
    return connection.execute(select(func.count()).select_from(_document)).scalar_one()


def find(
    connection: Connection,
    week: int,
    project: str,
    search: Search,
    ids: IdRange,
    newest_first: bool,
) -> Iterator[Sequence[str]]:
    """Yield the ids found in a week, in order, some hundred at a time.

    FTS5's own order, and a look-up by number for each.
    """
    low, high = (milliseconds // HOUR_MS << HOUR_BITS for milliseconds in ids.milliseconds())
    table, order = _name(week), "DESC" if newest_first else "ASC"
    result = connection.exec_driver_sql(
        f"SELECT number, call_id FROM {table} CROSS JOIN search_document ON number = {table}.rowid"  # noqa: S608  a number
        f" WHERE {table} MATCH ? AND {table}.rowid BETWEEN ? AND ? ORDER BY {table}.rowid {order}",
        (_match(project, search), low, high | _PLACES),
    )
    with closing(result):
        found: list[str] = []
        last_hour, at_once = -1, FOUND_AT_ONCE
        for rows in result.partitions(FOUND_AT_ONCE):
            for number, call_id in rows:
                hour = number >> HOUR_BITS
                if hour != last_hour and len(found) >= at_once:
                    yield _in_order(found, ids, newest_first)
                    found, at_once = [], min(at_once * 4, FOUND_AT_ONCE_MAX)
                found.append(call_id)
                last_hour = hour
        yield _in_order(found, ids, newest_first)


def condition(
    _connection: Connection,
    _weeks: Sequence[int],
    _project: str,
    _search: Search,
    _ids: IdRange,
    _newest_first: bool,
) -> ColumnElement[bool] | None:
    """Return None: FTS5 finds all calls with a word sooner than it tells of one whether it has."""
    return None


def _in_order(call_ids: Iterable[str], ids: IdRange, newest_first: bool) -> list[str]:
    return sorted((id for id in call_ids if ids.has(id)), reverse=newest_first)


def _match(project: str, search: Search) -> str:
    """Write a search in FTS5's language. Words are letters and digits: nothing to be escaped."""
    wanted = " AND ".join(map(_phrase, search.wanted))
    match = f"(project : {_project_word(project)} AND {{asked answered}} : ({wanted}))"
    if search.unwanted:
        unwanted = " OR ".join(map(_phrase, search.unwanted))
        match += f" NOT {{asked answered}} : ({unwanted})"
    return match


def _phrase(words: Phrase) -> str:
    return f'"{" ".join(words)}"'


def _project_word(project: str) -> str:
    return f"p{project.encode().hex()}"  # one word, whatever is in the name


def _next_number(connection: Connection, hour: int) -> int:
    first = hour << HOUR_BITS
    number = _document.c.number
    last = connection.scalar(
        select(func.max(number)).where(number >= first, number <= first | _PLACES)
    )
    return first if last is None else last + 1


def _changes(connection: Connection) -> int:
    changes: int = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    return changes


def _once(words: Iterable[str]) -> str:
    return " ".join(sorted(set(words)))


def _hour(id: str) -> int:
    return int(id[:12], 16) // HOUR_MS


def _name(week: int) -> str:
    return f"search_{week:d}"
