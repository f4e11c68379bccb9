"""Real dialogues are on one side each, whatever the order, the batches, a restart, or growth.

The small version of benchmarks/split_limits.py.
"""

import random
from pathlib import Path

import pytest

from benchmarks.split_limits import (
    DATA,
    RECALL_MIN,
    answering,
    grow,
    in_batches,
    pair_scores,
    read_calls,
    regenerations,
    shares,
    through_proxy,
)

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the data sets are not beside this")


def test_the_proxy_in_any_order_and_any_batches_agree_on_groups_and_sides(tmp_path: Path) -> None:
    calls = read_calls(DATA, 8)
    orders = [random.Random(seed).sample(calls, len(calls)) for seed in (1, 2, 3)]
    with answering() as upstream:
        first = through_proxy(orders[0], tmp_path / "proxy", upstream)
    for number, size in ((1, 50), (2, 500)):
        assert in_batches(orders[number], tmp_path / f"batches{size}", size) == first
    recall, _ = pair_scores(calls, first)
    assert recall >= RECALL_MIN


def test_groups_are_dialogues_but_for_those_that_begin_alike(tmp_path: Path) -> None:
    calls = read_calls(DATA, 100, ["sgd", "taskmaster4"])
    placed = in_batches(calls, tmp_path, 500)
    for name, precision_min in (("sgd", 0.94), ("taskmaster4", 0.99)):
        recall, precision = pair_scores([each for each in calls if each.source == name], placed)
        assert recall >= RECALL_MIN
        assert precision >= precision_min
    for count, low, high, _ in shares(placed).values():
        assert low <= count <= high


def test_no_group_on_test_was_ever_trained_on_while_the_store_grows(tmp_path: Path) -> None:
    calls = read_calls(DATA, 90, ["taskmaster4", "glaive_toolcall_en"])
    leaked, tested = grow(calls, tmp_path, [60, 1, 10, 100])
    assert tested > 5
    assert leaked == 0


def test_regenerated_turns_are_found_and_nothing_else() -> None:
    precision, recall, _ = regenerations(read_calls(DATA, 150, ["sgd"]), seed=5)
    assert min(precision, recall) >= 0.99
