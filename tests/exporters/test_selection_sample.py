"""What a sample holds: conversations of train and val, and few calls of each group."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters import selection_sample
from exporters.selection_sample import CALLS_MAX, Counts, sample_selection
from storage.capture import Outcome
from storage.filters import FilterError
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import chat, conversation, record, said
from tests.exporters.conftest import make_store

EVEN = "substr(id, 32, 1) in ('0', '2', '4', '6', '8', 'a', 'c', 'e')"


def fill(store: TraceStore, groups: int, turns: int = 1) -> None:
    calls = (
        conversation(100 * group, f"question {group}", turns, session=f"s{group}")
        for group in range(groups)
    )
    record(store, [call for each in calls for call in each])


@pytest.fixture
def one_store(tmp_path: Path) -> Iterator[TraceStore]:
    made = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield made
    made.close()


def test_the_test_side_is_not_looked_at(store: TraceStore) -> None:
    fill(store, 60)
    sample = sample_selection(store, "default", EVEN)
    sides = store.sides("default")
    expected = sides[Side.TRAIN].calls + sides[Side.VAL].calls
    assert sides[Side.TEST].calls > 0
    assert sample.funnel["calls"] == Counts(expected, expected)
    assert len(sample.calls) == expected


def test_what_matches_is_what_the_filter_matches(store: TraceStore) -> None:
    fill(store, 40, turns=3)
    sample = sample_selection(store, "default", EVEN)
    for facts, chosen in zip(sample.calls, sample.chosen.tolist(), strict=True):
        assert chosen == (int(facts.call_id, 16) % 2 == 0)


def test_the_funnel_counts_every_call_and_not_the_sampled(one_store: TraceStore) -> None:
    fill(one_store, 20, turns=10)
    answer = said("assistant", "a")
    texts = [said("user", f"again {number}") for number in range(20)]
    cut = [
        chat(10**6 + 2 * number, [text], None, outcome=Outcome.UPSTREAM_CUT)
        for number, text in enumerate(texts)
    ]
    embedded = [
        chat(2 * 10**6 + number, [text], answer, path="/v1/embeddings")
        for number, text in enumerate(texts)
    ]
    record(one_store, cut + embedded, 2)
    funnel = sample_selection(one_store, "default", EVEN).funnel
    not_test = "side <> 'test' and"
    assert funnel["calls"].calls - funnel["conversations"].calls == one_store.count(
        "default", f"{not_test} endpoint = 'embeddings'"
    )
    assert funnel["matching"].calls - funnel["complete"].calls == one_store.count(
        "default", f"{not_test} outcome = 'upstream_cut'"
    )
    assert funnel["calls"].groups <= 60


def test_of_a_group_few_calls_are_kept(one_store: TraceStore) -> None:
    fill(one_store, 20, turns=CALLS_MAX + 3)
    sample = sample_selection(one_store, "default", EVEN)
    groups = int(sample.groups.max()) + 1
    assert len(sample.calls) == groups * CALLS_MAX
    assert sample.groups.tolist() == sorted(sample.groups.tolist())


def test_of_many_groups_those_that_hash_lowest_are_kept(
    one_store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(one_store, 60)
    every = {facts.call_id for facts in sample_selection(one_store, "default", EVEN).calls}
    monkeypatch.setattr(selection_sample, "GROUPS_MAX", 10)
    few = {facts.call_id for facts in sample_selection(one_store, "default", EVEN).calls}
    monkeypatch.setattr(selection_sample, "GROUPS_MAX", 20)
    more = {facts.call_id for facts in sample_selection(one_store, "default", EVEN).calls}
    assert (len(few), len(more)) == (10, 20)
    assert few < more < every


def test_a_store_without_calls_has_an_empty_sample(store: TraceStore) -> None:
    sample = sample_selection(store, "default", EVEN)
    assert (len(sample.calls), sample.funnel["calls"]) == (0, Counts(0, 0))


def test_a_filter_that_is_none_is_refused(store: TraceStore) -> None:
    with pytest.raises(FilterError):
        sample_selection(store, "default", "no_such_column = 1")
