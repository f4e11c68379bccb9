"""Rolled-up hours say what the store says: after late calls, erasures, and the age of terms."""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from exporters import rollups
from exporters.columns import window_of_table
from exporters.loading import read_sketch, with_stored_scores
from exporters.periods import Between
from exporters.pooling import Filed
from exporters.rollups import Rollups
from exporters.windows import Window
from storage import erasure
from storage.capture import Capture, new_id
from storage.database import insert_rows, writing
from storage.erasure import Kind, Selection
from storage.features import FEATURE_VERSION
from storage.rows import Checkpoint, time_of
from storage.schema import call, text_feature
from storage.store import TraceStore
from storage.terms import FAMILIES
from tests.exporters.calls import chat, record, said
from tests.exporters.conftest import NOON_NS, make_store
from tests.storage.saying import score

HOUR_NS = 3_600 * 10**9
NOON = time_of(NOON_NS // 1000)


class SetClock:
    """A clock that is set: at noon, to begin with."""

    def __init__(self) -> None:
        self.now_ns = NOON_NS

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture
def store(sqlite_store: TraceStore) -> TraceStore:
    """One kind of database is enough: what is asked of it is tested in tests/storage."""
    return sqlite_store


@pytest.fixture
def set_clock() -> SetClock:
    return SetClock()


def call_at(hours: float, number: int, text: str = "hello") -> Capture:
    """Make a call that began so many hours from noon."""
    started = NOON_NS + int(hours * HOUR_NS)
    return chat(
        (started // 10**6 << 80) + number,
        [said("user", f"{text} {number}")],
        said("assistant", "yes"),
        started_at_ns=started,
        session=f"session {number % 20}",
    )


def fill(store: TraceStore, count: int = 60, seed: int = 1) -> list[Capture]:
    """Record calls of the ten hours before noon."""
    chance = random.Random(seed)
    calls = [call_at(-10 * chance.random(), number) for number in range(count)]
    record(store, calls)
    sample(store, calls)
    return calls


def sample(store: TraceStore, calls: list[Capture]) -> None:
    rows = [
        {
            "call_id": call.id,
            "feature_version": FEATURE_VERSION,
            "sample_bits": 0,
            "prompt_language": "en",
            "answer_language": "",
            **dict.fromkeys(FAMILIES, np.array([int(call.id[-8:], 16)], "<u4").tobytes()),
        }
        for call in calls
    ]
    with writing(store.engine) as connection:
        connection.execute(text_feature.delete())
        insert_rows(connection, text_feature, rows)


def span(first: float, last: float) -> Between:
    return Between(NOON + timedelta(hours=first), NOON + timedelta(hours=last))


def at_once(store: TraceStore, bounds: Between, groups_max: int = 10) -> Window:
    """Look at all calls of a time."""
    with store.reading() as connection:
        sketch = read_sketch(connection, "default", bounds, groups_max)
        table = with_stored_scores(connection, "default", sketch.table)
    return window_of_table(table, "", sketch.call_count)


def assert_same(one: Window, other: Window) -> None:
    assert (one.call_ids, one.group_ids) == (other.call_ids, other.group_ids)
    assert one.call_count == other.call_count
    assert one.sample_bits == other.sample_bits
    for name, numbers in one.numbers.items():
        assert np.array_equal(numbers, other.numbers[name], equal_nan=True)
    for name, codes in one.categories.items():
        assert codes.codes.tolist() == other.categories[name].codes.tolist()
        assert codes.values == other.categories[name].values
    for name, terms in one.terms.items():
        assert terms.rows.tolist() == other.terms[name].rows.tolist()
        assert terms.hashes.tolist() == other.terms[name].hashes.tolist()


@pytest.fixture
def rolled(
    store: TraceStore, tmp_path: Path, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Rollups]:
    monkeypatch.setattr(rollups, "HOUR_GROUPS_MAX", 10)
    monkeypatch.setattr(rollups, "BEGUN_GROUPS_MIN", 0)
    return lambda: Rollups(store, tmp_path / "hours", "default", clock=set_clock, terms_days=8)


def files(directory: Path) -> list[Path]:
    return sorted((directory / "hours").glob("*/*.parquet"))


@pytest.mark.parametrize(
    "bounds", [(-10, 0), (-9.3, -0.2), (-4.5, -4.2), (-1, 0), (-30, -20), (-10, 5), (-500, 0)]
)
def test_a_pooled_window_is_what_one_look_at_the_store_gives(
    store: TraceStore, rolled: Callable[[], Rollups], bounds: tuple[float, float]
) -> None:
    fill(store)
    for _ in range(2):  # the second time from files
        assert_same(rolled().load(span(*bounds)), at_once(store, span(*bounds)))


def test_an_hour_is_rolled_up_two_hours_after_it_is_over(
    store: TraceStore, rolled: Callable[[], Rollups], tmp_path: Path, set_clock: SetClock
) -> None:
    record(store, [call_at(-3.5, 1), call_at(-2.5, 2), call_at(-1.5, 3)])
    rolled().load(span(-4, 0))
    assert len(files(tmp_path)) == 2
    set_clock.now_ns += HOUR_NS
    rolled().load(span(-4, 1))
    assert len(files(tmp_path)) == 3


def test_a_conversation_counts_in_the_hour_in_which_it_began(
    store: TraceStore, rolled: Callable[[], Rollups]
) -> None:
    record(store, [call_at(-9.5 + 2 * turn, 20 * turn) for turn in range(5)])
    record(store, [call_at(-0.5, 1)], 2)
    for _ in range(2):
        assert rolled().load(span(-10, 0)).call_ids == (call_at(-9.5, 0).id, call_at(-0.5, 1).id)
        assert rolled().load(span(-9, 0)).group_ids == ("session 1",)


def test_where_nothing_begins_what_goes_on_without_end_counts(
    store: TraceStore, set_clock: SetClock, tmp_path: Path
) -> None:
    record(store, [call_at(-8 + 2 * turn, 20 * turn) for turn in range(4)])
    rolled_up = Rollups(store, tmp_path / "hours", "default", clock=set_clock, terms_days=8)
    for bounds in ((-7, 0), (-4.3, -3.7)):
        window = rolled_up.load(span(*bounds))
        assert window.group_ids == ("session 0",)
        assert "only 0 of 1 groups began within the time" in window.notes[0]
    assert rolled_up.load(span(-9, 0)).notes == ()


def test_calls_that_come_late_are_in_the_next_window(
    store: TraceStore, rolled: Callable[[], Rollups], tmp_path: Path
) -> None:
    record(store, [call_at(-5.5, 1)])
    rolled().load(span(-6, 0))
    record(store, [call_at(-5.4, 2)], 2)
    assert_same(rolled().load(span(-6, 0)), at_once(store, span(-6, 0)))
    assert len(files(tmp_path)) == 1


def test_calls_are_in_no_window_from_the_moment_they_are_to_be_erased(
    store: TraceStore, rolled: Callable[[], Rollups], set_clock: SetClock, tmp_path: Path
) -> None:
    calls = fill(store)
    window = rolled().load(span(-10, 0))
    before = {path.name for path in files(tmp_path)}
    assert len(before) > 5
    filed_before_ns = NOON_NS - 3 * HOUR_NS
    of_window = (call for call in calls if call.id in window.call_ids)
    one = next(call for call in of_window if call.started_at_ns < filed_before_ns)
    group = window.group_ids[window.call_ids.index(one.id)]
    gone = [call for number, call in enumerate(calls) if f"session {number % 20}" == group]
    set_clock.now_ns += HOUR_NS
    with writing(store.engine) as connection:
        asked, now = new_id(set_clock), set_clock.now_ns // 1000
        selection = Selection(Kind.ID, ids=tuple(call.id for call in gone))
        erasure.add(connection, asked, "default", selection, reason="", now_us=now)
        # As if others had come in their place: the number of calls says nothing.
    hours = [(call.started_at_ns - NOON_NS) / HOUR_NS for call in gone]
    record(store, [call_at(hour, 980 + place) for place, hour in enumerate(hours)], 9)
    after = rolled().load(span(-10, 0))
    assert group not in after.group_ids
    assert_same(after, at_once(store, span(-10, 0)))
    held = b"".join(path.read_bytes() for path in files(tmp_path))
    assert not [call for call in gone if call.id.encode() in held]


def test_files_are_checked_once_after_an_erasure(
    store: TraceStore, rolled: Callable[[], Rollups], set_clock: SetClock, tmp_path: Path
) -> None:
    fill(store)
    rolled().load(span(-10, 0))
    set_clock.now_ns += HOUR_NS // 2
    with writing(store.engine) as connection:
        asked, now = new_id(set_clock), set_clock.now_ns // 1000
        selection = Selection(Kind.USER, value="nobody")
        erasure.add(connection, asked, "default", selection, reason="", now_us=now)
    set_clock.now_ns += 120 * 10**9
    before = files(tmp_path)
    first = [path.stat().st_ino for path in before]
    rolled().load(span(-10, 0))
    checked = files(tmp_path)
    assert not set(before) & set(checked)
    assert [path.stat().st_ino for path in checked] == first  # renamed, not written again
    set_clock.now_ns += 120 * 10**9
    rolled().load(span(-10, 0))
    assert files(tmp_path) == checked


def test_terms_go_with_their_age(
    store: TraceStore, rolled: Callable[[], Rollups], set_clock: SetClock
) -> None:
    fill(store)
    young = rolled().load(span(-10, 0))
    assert len(young.terms["prompt_terms"].rows) == 10
    set_clock.now_ns += 8 * 24 * HOUR_NS - 5 * HOUR_NS
    middle = rolled().load(span(-10, 0))
    assert 0 < len(middle.terms["prompt_terms"].rows) < 10
    assert middle.call_ids == young.call_ids
    set_clock.now_ns += 6 * HOUR_NS
    assert len(rolled().load(span(-10, 0)).terms["prompt_terms"].rows) == 0


def test_scores_may_come_after_the_hour_is_rolled_up(
    store: TraceStore, rolled: Callable[[], Rollups]
) -> None:
    fill(store)
    chosen = rolled().load(span(-10, 0)).call_ids[0]
    given = score(1, value=0.5, call_id=chosen)
    store.insert([], Checkpoint("e" * 32, 0, 1), said=[given])
    window = rolled().load(span(-10, 0))
    assert window.numbers["score:good"][window.call_ids.index(chosen)] == 0.5


def test_a_file_that_is_torn_is_written_anew(
    store: TraceStore, rolled: Callable[[], Rollups], tmp_path: Path
) -> None:
    fill(store)
    rolled().load(span(-10, 0))
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-100])
    assert_same(rolled().load(span(-10, 0)), at_once(store, span(-10, 0)))


def test_features_of_another_version_are_not_kept(
    store: TraceStore, rolled: Callable[[], Rollups], tmp_path: Path
) -> None:
    fill(store)
    with writing(store.engine) as connection:
        connection.execute(call.update().values(feature_version=1))
    assert rolled().load(span(-10, 0)).feature_version == 1
    assert {Filed(path).row_count for path in files(tmp_path)} <= {0}


def test_a_disk_that_refuses_costs_no_window(
    store: TraceStore, rolled: Callable[[], Rollups], tmp_path: Path
) -> None:
    fill(store)
    (tmp_path / "hours").write_bytes(b"in the way")
    assert_same(rolled().load(span(-10, 0)), at_once(store, span(-10, 0)))


def test_files_go_by_their_age_and_beyond_the_bytes(
    store: TraceStore,
    rolled: Callable[[], Rollups],
    set_clock: SetClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store)
    rolled().load(span(-10, 0))
    every = files(tmp_path)
    two = sum(path.stat().st_size for path in every[-2:])
    monkeypatch.setattr(rollups, "BYTES_MAX", two)
    rolled().load(span(-1, 0))
    assert files(tmp_path) == every[-2:]
    set_clock.now_ns += (rollups.KEPT_HOURS + 1) * HOUR_NS
    rolled().load(span(-1, 0))
    assert files(tmp_path) == []


def test_every_filter_has_hours_of_its_own(
    store: TraceStore, rolled: Callable[[], Rollups], set_clock: SetClock, tmp_path: Path
) -> None:
    fill(store)
    rolled().load(span(-10, 0))
    where = "session_id = 'session 1' or session_id = 'session 2'"
    filtered = Rollups(store, tmp_path / "hours", "default", where, clock=set_clock, terms_days=8)
    for _ in range(2):
        assert len(filtered.load(span(-10, 0))) == 2
    assert len(list((tmp_path / "hours").iterdir())) == 2


def test_hours_of_a_store_of_each_kind_are_rolled_up(
    store_url: str, tmp_path: Path, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "BEGUN_GROUPS_MIN", 0)
    store = make_store(store_url)
    fill(store)
    for _ in range(2):  # the second time from files
        rolled_up = Rollups(store, tmp_path / "hours", "default", clock=set_clock, terms_days=8)
        assert_same(rolled_up.load(span(-9.3, -0.2)), at_once(store, span(-9.3, -0.2), 100))
    assert len(files(tmp_path)) > 5
    store.close()
