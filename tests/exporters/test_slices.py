"""Slices of values and of numbers, and what is no slice."""

import numpy as np

from exporters.slices import (
    RANGES_MAX,
    VALUES_MAX,
    Facts,
    Numbers,
    Values,
    facts_of,
    keyed,
    numbers_of,
    ranged,
    slices_of_numbers,
    slices_of_values,
    values_of,
)
from storage.capture import Outcome
from storage.store import TraceStore
from tests.exporters.calls import chat, record, said


def facts(store: TraceStore) -> list[Facts]:
    return [facts_of(call) for page in store.features("default") for call in page]


def test_few_numbers_are_a_slice_each() -> None:
    column = Numbers("turn_count", "user messages", np.array([1.0, 2.0, 2.0, 5.0]))
    found = [(each.value, int(each.has.sum())) for each in slices_of_numbers(column)]
    assert found == [("1", 1), ("2", 2), ("5", 1)]


def test_many_numbers_are_cut_into_ranges_of_as_many_calls() -> None:
    column = Numbers("prompt_words", "words in the prompt", np.arange(1.0, 8001.0))
    found = list(slices_of_numbers(column))
    assert len(found) == RANGES_MAX
    assert found[1].says == "calls with 1,000 to 1,999 words in the prompt"
    assert all(990 <= each.has.sum() <= 1010 for each in found)
    assert np.sum([each.has for each in found], axis=0).tolist() == [1] * 8000


def test_a_number_that_most_calls_share_is_one_slice() -> None:
    column = Numbers("tool_count", "tools offered", np.array([0.0] * 90 + [*range(10, 20)]))
    (found,) = slices_of_numbers(column)
    assert found.value == "0-19"


def test_a_call_may_have_several_values_or_none() -> None:
    column = Values("tools_called", "call", [("a", "b"), (), ("b",)])
    found = {each.value: each.has.tolist() for each in slices_of_values(column)}
    assert found == {"b": [True, False, True], "a": [True, False, False]}


def test_the_commonest_values_are_slices() -> None:
    values = [(f"v{number % (VALUES_MAX + 5)}",) for number in range(1000)]
    found = list(slices_of_values(Values("request_model", "ask for", values)))
    assert len(found) == VALUES_MAX
    assert found[0].says == "calls that ask for v0"


def test_a_tag_with_as_many_values_as_calls_is_no_feature() -> None:
    tags = [{"order": str(number), "task": "sum" if number % 2 else ""} for number in range(100)]
    assert [column.name for column in keyed("tag", tags)] == ["tag:task"]


def test_a_call_without_a_tag_has_its_empty_value() -> None:
    (column,) = keyed("tag", [{"task": "sum"}, {}])
    assert list(column.values) == [("sum",), ("",)]


def test_features_are_read_from_the_columns_of_calls(store: TraceStore) -> None:
    user = said("user", "how many are there?")
    calls = [
        chat(1, [user], said("assistant", "seven of them"), metadata={"task": "count"}),
        chat(2, [user], None, outcome=Outcome.UPSTREAM_ERROR, model="other"),
    ]
    record(store, calls)
    read = facts(store)
    assert {column.name for column in numbers_of(read)} == {"answer_words", "answer_chars"}
    values = {column.name: list(column.values) for column in values_of(read)}
    assert values["request_model"] == [("tiny-1",), ("other",)]
    assert values["finish_reason"] == [("stop",), ("failed",)]
    assert values["tag:task"] == [("count",), ("",)]


def test_scores_of_many_values_are_cut_into_ranges() -> None:
    grades: list[dict[str, str | float]] = [{"grade": number / 100} for number in range(100)]
    written = [each["grade"] for each in ranged([*grades, {}])[:100]]
    assert len(set(written)) == RANGES_MAX
    assert (written[0], written[-1]) == ("below 0.12", "0.87 or more")


def test_scores_of_few_values_stay_as_they_are() -> None:
    assert ranged([{"stars": 5.0, "thumbs": "true"}, {"stars": 1.0}, {}]) == [
        {"stars": "5", "thumbs": "true"},
        {"stars": "1"},
        {},
    ]
