"""The sample depends on the calls, not on how they were cut into ranges."""

import random

import msgspec
import pytest

from exporters import reference
from exporters.reference import Sample, Sampler
from storage.capture import Outcome
from tests.exporters.calls import Traffic, span_of


@pytest.fixture(autouse=True)
def _room_for_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "REFERENCE_GROUPS_MAX", 10)


def sampled(parts: list[range]) -> Sample:
    whole = Sampler()
    chance = random.Random(1)
    understood = [Traffic().understood(chance) for _ in range(60)]
    for part in parts:
        sampler = Sampler(whole.rank_max)
        for number in part:
            span = span_of(understood[number], f"{number:032x}")
            span = msgspec.structs.replace(span, started_at_ns=number * 10**9)
            sampler.offer(f"group {number // 2}", span)
        whole.add(sampler.sample())
    return whole.sample()


def test_the_sample_does_not_depend_on_the_ranges() -> None:
    one = sampled([range(60)])
    assert len(one.rows) == 10
    assert one.call_count == 60
    assert sampled([range(0, 20), range(20, 40), range(40, 60)]) == one
    assert sampled([range(40, 60), range(0, 20), range(20, 40)]) == one


def test_the_time_is_that_of_all_calls_that_count() -> None:
    started = sampled([range(30), range(30, 60)]).started
    assert started is not None
    assert (started[1] - started[0]).total_seconds() == 59


def test_a_call_that_windows_do_not_hold_is_not_sampled() -> None:
    span = span_of(Traffic().understood(random.Random(1)))
    sampler = Sampler()
    sampler.offer("group", msgspec.structs.replace(span, outcome=Outcome.CLIENT_GONE))
    assert sampler.sample() == Sample()
