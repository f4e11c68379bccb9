"""Tests of shalt.monitor_state: what was found, kept between processes."""

from pathlib import Path

import pytest

from shalt.monitor_state import (
    Failure,
    MonitorState,
    Reason,
    WatchState,
    definition_of,
    encode_state,
    new_state,
    read_state,
)
from shalt.monitors import Monitor

MONITOR = Monitor(reference="a", project="p")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    state = new_state(MONITOR)
    state.tallies["1d"].fail(Failure(Reason.STORE, "the store is away"))
    path = tmp_path / "watch.json"
    path.write_bytes(encode_state(WatchState(monitors={"m": state})))
    found = read_state(path).monitors["m"]
    assert found == state
    assert found.tallies["1d"].failures == {Reason.STORE: 1}
    assert found.tallies["1h"].failures == {}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"version": 2}', b'{"monitors": {"m": 1}}'])
def test_what_cannot_be_understood_is_none(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    path.write_bytes(data)
    assert read_state(path).monitors == {}
    assert read_state(tmp_path / "absent").monitors == {}


def test_another_monitor_of_the_same_name_has_another_definition() -> None:
    other = MONITOR.model_copy(update={"where": "streamed"})
    assert definition_of(MONITOR) != definition_of(other)
    assert definition_of(MONITOR) == definition_of(Monitor(reference="a", project="p"))


def test_a_new_monitor_has_a_tally_for_each_window() -> None:
    state = new_state(MONITOR)
    assert isinstance(state, MonitorState)
    assert list(state.tallies) == ["1h", "1d", "7d"]
    assert {tally.evaluations for tally in state.tallies.values()} == {0}
