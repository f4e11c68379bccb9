"""The index of words, in both databases: what is found, in which order, and what is forgotten."""

from collections.abc import Callable

import pytest

from storage import database, search
from storage.capture import new_id
from storage.id_range import ALL_IDS, IdRange
from storage.scrub import Order, start
from storage.search_words import Entry, parse_search, words_of
from storage.store import TraceStore
from tests.storage.calls import START_NS, StillClock, ask

DAY_NS = 86_400 * 10**9
MS_NS = 10**6
# One of each day in which the calls of these tests began.
IDS = [f"{(START_NS + day * DAY_NS) // MS_NS:012x}{day:020x}" for day in range(60)]


def entry(at_ns: int, asked: str, answered: str = "", project: str = "default") -> Entry:
    return Entry(new_id(StillClock(at_ns)), project, words_of(asked), words_of(answered))


def make(store: TraceStore, *entries: Entry) -> None:
    with database.writing(store.engine) as connection:
        search.create(connection)
        assert search.add(connection, entries) == len(entries)


def find(
    store: TraceStore,
    text: str,
    ids: IdRange = ALL_IDS,
    *,
    project: str = "default",
    newest_first: bool = True,
) -> list[str]:
    with database.reading(store.engine) as connection:
        wanted = parse_search(text)
        pages = search.find(connection, project, wanted, ids, newest_first=newest_first)
        return [id for page in pages for id in page]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("order", [0, 1, 2]),
        ("ORDER Number", [0, 1]),
        ('"order number"', [0]),
        ("order -number", [2]),
        ('order -"order number"', [1, 2]),
        ("creme", [3]),
        ("京都", [3]),
        ("東都", []),
        ('"where now"', []),
        ("or", [2]),
        ("not and near", []),
        ("zebra", []),
        ("order -order", []),
    ],
)
def test_words_phrases_and_exclusions(store: TraceStore, text: str, found: list[int]) -> None:
    entries = [
        entry(START_NS, "Where is order number 66?", "Shipped."),
        entry(START_NS + 1 * MS_NS, "the number of my order is where", "now OK"),
        entry(START_NS + 2 * MS_NS, "cancel this order or else"),
        entry(START_NS + 3 * MS_NS, "crème, 東京都"),
    ]
    make(store, *entries)
    assert find(store, text) == [entries[number].id for number in found][::-1]


def test_a_project_finds_its_own_calls_alone(store: TraceStore) -> None:
    mine, other = entry(START_NS, "word", project="a"), entry(START_NS, "word", project="a.b")
    make(store, mine, other)
    assert find(store, "word", project="a") == [mine.id]
    assert find(store, "word", project="a.b") == [other.id]
    assert find(store, "a", project="a") == []


def test_the_newest_come_first_whatever_the_order_they_were_recorded_in(store: TraceStore) -> None:
    entries = [entry(START_NS + number * 7 * 60 * 10**9, "same") for number in range(400)]
    make(store, *entries[200:])
    make(store, *reversed(entries[:200]))
    ids = [each.id for each in entries]
    assert find(store, "same") == ids[::-1]
    assert find(store, "same", newest_first=False) == ids
    assert find(store, "same", IdRange(ids[50], ids[350])) == ids[50:350][::-1]
    assert find(store, "same", IdRange(ids[50], ids[350]), newest_first=False) == ids[50:350]


def test_calls_of_many_weeks_are_found(store: TraceStore) -> None:
    entries = [entry(START_NS + week * 7 * DAY_NS, "weekly") for week in range(-3, 3)]
    make(store, *entries)
    assert find(store, "weekly") == [each.id for each in entries][::-1]
    assert find(store, "weekly", IdRange(entries[4].id)) == [entries[5].id, entries[4].id]


def test_ids_of_times_that_cannot_be_share_two_tables(store: TraceStore) -> None:
    odd = [Entry(f"{number:032x}", "default", ["odd"], []) for number in (1, 2 << 80, 2**128 - 1)]
    make(store, *odd)
    assert find(store, "odd") == [each.id for each in odd][::-1]
    assert find(store, "odd", IdRange(odd[1].id, odd[2].id)) == [odd[1].id]
    assert len(ask(store, "SELECT number FROM search_week")) == 2


def test_an_end_that_is_no_id_is_compared_as_a_text(store: TraceStore) -> None:
    one = entry(START_NS, "word")
    make(store, one)
    assert find(store, "word", IdRange(None, "zzz")) == [one.id]
    assert find(store, "word", IdRange("", "00")) == []


def test_a_call_is_indexed_once(store: TraceStore) -> None:
    one = entry(START_NS, "word")
    make(store, one)
    with database.writing(store.engine) as connection:
        assert search.add(connection, [one, entry(START_NS + 1 * MS_NS, "word")]) == 1
        assert search.count(connection) == 2
    assert len(find(store, "word")) == 2


def test_what_is_rolled_back_is_not_in_the_index(store: TraceStore) -> None:
    make(store, entry(START_NS, "kept"))
    with database.writing(store.engine) as connection:
        search.add(connection, [entry(START_NS + 8 * DAY_NS, "lost")])
        connection.rollback()
    assert find(store, "lost") == []
    make(store, entry(START_NS + 8 * DAY_NS, "lost"))
    assert len(find(store, "lost")) == 1


def test_without_an_index_nothing_is_added_and_a_search_says_how_to_make_one(
    store: TraceStore,
) -> None:
    with database.writing(store.engine) as connection:
        assert search.add(connection, [entry(START_NS, "word")]) == 0
        assert search.forget(connection, [entry(START_NS, "word").id]) == 0
        assert not search.scrub(connection)
        assert (search.exists(connection), search.count(connection)) == (False, 0)
    with pytest.raises(search.SearchNotBuilt, match="shalt db search --build"):
        find(store, "word")


def test_an_index_that_was_dropped_is_gone_and_can_be_made_again(store: TraceStore) -> None:
    make(store, entry(START_NS, "word"), entry(START_NS + 30 * DAY_NS, "word"))
    with database.writing(store.engine) as connection:
        search.drop(connection)
        search.drop(connection)
        assert not search.exists(connection)
    make(store, entry(START_NS, "word"))
    assert len(find(store, "word")) == 1


def test_a_forgotten_call_is_found_no_more(store: TraceStore) -> None:
    entries = [entry(START_NS + n * DAY_NS, "common", f"rare{n}") for n in range(12)]
    make(store, *entries)
    with database.writing(store.engine) as connection:
        some = [each.id for each in entries[::3]]
        assert search.forget(connection, [*some, "0" * 32, new_id(StillClock())]) == len(some)
        assert search.forget(connection, some) == 0
    left = [each.id for each in entries if each.id not in some]
    assert find(store, "common") == left[::-1]
    assert find(store, "rare3") == []
    scrub(store)
    assert find(store, "common") == left[::-1]
    assert find(store, "rare3") == []
    assert len(find(store, "rare4")) == 1


def test_a_forgotten_call_can_come_back(store: TraceStore) -> None:
    one = entry(START_NS, "word")
    make(store, one)
    with database.writing(store.engine) as connection:
        search.forget(connection, [one.id])
        search.add(connection, [one])
    scrub(store)
    assert find(store, "word") == [one.id]


def test_scrubbing_says_when_it_is_done(store: TraceStore) -> None:
    make(store, entry(START_NS, "word"), entry(START_NS + 1 * MS_NS, "other"))
    assert scrub(store) == 0
    with database.writing(store.engine) as connection:
        search.forget(connection, [find_one(store, "word")])
    assert scrub(store) >= 1
    assert scrub(store) == 0


def scrub(store: TraceStore, between: Callable[[], object] = lambda: None) -> int:
    for round_number in range(1000):
        with database.writing(store.engine) as connection:
            more = search.scrub(connection)
            words = tuple(search.begin_rewriting(connection, IDS))
        if words:
            url = store.engine.url.render_as_string(hide_password=False)
            assert start(Order(url, words=words)).wait(60) == 0
            with database.writing(store.engine) as connection:
                search.end_rewriting(connection, words)
        elif not more:
            return round_number
        between()
    raise AssertionError("it does not end")


def find_one(store: TraceStore, text: str) -> str:
    (found,) = find(store, text)
    return found
