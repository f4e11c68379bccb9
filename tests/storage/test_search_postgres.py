"""The index of words in PostgreSQL: how it is asked, and what is left of removed words."""

from collections.abc import Iterator

import pytest

from storage import database, search, search_postgres
from storage.store import TraceStore
from tests.postgres import TEMPLATE, Server
from tests.storage.calls import START_NS, ask, new_store
from tests.storage.test_search import entry, find, make, scrub

MS_NS = 10**6


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
    assert find(postgres_store, "one -three two")[-3:] == [entries[n].id for n in (4, 2, 0)]
