"""Counts of sides, sources and causes."""

from storage.group_counts import count_causes, count_sources
from storage.ratios import change_ratios
from storage.rows import SideCount
from storage.store import TraceStore
from storage.trace import Side
from tests.storage.calls import StillClock, ask, at, id_of, recorded


def test_made_up_calls_are_counted_apart(store: TraceStore) -> None:
    store.change_policy("default", 0.0, 0.0)
    store.insert([recorded(n, session_id="s" if n < 3 else "t") for n in (1, 2, 3)], at(1))
    ask(store, f"UPDATE call SET source = 'synthetic' WHERE id > '{id_of(1)}'")
    assert store.sides("default")[Side.TRAIN] == SideCount(groups=1, calls=1, synthetic=2)


def test_groups_of_two_sources_are_told_apart(store: TraceStore) -> None:
    store.insert([recorded(n, session_id="s" if n < 3 else "") for n in (1, 2, 3)], at(1))
    with store.reading() as connection:
        assert count_sources(connection, "default") == {
            "session": SideCount(1, 2),
            "root": SideCount(1, 1),
        }


def test_changes_are_counted_by_their_cause(store: TraceStore) -> None:
    store.change_policy("default", 0.0, 0.0)
    store.insert([recorded(n, session_id=f"s{n}") for n in range(1, 6)], at(1))
    change_ratios(store, "default", 0.999, 0.0, clock=StillClock())
    with store.reading() as connection:
        assert count_causes(connection, "default") == {"ratio_raised": 5}
