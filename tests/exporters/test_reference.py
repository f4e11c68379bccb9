"""The samples depend on the calls, not on how they were cut into ranges."""

import random
from pathlib import Path

import msgspec
import pytest

from exporters import reference
from exporters.reference import Sample, Sampler, Samples, make_reference, write_reference
from exporters.window_files import read_window_file
from storage.capture import Outcome
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import Traffic, conversation, record, span_of


@pytest.fixture(autouse=True)
def _room_for_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "REFERENCE_GROUPS_MAX", 10)


def sampled(parts: list[range]) -> Samples:
    whole = Sampler()
    chance = random.Random(1)
    understood = [Traffic().understood(chance) for _ in range(120)]
    for part in parts:
        sampler = Sampler(whole.rank_maxes)
        for number in part:
            side = Side.TRAIN if number < 60 else Side.TEST
            span = span_of(understood[number], f"{number:032x}")
            span = msgspec.structs.replace(span, started_at_ns=number * 10**9)
            sampler.offer(side, f"group {number // 2}", span)
        whole.add(sampler.samples())
    return whole.samples()


def test_the_samples_do_not_depend_on_the_ranges() -> None:
    one = sampled([range(120)])
    for side in (Side.TRAIN, Side.TEST):
        assert len(one[side].rows) == 10
        assert one[side].call_count == 60
    assert not {row.call_id for row in one[Side.TRAIN].rows} & {
        row.call_id for row in one[Side.TEST].rows
    }
    assert sampled([range(0, 20), range(20, 80), range(80, 120)]) == one
    assert sampled([range(80, 120), range(0, 20), range(20, 80)]) == one


def test_the_time_is_that_of_all_calls_that_count() -> None:
    started = sampled([range(30), range(30, 60)])[Side.TRAIN].started
    assert started is not None
    assert (started[1] - started[0]).total_seconds() == 59


def test_a_call_that_windows_do_not_hold_is_not_sampled() -> None:
    span = span_of(Traffic().understood(random.Random(1)))
    sampler = Sampler()
    sampler.offer(Side.TRAIN, "group", msgspec.structs.replace(span, outcome=Outcome.CLIENT_GONE))
    sampler.offer(Side.VAL, "group", span)
    assert sampler.samples() == {Side.TRAIN: Sample(), Side.TEST: Sample()}


def test_every_call_of_a_sample_has_text_features_whatever_the_recorder_measured() -> None:
    rows = sampled([range(60)])[Side.TRAIN].rows
    assert all(row.text is not None and row.text.sample_bits == 0 for row in rows)
    assert all(row.text is not None and row.text.prompt_terms for row in rows)


def test_the_files_hold_what_was_drawn_and_twice_the_same_bytes(
    store: TraceStore, tmp_path: Path
) -> None:
    record(store, conversation(1, "hello there", 3))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        drawn = make_reference(store, "default", sampled([range(120)]))
        sides = write_reference(tmp_path / name, drawn)
        train = read_window_file(tmp_path / name / "reference.parquet")
        assert train["call_id"].to_pylist() == [
            row.call_id for row in drawn.samples[Side.TRAIN].rows
        ]
        assert sides[Side.TEST].name == "reference_test.parquet"
        assert (sides[Side.TEST].calls, sides[Side.TEST].groups) == (60, 10)
        assert sides[Side.TRAIN].started_to == "1970-01-01T00:00:59Z"
    for name in ("reference.parquet", "reference_test.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
