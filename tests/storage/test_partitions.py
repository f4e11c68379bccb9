"""A partition is there before it is needed, once, and for any id."""

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from storage.database import RowRejected, StoreUnavailable, open_engine
from storage.partitions import FIRST, LAST, PARTITIONED, WEEK_MS, WEEKS_AHEAD, Partitions
from storage.store import TraceStore
from tests.postgres import TEMPLATE, Server
from tests.storage.calls import START_NS, StillClock, ask, at, id_of, recorded

WEEK_NS = WEEK_MS * 1_000_000
NAMES = (
    "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
    " WHERE inhparent = to_regclass('{}') ORDER BY 1"
)
OF_TESTS = ["2026_09_17", "2026_09_24", "2026_10_01", "2026_10_08", "2026_10_15", "past"]


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    made = postgres.url(postgres.create(TEMPLATE))
    yield made
    postgres.drop(made)


def id_at(milliseconds: int, number: int = 0) -> str:
    return f"{milliseconds:012x}{number:020x}"


def names(url: str, table: str = "call") -> list[str]:
    return [str(name).removeprefix(f"{table}_") for (name,) in ask(url, NAMES.format(table))]


def prepare(url: str, *call_ids: str, now_ns: int = START_NS) -> None:
    engine = open_engine(url)
    Partitions(engine).prepare(call_ids, now_ns)
    engine.dispose()


def test_the_weeks_to_come_are_there_for_every_table(url: str) -> None:
    for table in PARTITIONED:
        assert names(url, table.name) == OF_TESTS
    assert len(OF_TESTS) == WEEKS_AHEAD + 2


def test_the_limits_are_the_weeks_they_say() -> None:
    starts = [datetime.fromtimestamp(week * WEEK_MS / 1000, UTC) for week in (FIRST, LAST)]
    assert starts == [datetime(2020, 1, 2, tzinfo=UTC), datetime(2100, 1, 7, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("milliseconds", "name"),
    [
        (0, "past"),
        (FIRST * WEEK_MS - 1, "past"),
        (FIRST * WEEK_MS, "2020_01_02"),
        (3000 * WEEK_MS - 1, "2027_06_24"),
        (3000 * WEEK_MS, "2027_07_01"),
        (LAST * WEEK_MS - 1, "2099_12_31"),
        (LAST * WEEK_MS, "future"),
        (2**48 - 1, "future"),
    ],
)
def test_an_id_has_a_partition_by_its_time(url: str, milliseconds: int, name: str) -> None:
    prepare(url, id_at(milliseconds, 16**20 - 1))
    assert name in names(url)
    ask(url, f"INSERT INTO body VALUES ('{id_at(milliseconds, 16**20 - 1)}', 0, '')")
    assert ask(url, f"SELECT count(*) FROM body_{name}") == [(1,)]


def test_a_partition_has_the_indexes_of_its_table(url: str) -> None:
    counts = (
        "SELECT count(*) FROM pg_inherits WHERE inhparent IN"
        " (SELECT indexrelid FROM pg_index WHERE indrelid = 'call'::regclass)"
    )
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'call'::regclass"
    assert ask(url, counts)[0][0] == ask(url, indexes)[0][0] * len(OF_TESTS)


def test_a_store_that_goes_on_makes_them_as_time_goes_on(url: str) -> None:
    clock = StillClock()
    store = TraceStore(url, clock=clock)
    store.insert([recorded(1)], at(1))
    clock.now_ns += WEEK_NS
    store.insert([recorded(2)], at(2))
    assert names(url) == [*OF_TESTS[:-1], "2026_10_22", "past"]
    store.close()


def test_an_id_that_is_none_is_refused_before_anything_is_made(url: str) -> None:
    engine = open_engine(url)
    for wrong in ("", "x" * 32, id_of(1)[:-1], id_of(1) + "0", "0x" + "0" * 30, "A" * 32):
        with pytest.raises(RowRejected, match="not 32 hexadecimal digits"):
            Partitions(engine).prepare([wrong], START_NS)
    engine.dispose()
    assert names(url) == OF_TESTS


def test_a_partition_that_was_dropped_is_made_again(url: str) -> None:
    store = TraceStore(url, clock=StillClock())
    store.insert([recorded(1)], at(1))
    for table in PARTITIONED:
        ask(url, f"DROP TABLE {table.name}_2026_09_17")
    with pytest.raises(StoreUnavailable, match="no partition"):
        store.insert([recorded(2)], at(2))
    assert store.insert([recorded(2)], at(2)) == 1
    store.close()


def test_readers_are_not_in_the_way(url: str) -> None:
    store = TraceStore(url, clock=StillClock())
    store.insert([recorded(1)], at(1))
    with store.snapshot() as snapshot:
        assert snapshot.count("default") == 1
        prepare(url, id_at(3000 * WEEK_MS))
        assert snapshot.count("default") == 1
    store.close()


def test_several_processes_make_each_once(url: str) -> None:
    ids = [id_at(week * WEEK_MS) for week in range(3000, 3008)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        pool.starmap(prepare, [(url, *ids)] * 3)
    assert len(names(url)) == len(OF_TESTS) + len(ids)
