"""The samples are one call of each group of a side; what is stored is not measured again."""

from pathlib import Path

import msgspec
import pytest

from exporters import reference
from exporters.parts import Parts
from exporters.reference import (
    Samples,
    choose,
    draw,
    measure,
    samples_of,
    unmeasured,
    write_reference,
)
from exporters.window_files import read_window_file
from exporters.windows import Measured
from storage.capture import Capture, Outcome
from storage.database import writing
from storage.deletion import delete_bodies
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.measured import id_ranges
from storage.reservation import Cause
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from storage.terms import text_features_of
from storage.trace import Side
from storage.withheld import SYNTHETIC, Withheld
from tests.exporters.calls import conversation, opening
from tests.stores import SALT

SECOND_NS = 10**9


def parts(chosen: frozenset[str] = frozenset()) -> Parts:
    return Parts(Withheld("default", SALT, {}, chosen, frozenset(), frozenset()), {}, False)


def conversations(count: int) -> list[Capture]:
    """Capture conversations of two calls, one of them begun each second."""
    return [
        msgspec.structs.replace(one, started_at_ns=number * SECOND_NS)
        for number in range(count)
        for one in conversation(2 * number + 1, opening(number), 2)
    ]


def record(store: TraceStore, captures: list[Capture], *, texts: bool = False) -> None:
    spans = [derive(one) for one in captures]
    batch = [
        Recorded(
            one,
            span,
            group_of(span, one),
            features_of(span),
            texts=text_features_of(span, 3) if texts else None,
        )
        for one, span in zip(captures, spans, strict=True)
    ]
    store.insert(batch, Checkpoint("f" * 32, 0, len(captures)))


def measured(samples: Samples, wanted: frozenset[str], captures: list[Capture]) -> list[Measured]:
    spans = [derive(one) for one in captures if one.id in wanted]
    groups = {one.id: group_of(derive(one), one).id for one in captures}
    return [measure(groups[span.id], span) for span in spans]


def test_the_samples_are_one_call_of_each_group_and_count_all(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, conversations(60))
    samples = draw(store, "default", None, parts())
    train, test = samples[Side.TRAIN], samples[Side.TEST]
    assert len(train.call_ids) * 2 == train.call_count
    assert train.call_count + test.call_count + store.count("default", side=Side.VAL) == 120
    assert train.started is not None
    assert (train.started[1] - train.started[0]).total_seconds() <= 59
    monkeypatch.setattr(reference, "REFERENCE_GROUPS_MAX", 10)
    fewer = draw(store, "default", None, parts())[Side.TRAIN]
    assert len(fewer.call_ids) == 10
    assert set(fewer.call_ids) < set(train.call_ids)
    assert fewer.call_count == train.call_count


def test_of_a_long_time_a_sample_has_the_groups_that_began_after_its_first_day(
    sqlite_store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_ns = 86_400 * SECOND_NS
    older, newer = conversations(60)[:40], conversations(60)[40:]
    calls = [
        *(msgspec.structs.replace(each, started_at_ns=n % 2 * 12 * day_ns)
          for n, each in enumerate(older)),
        *(msgspec.structs.replace(each, started_at_ns=(2 + n // 2) * day_ns // 5 + day_ns)
          for n, each in enumerate(newer)),
    ]  # fmt: skip
    record(sqlite_store, calls)
    every = draw(sqlite_store, "default", None, parts())[Side.TRAIN]  # too few began since
    monkeypatch.setattr(reference, "BEGUN_GROUPS_MIN", 1)
    begun = draw(sqlite_store, "default", None, parts())[Side.TRAIN]
    assert set(begun.call_ids) == set(every.call_ids) - {each.id for each in older}
    assert 0 < len(begun.call_ids) < len(every.call_ids)
    assert (begun.call_count, begun.started) == (every.call_count, every.started)


def test_what_cannot_leave_is_in_no_sample(sqlite_store: TraceStore) -> None:
    store = sqlite_store
    failed, made_up, gone, kept, withheld = (conversation(n + 1, opening(n), 1) for n in range(5))
    calls = [
        msgspec.structs.replace(failed[0], outcome=Outcome.CLIENT_GONE),
        msgspec.structs.replace(made_up[0], source=SYNTHETIC),
        *gone,
        *kept,
        *withheld,
    ]
    record(store, calls)
    with writing(store.engine) as connection:
        delete_bodies(connection, [gone[0].id])
    chosen = frozenset([group_of(derive(withheld[0]), withheld[0]).id])
    assert parts(chosen).cause(next(iter(chosen))) is Cause.TARGETED
    samples = draw(store, "default", None, parts(chosen))
    assert [id for each in samples.values() for id in each.call_ids] == [kept[0].id]
    assert draw(store, "default", "outcome != 'complete'", parts())[Side.TRAIN].started is None


def test_samples_are_the_same_however_the_calls_were_cut(store: TraceStore) -> None:
    record(store, conversations(30))
    whole = draw(store, "default", None, parts())
    for calls in (1, 7, 50):
        with store.reading() as connection:
            ranges = id_ranges(connection, "default", calls)
        choices = [choose(store, "default", None, parts(), 0, ids) for ids in ranges]
        assert samples_of(choices, 0, list) == whole


def test_only_what_the_recorder_has_not_measured_is_measured_again(store: TraceStore) -> None:
    captures = conversations(30)
    record(store, captures[:40], texts=True)
    record(store, captures[40:])
    samples = draw(store, "default", None, parts())
    drawn = {call_id for sample in samples.values() for call_id in sample.call_ids}
    assert unmeasured(store, sorted(drawn)) == drawn & {one.id for one in captures[40:]}


def test_stored_measures_and_new_ones_make_the_same_files(
    store: TraceStore, tmp_path: Path
) -> None:
    captures = conversations(30)
    record(store, captures[:40], texts=True)
    record(store, captures[40:])
    samples = draw(store, "default", None, parts())
    every = frozenset(one.id for one in captures)
    chosen = [call_id for sample in samples.values() for call_id in sample.call_ids]
    for name, wanted in (("few", unmeasured(store, chosen)), ("all", every)):
        (tmp_path / name).mkdir()
        rows = measured(samples, wanted, captures)
        sides = write_reference(tmp_path / name, store, "default", samples, rows).entries
        train = read_window_file(tmp_path / name / sides[Side.TRAIN].name)
        assert train["call_id"].to_pylist() == list(samples[Side.TRAIN].call_ids)
        assert set(train["sample_bits"].to_pylist()) == {0}
        assert all(train["prompt_terms"].to_pylist())
        assert sides[Side.TEST].calls == samples[Side.TEST].call_count
    for name in ("reference.parquet", "reference_test.parquet"):
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
