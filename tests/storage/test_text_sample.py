"""How many calls of a day are in the sample, counted and found again."""

import msgspec
import pytest

from storage.capture import Capture
from storage.store import TraceStore
from storage.terms import sample_bits_of, text_features_of
from storage.text_sample import CALLS_A_DAY, DAY_NS, DAYS_KNOWN_MAX, TextSample, bits_after
from tests.storage.calls import at, capture_of, recorded


def on_day(day: int, number: int = 0, project: str = "default") -> Capture:
    start_ns = day * DAY_NS + number * 1_000_000
    id = f"{start_ns // 1_000_000:012x}{number:020x}"
    made = capture_of(1, project)
    return msgspec.structs.replace(made, id=id, started_at_ns=start_ns)


@pytest.mark.parametrize(
    ("count", "bits"),
    [(0, 0), (2 * CALLS_A_DAY - 1, 0), (2 * CALLS_A_DAY, 1), (4 * CALLS_A_DAY, 2), (10**12, 25)],
)
def test_a_bit_more_whenever_the_calls_have_doubled(count: int, bits: int) -> None:
    assert bits_after(count) == bits
    assert count < 2 * CALLS_A_DAY or count >> bits >= CALLS_A_DAY


def test_of_a_busy_day_enough_calls_stay_in_every_sample(sqlite_store: TraceStore) -> None:
    sample = TextSample(sqlite_store.engine)
    captures = [on_day(1, number) for number in range(100_000)]
    taken = [(each.id, sample.bits_for(each)) for each in captures]
    largest = max(bits for _, bits in taken if bits is not None)
    assert largest == 2
    left = {id for id, bits in taken if bits is not None and sample_bits_of(id) >= largest}
    assert left == {each.id for each in captures if sample_bits_of(each.id) >= largest}
    assert len(left) > 20_000


def test_days_and_projects_are_counted_apart(sqlite_store: TraceStore) -> None:
    sample = TextSample(sqlite_store.engine)
    for number in range(2 * CALLS_A_DAY):
        sample.bits_for(on_day(1, number))
    assert sample.bits_for(on_day(2)) == 0
    assert sample.bits_for(on_day(1, project="other")) == 0
    assert sample.bits_for(on_day(1, 10**6)) in (None, 1)


def test_the_bits_of_a_day_are_found_again(store: TraceStore) -> None:
    call = recorded(1)
    store.insert([msgspec.structs.replace(call, texts=text_features_of(call.span, 3))], at(1))
    sample = TextSample(store.engine)
    here, elsewhere = call.capture, msgspec.structs.replace(call.capture, project="other")
    sample.prepare([here, elsewhere])
    bits = {sample.bits_for(msgspec.structs.replace(here, id=f"{n:032x}")) for n in range(100)}
    assert bits == {None, 3}
    assert sample.bits_for(elsewhere) == 0


def test_what_is_known_is_bounded(sqlite_store: TraceStore) -> None:
    sample = TextSample(sqlite_store.engine)
    sample._counts = {("default", -day): 1 for day in range(DAYS_KNOWN_MAX)}
    sample.prepare([on_day(1)])
    assert len(sample._counts) == DAYS_KNOWN_MAX
