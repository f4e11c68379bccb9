"""The index of words in PostgreSQL: how it is asked, and what is left of removed words."""

from collections.abc import Iterator

import pytest

from storage import database, search, search_postgres
from storage.store import TraceStore
from tests.postgres import TEMPLATE, Server
from tests.storage.calls import START_NS, ask, new_store
from tests.storage.test_search import DAY_NS, IDS, MS_NS, entry, find, make, scrub


@pytest.fixture
def postgres_store(postgres: Server) -> Iterator[TraceStore]:
    url = postgres.url(postgres.create(TEMPLATE))
    store = new_store(url)
    yield store
    store.close()
    postgres.drop(url)


def test_a_word_that_stands_in_a_call_a_thousand_times_is_found(
    postgres_store: TraceStore,
) -> None:
    one = entry(START_NS, "again " * 1000 + "end")
    make(postgres_store, one)
    assert find(postgres_store, "again -other end") == [one.id]


def test_after_scrubbing_the_files_of_a_week_are_others(postgres_store: TraceStore) -> None:
    entries = [entry(START_NS + n * MS_NS, f"word{n}") for n in range(50)]
    make(postgres_store, *entries)
    files = "SELECT relname, relfilenode FROM pg_class WHERE relname ~ 'search_2' ORDER BY 1"
    before = ask(postgres_store, files)
    with database.writing(postgres_store.engine) as connection:
        search.forget(connection, [entries[7].id])
    scrub(postgres_store)
    after = ask(postgres_store, files)
    assert len(after) == 3
    assert not {node for _, node in before} & {node for _, node in after}
    assert find(postgres_store, "word7") == []
    assert find(postgres_store, "word8") == [entries[8].id]


def test_a_phrase_of_words_that_all_calls_have_is_found_in_old_ones(
    postgres_store: TraceStore,
) -> None:
    texts = ["one two", "two three one"] * 3 + ["two one"] * search_postgres.LOOKED_AT_ONCE * 2
    entries = [entry(START_NS + n * MS_NS, text) for n, text in enumerate(texts)]
    make(postgres_store, *entries)
    assert find(postgres_store, '"one two"') == [entries[n].id for n in (4, 2, 0)]
    assert find(postgres_store, "one two three") == [entries[n].id for n in (5, 3, 1)]
    assert find(postgres_store, '"two three"') == [entries[n].id for n in (5, 3, 1)]
    assert find(postgres_store, "one -three two")[-3:] == [entries[n].id for n in (4, 2, 0)]


def test_only_the_weeks_asked_for_are_written_anew(postgres_store: TraceStore) -> None:
    entries = [entry(START_NS + n * 8 * DAY_NS, "word") for n in range(3)]
    make(postgres_store, *entries)
    with database.writing(postgres_store.engine) as connection:
        search.forget(connection, [each.id for each in entries[:2]])
    with database.writing(postgres_store.engine) as connection:
        first = search.begin_rewriting(connection, [entries[0].id, entries[2].id])
        assert len(first) == 1
        assert search.begin_rewriting(connection, [entries[0].id]) == first  # not ended
        search.end_rewriting(connection, first)
        assert search.begin_rewriting(connection, [entries[0].id]) == []
        assert len(search.begin_rewriting(connection, IDS)) == 1


def test_what_is_forgotten_while_a_week_is_written_anew_is_for_another_time(
    postgres_store: TraceStore,
) -> None:
    one, other = entry(START_NS, "word"), entry(START_NS + MS_NS, "word")
    make(postgres_store, one, other)
    with database.writing(postgres_store.engine) as connection:
        search.forget(connection, [one.id])
        tables = search.begin_rewriting(connection, IDS)
        search.forget(connection, [other.id])
        search.end_rewriting(connection, tables)
        assert search.begin_rewriting(connection, IDS) == tables
