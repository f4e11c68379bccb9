"""Windows of the drift benchmark: drawn as its figures take for granted."""

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.drift_calls import Call, Kind
from benchmarks.drift_pools import Pool, draw, measure
from storage.trace import Choice, Message, Understood


def calls() -> Iterator[Call]:
    for subject in range(40):
        for population in ("before", "after"):
            said = (Message("user", f"{population} {subject}"),)
            answer = (Choice(Message("assistant", "yes"), "stop"),)
            yield Call(population, subject, Understood(messages=said, choices=answer, ended=True))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return measure(Kind("twice", (("before", "after"),), calls))


def test_no_subject_is_drawn_twice_in_whatever_population(pool: Pool) -> None:
    mixes = {"before": 1.0}, {"before": 0.5, "after": 0.5}

    drawn = np.concatenate(draw(pool, mixes, (20, 20), np.random.default_rng(1)))

    assert len({pool.calls[row].subject for row in drawn}) == 40


def test_a_window_is_of_its_mix_alone(pool: Pool) -> None:
    mixes = {"before": 1.0}, {"after": 1.0}

    reference, current = draw(pool, mixes, (15, 10), np.random.default_rng(1))

    assert [pool.calls[row].population for row in reference] == ["before"] * 15
    assert [pool.calls[row].population for row in current] == ["after"] * 10


def test_a_window_has_the_calls_of_its_rows(pool: Pool) -> None:
    rows = np.array([3, 7]), np.array([0, 1])

    reference, _ = pool.windows(rows)

    assert reference.call_ids == tuple(pool.window.call_ids[row] for row in (3, 7))
    prompts = [pool.calls[row].understood.messages[0].text for row in (3, 7)]
    assert reference.numbers["prompt_chars"].tolist() == [len(prompt) for prompt in prompts]


def test_every_call_of_a_pool_has_terms(pool: Pool) -> None:
    assert len(pool.window.terms["prompt_terms"].rows) == 80
