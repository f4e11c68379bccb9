"""Every call is weighed once, group after group; measures are read of those that are asked for."""

import pytest

from storage.choosing import read_choice, read_measured
from storage.database import writing
from storage.features import Features
from storage.filters import FilterError
from storage.schema import call
from storage.store import TraceStore
from tests.storage.calls import at, id_of, recorded


def test_every_call_is_weighed_with_its_group_in_one_piece(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(1, 8)], at(1))
    calls = list(read_choice(store, "default", f"id >= '{id_of(5)}'"))
    assert sorted((call.id, call.matches) for call in calls) == [
        (id_of(number), number >= 5) for number in range(1, 8)
    ]
    groups = [call.group_id for call in calls]
    assert groups == sorted(groups)


def test_what_a_filter_cannot_tell_it_does_not_match(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    (call,) = read_choice(store, "default", "cost_usd > 10 or cost_usd <= 10")
    assert call.matches is (store.count("default", "cost_usd > 10 or cost_usd <= 10") == 1)


def test_a_filter_that_is_none_is_refused(store: TraceStore) -> None:
    with pytest.raises(FilterError):
        list(read_choice(store, "default", "no_such_column = 1"))


def test_measures_come_in_the_order_they_are_asked_for(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(1, 5)], at(1))
    wanted = [id_of(3), id_of(9), id_of(1)]
    found = list(read_measured(store, wanted))
    assert [each.row.id for each in found] == [id_of(3), id_of(1)]
    every = {each.row.id: each for page in store.features("default") for each in page}
    assert found == [every[id_of(3)], every[id_of(1)]]


def test_a_call_without_measures_is_left_out(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2)], at(1))
    with writing(store.engine) as connection:
        nothing = dict.fromkeys(Features.__struct_fields__)
        connection.execute(call.update().where(call.c.id == id_of(1)).values(nothing))
    assert [each.row.id for each in read_measured(store, [id_of(1), id_of(2)])] == [id_of(2)]
