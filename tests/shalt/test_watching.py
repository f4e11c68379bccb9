"""Tests of shalt.watching: which monitor is evaluated when, and what becomes of its result."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shalt.monitor_list import MonitorList
from shalt.monitor_state import MonitorState, Reason, read_state
from shalt.monitors import Monitor
from shalt.places import Places
from shalt.settings import Settings
from shalt.watching import Watcher
from storage.capture import SystemClock
from storage.store import TraceStore
from tests.exporters.calls import record
from tests.monitored import at_once, captured, filled
from tests.relaying import wait_until

NOW = datetime.now(UTC)
YESTERDAY = f"{(NOW - timedelta(hours=48)).isoformat()}..{(NOW - timedelta(hours=24)).isoformat()}"


class ShiftedClock(SystemClock):
    """The time, and some seconds more: those a test lets pass."""

    seconds = 0.0

    def wall_ns(self) -> int:
        return super().wall_ns() + int(self.seconds * 1e9)


@contextmanager
def watching(
    folder: Path, clock: ShiftedClock | None = None, **monitors: Monitor
) -> Iterator[tuple[Watcher, TraceStore]]:
    """Watch a store that holds two calls of yesterday and one of now, all of 2023."""
    settings = Settings(data_dir=folder, monitors=monitors)
    calls = [captured(n, 2023, hours_ago=30) for n in range(2)]
    with filled(settings, [*calls, captured(2, 2023, hours_ago=0.01)]) as store:
        with closing(watcher_of(settings, store, clock or ShiftedClock())) as watcher:
            yield watcher, store


def watcher_of(settings: Settings, store: TraceStore, clock: ShiftedClock) -> Watcher:
    return Watcher(settings, store, clock, at_once(settings, store))


def found(folder: Path, name: str) -> MonitorState:
    return read_state(Places(folder).watch_state).monitors[name]


def evaluate(watcher: Watcher, folder: Path, name: str, times: int = 1) -> MonitorState:
    """Step until a monitor was evaluated, or has failed, so many times; return its state."""

    def tried() -> bool:
        watcher.step()
        tallies = found(folder, name).tallies.values()
        return all(each.evaluations + sum(each.failures.values()) >= times for each in tallies)

    wait_until(tried, 60)
    return found(folder, name)


def test_a_new_monitor_is_evaluated_and_its_state_is_written(tmp_path: Path) -> None:
    monitor = Monitor(reference=YESTERDAY, windows=("1h", "1d"))
    with watching(tmp_path, m=monitor) as (watcher, _):
        state = evaluate(watcher, tmp_path, "m")
    assert {name: each.verdict for name, each in state.windows.items()} == {
        "1h": "insufficient",
        "1d": "insufficient",
    }
    assert state.windows["1h"].current_groups == 1
    assert state.reference is not None
    assert state.unseen["1h"]["prompt_years"] == 0


def test_a_monitor_that_fails_is_counted_and_stops_no_other(tmp_path: Path) -> None:
    broken, sound = Monitor(reference="absent"), Monitor(reference=YESTERDAY)
    with watching(tmp_path, a=broken, b=sound) as (watcher, _):
        evaluate(watcher, tmp_path, "a")
        state = evaluate(watcher, tmp_path, "b")
    assert found(tmp_path, "a").tallies["1h"].failures == {Reason.REFERENCE: 1}
    assert "absent" in found(tmp_path, "a").tallies["1h"].last_error
    assert state.tallies["1h"].evaluations == 1


def test_it_is_evaluated_again_when_its_time_has_come(tmp_path: Path) -> None:
    clock = ShiftedClock()
    with watching(tmp_path, clock, m=Monitor(reference="absent", windows=("1h",))) as (watcher, _):
        evaluate(watcher, tmp_path, "m")
        clock.seconds = 3500
        watcher.step()
        watcher.step()
        assert found(tmp_path, "m").tallies["1h"].failures == {Reason.REFERENCE: 1}
        clock.seconds = 3700
        evaluate(watcher, tmp_path, "m", times=2)


def test_where_the_store_is_away_it_is_tried_again_soon(tmp_path: Path) -> None:
    clock = ShiftedClock()
    settings = Settings(data_dir=tmp_path, monitors={"m": Monitor(reference=YESTERDAY)})
    away = TraceStore("postgresql://127.0.0.1:1/shalt", clock=clock)
    with closing(watcher_of(settings, away, clock)) as watcher:
        assert evaluate(watcher, tmp_path, "m").tallies["1h"].failures == {Reason.STORE: 1}
        clock.seconds = 31
        evaluate(watcher, tmp_path, "m", times=2)


def test_the_first_call_with_an_unseen_value_shows_before_the_next_evaluation(
    tmp_path: Path,
) -> None:
    clock = ShiftedClock()
    with watching(tmp_path, clock, m=Monitor(reference=YESTERDAY)) as (watcher, store):
        evaluate(watcher, tmp_path, "m")
        clock.seconds = 10
        record(store, [captured(3, 2024)], offset=2)
        watcher.step()
    state = found(tmp_path, "m")
    assert state.unseen["1h"]["prompt_years"] > 0
    assert state.tallies["1h"].evaluations == 1


def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    monitor = Monitor(reference=YESTERDAY, windows=("1h",))
    with watching(tmp_path, m=monitor) as (watcher, store):
        before = evaluate(watcher, tmp_path, "m")
        settings = Settings(data_dir=tmp_path, monitors={"m": monitor})
        clock = ShiftedClock()
        with closing(watcher_of(settings, store, clock)) as again:
            again.step()  # finds out what the reference knows
            record(store, [captured(3, 2024)], offset=2)
            again.step()
            clock.seconds = 6
            again.step()
    state = found(tmp_path, "m")
    assert state.tallies["1h"].evaluations == 1
    assert state.windows == before.windows
    assert state.unseen["1h"]["prompt_years"] > 0


def test_monitors_begin_and_end_without_a_restart(tmp_path: Path) -> None:
    with watching(tmp_path) as (watcher, _):
        watcher.step()
        monitors = MonitorList(Settings(data_dir=tmp_path), Places(tmp_path).monitors)
        monitors.add("m", Monitor(reference="absent", windows=("1h",)))
        evaluate(watcher, tmp_path, "m")
        monitors.remove("m")
        watcher.step()
        assert read_state(Places(tmp_path).watch_state).monitors == {}


def test_another_monitor_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    with watching(tmp_path, m=Monitor(reference="absent")) as (watcher, store):
        evaluate(watcher, tmp_path, "m")
        other = Monitor(reference="absent too", windows=("1d",))
        settings = Settings(data_dir=tmp_path, monitors={"m": other})
        with closing(watcher_of(settings, store, ShiftedClock())) as again:
            again.step()
        assert list(found(tmp_path, "m").tallies) == ["1d"]


def test_a_list_that_cannot_be_read_leaves_those_of_the_settings_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "monitors.json").write_text("{")
    with watching(tmp_path, m=Monitor(reference="absent")) as (watcher, _):
        watcher.step()
        watcher.step()
        assert watcher.names == {"m"}
    assert len([each for each in caplog.messages if "monitors.json" in each]) == 1


def test_a_clock_that_is_set_back_stops_nothing(tmp_path: Path) -> None:
    clock = ShiftedClock()
    clock.seconds = 1_000_000
    with watching(tmp_path, clock, m=Monitor(reference="absent", windows=("1h",))) as (watcher, _):
        evaluate(watcher, tmp_path, "m")
        clock.seconds = 0
        evaluate(watcher, tmp_path, "m", times=2)
