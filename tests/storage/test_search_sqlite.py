"""The index of words in SQLite: its numbers, and what is left of removed words in the file."""

from pathlib import Path

from storage import database, search
from storage.search_sqlite import HOUR_BITS
from storage.store import TraceStore
from tests.storage.calls import START_NS, ask
from tests.storage.test_search import entry, find, make, scrub

HOUR_NS = 3_600 * 10**9


def test_numbers_are_of_the_hour_and_in_the_order_of_arrival(sqlite_store: TraceStore) -> None:
    hour_ns = START_NS // HOUR_NS * HOUR_NS
    first, second, third = (entry(hour_ns + at * HOUR_NS // 2, "word") for at in range(3))
    make(sqlite_store, second, third)
    make(sqlite_store, first)
    hour = hour_ns // HOUR_NS << HOUR_BITS
    assert ask(sqlite_store, "SELECT number, call_id FROM search_document ORDER BY number") == [
        (hour, second.id),
        (hour + 1, first.id),
        (hour + (1 << HOUR_BITS), third.id),
    ]


def test_a_project_of_any_name_is_one_word(sqlite_store: TraceStore) -> None:
    one = entry(START_NS, "word", project='a" OR asked : "b')
    make(sqlite_store, one)
    assert find(sqlite_store, "word", project=one.project) == [one.id]
    assert find(sqlite_store, "word", project="a") == []


def test_after_scrubbing_no_page_has_the_words(sqlite_store: TraceStore, tmp_path: Path) -> None:
    """Forgotten while others are recorded, before and between the parts of the scrubbing."""
    store = sqlite_store
    fill = [
        [
            entry(START_NS + (n * 50 + k) * 10**9, f"filler{n}x{k} plain text", "fine")
            for k in range(50)
        ]
        for n in range(40)
    ]
    secrets = [
        entry(START_NS + n * 40 * 10**9, f"plantedword{n} here", f"zyxanswer{n}") for n in range(40)
    ]
    for some, secret in zip(fill[:30], secrets, strict=False):
        make(store, *some, secret)
    make(store, *secrets[30:])
    assert b"edword7" in everything(tmp_path)  # FTS5 leaves out what the word before begins with
    with database.writing(store.engine) as connection:
        search.forget(connection, [each.id for each in secrets[:20]])
    late = iter(fill[30:])
    with database.writing(store.engine) as connection:
        assert search.scrub(connection)
        search.forget(connection, [each.id for each in secrets[20:]])
        search.add(connection, next(late))
    scrub(store, between=lambda: make(store, *next(late, [])))
    make(store, *(each for some in late for each in some))
    store.close()  # the last connection's: the log is emptied
    left = everything(tmp_path)
    assert b"ller7x7" in left
    assert b"edword" not in left
    assert b"xanswer" not in left
    ask(store, "INSERT INTO search_2959 (search_2959) VALUES ('integrity-check')")
    assert len(find(store, "plain")) == 40 * 50


def everything(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("shalt.sqlite*"))
