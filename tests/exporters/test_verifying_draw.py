"""A fair draw passes as often as is said; one that was thinned out does not."""

import numpy as np
import pytest

from exporters.checks import State
from exporters.representative import FALSE_ALARM_RATE
from exporters.statistics import FloatArray, binomial_below
from exporters.verifying_draw import check_draw
from storage.reservation import Policy

POLICY = Policy(1, "0" * 32, 0.10, 0.05)


def drawn(groups: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).random(groups)


def test_fair_draws_are_rejected_no_more_often_than_is_said() -> None:
    seeds = range(1_000)
    rejected = [check_draw(drawn(500, seed), POLICY, "").state is State.FAILED for seed in seeds]
    # Of a binomial with 1,000 draws at 1 %, 99.9 % lie below 21.
    assert sum(rejected) <= 20, f"of seeds {seeds}"


def test_a_disturbed_draw_is_rejected_no_more_often_either() -> None:
    seeds = range(1_000)
    kept = [u[(u < 0.1) | (u > 0.5)] for u in (drawn(500, seed) for seed in seeds)]
    rejected = [check_draw(u, POLICY, "rows were dropped").state is State.FAILED for u in kept]
    assert sum(rejected) / len(seeds) < FALSE_ALARM_RATE


@pytest.mark.parametrize(
    "keep",
    [
        lambda u, chance: (u >= 0.1) | (chance > 0.5),  # test, evenly
        lambda u, chance: (u < 0.95) | (chance > 0.7),  # val, evenly
        lambda u, chance: (u < 0.1) | (chance > 0.5),  # train and val
    ],
    ids=["test", "val", "train"],
)
def test_a_side_thinned_out_evenly_is_rejected(keep: object) -> None:
    assert callable(keep)
    u, chance = drawn(1_500, 7), drawn(1_500, 8)
    thinned = u[keep(u, chance)]
    check = check_draw(thinned, POLICY, "")
    assert check.state is State.FAILED
    assert "not made by one draw" in check.problems[0]


def test_what_was_dropped_from_train_excuses_no_loss_of_test() -> None:
    u = drawn(1_500, 7)
    whole = check_draw(u[(u < 0.1) | (u > 0.4)], POLICY, "rows were dropped")
    assert whole.state is State.OK
    assert whole.says.endswith("rows were dropped")
    thinned = check_draw(u[u > 0.06], POLICY, "rows were dropped")
    assert thinned.state is State.FAILED
    assert "although none of test may be dropped" in thinned.problems[0]


def test_no_groups_are_no_draw() -> None:
    assert check_draw(drawn(0, 1), POLICY, "").state is State.SKIPPED


def test_a_test_side_of_none_is_too_few() -> None:
    assert check_draw(0.1 + 0.9 * drawn(100, 1), POLICY, "all dropped").state is State.FAILED
    assert binomial_below(0, 100, 0.1) == pytest.approx(0.9**100)
