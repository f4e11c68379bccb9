"""How large the store is: in all, part by part, week by week."""

from datetime import UTC, datetime

from storage.sizes import measure, total_bytes
from storage.store import TraceStore
from tests.storage.calls import at, recorded


def test_an_empty_store_has_a_size_and_no_call(store: TraceStore) -> None:
    sizes = measure(store)
    assert (sizes.calls, sizes.bodies, sizes.oldest, sizes.bytes_a_call) == (0, 0, None, None)
    assert sizes.bytes == total_bytes(store) > 100_000


def test_calls_are_counted_and_their_time_said(store: TraceStore) -> None:
    store.insert([recorded(0), recorded(60)], at(1))
    sizes = measure(store)
    assert (sizes.calls, sizes.bodies) == (2, 2)
    assert sizes.oldest == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    assert sizes.newest == datetime(2026, 9, 21, 14, 14, 20, tzinfo=UTC)
    assert sizes.bytes_a_call == sizes.bytes / 2


def test_every_table_and_index_is_a_part_and_the_largest_is_first(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(500)], at(1))
    parts = measure(store).parts
    kinds = {part.name: part.kind for part in parts}
    assert kinds["call"] == kinds["body"] == "table"
    assert kinds["ix_call_project_id"] == "index"
    assert [part.bytes for part in parts] == sorted((part.bytes for part in parts), reverse=True)


def test_partitions_are_weeks_over_all_tables(store: TraceStore, store_url: str) -> None:
    store.insert([recorded(number) for number in range(500)], at(1))
    partitions = measure(store).partitions
    if store_url.startswith("sqlite"):
        assert partitions == {}
    else:
        assert list(partitions)[:2] == ["past", "2026_09_17"]
        assert max(partitions, key=partitions.__getitem__) == "2026_09_17"
