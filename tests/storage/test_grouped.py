"""Ranges of groups hold every call once, and give what a dataset needs of it."""

from itertools import pairwise

import pytest

from storage.grouped import GroupRange, group_firsts, group_ids, group_ranges, read_groups, size_of
from storage.reader import StoreReader
from storage.store import TraceStore
from tests.exporters.calls import conversation, record

EVERYTHING = GroupRange("", None)


def fill(store: TraceStore, groups: int, turns: int) -> None:
    for group in range(groups):
        record(store, conversation(100 * group, f"question {group}", turns), group + 1)


@pytest.mark.parametrize("calls", [1, 2, 7, 1000])
def test_the_ranges_hold_every_call_once_and_no_group_twice(store: TraceStore, calls: int) -> None:
    fill(store, 12, 3)
    ranges = group_ranges(store, "default", calls)
    read = [list(read_groups(store, "default", None, each)) for each in ranges]
    assert sorted(call.id for part in read for call in part) == list(store.ids("default", first=""))
    groups = [{call.group_id for call in part} for part in read]
    assert sum(map(len, groups)) == 12
    assert [after.start for _, after in pairwise(ranges)] == [each.end for each in ranges[:-1]]


def test_a_large_group_stays_whole(store: TraceStore) -> None:
    record(store, conversation(0, "long", 20))
    ranges = group_ranges(store, "default", 5)
    read = [len(list(read_groups(store, "default", None, each))) for each in ranges]
    assert [count for count in read if count] == [20]


def test_calls_come_group_by_group_in_the_order_of_their_ids(store: TraceStore) -> None:
    fill(store, 10, 3)
    found = [(call.group_id, call.id) for call in read_groups(store, "default", None, EVERYTHING)]
    assert found == sorted(found)


def test_a_filter_marks_calls_and_leaves_none_out(store: TraceStore) -> None:
    fill(store, 4, 2)
    calls = list(read_groups(store, "default", "substr(id, 32, 1) = '0'", EVERYTHING))
    assert len(calls) == 8
    assert all(call.matches == call.id.endswith("0") for call in calls)


def test_a_filter_that_cannot_tell_does_not_match(store: TraceStore) -> None:
    record(store, conversation(0, "hi", 1))
    (call,) = read_groups(store, "default", "input_tokens > 5", EVERYTHING)
    assert call.matches is (store.count("default", "input_tokens > 5") == 1)


def test_the_captures_are_those_that_were_stored(store: TraceStore) -> None:
    captures = conversation(0, "hi", 3)
    record(store, captures)
    assert [call.capture for call in read_groups(store, "default", None, EVERYTHING)] == captures


def test_the_first_call_of_each_group_is_named(store: TraceStore) -> None:
    fill(store, 3, 2)
    groups = group_ids(store, "default", EVERYTHING)
    calls = list(read_groups(store, "default", None, EVERYTHING))
    assert groups == sorted({call.group_id for call in calls})
    firsts = group_firsts(store, "default", [groups[2], "of nobody", groups[0]])
    assert [group for group, _ in firsts] == [groups[2], groups[0]]
    every = group_firsts(store, "default", groups)
    assert {call_id for _, call_id in every} == {f"{100 * group:032x}" for group in range(3)}
    assert set(firsts) < set(every)


def test_the_size_of_a_project_counts_calls_and_bytes(store: TraceStore) -> None:
    captures = conversation(0, "hi", 3)
    record(store, captures)
    lengths = [each.request_body.length + each.response_body.length for each in captures]
    assert size_of(store, "default") == (3, 1, sum(lengths))
    assert size_of(StoreReader(store.engine), "nobody") == (0, 0, 0)
