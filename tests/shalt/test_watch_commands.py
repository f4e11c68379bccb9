"""Tests of shalt.watch_commands: `shalt watch`, for ever and once."""

import errno
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shalt.monitor_runs import Running
from shalt.monitors import Monitor
from shalt.places import Places
from shalt.settings import Settings
from shalt.watch_commands import NoMonitors, WatchRunning, watch_alone, watch_once
from tests.monitored import at_once, captured, filled, state_of
from tests.serving import ROOT

NOW = datetime.now(UTC)
YESTERDAY = f"{(NOW - timedelta(hours=48)).isoformat()}..{(NOW - timedelta(hours=24)).isoformat()}"


def of(folder: Path, **monitors: Monitor) -> Settings:
    return Settings(data_dir=folder, monitors=monitors)


def test_once_prints_what_each_window_says_and_exits_by_the_gravest(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    both = of(tmp_path, a=Monitor(reference=YESTERDAY), b=Monitor(reference="absent"))
    with filled(both, [captured(1, 2023)]) as store:
        assert watch_once(both, as_json=True, start=at_once(both, store)) == 1
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert {(each["monitor"], each["window"], each["verdict"]) for each in lines} == {
        *(("a", window, "insufficient") for window in ("1h", "1d", "7d")),
        *(("b", window, "failed") for window in ("1h", "1d", "7d")),
    }


def test_drift_is_exit_code_3(
    tmp_path: Path, store_url: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    old = [captured(number, 2023, hours_ago=30) for number in range(200)]
    new = [captured(1000 + number, 2024, hours_ago=0.01) for number in range(200)]
    monitor = Monitor(reference=YESTERDAY, windows=("1h",))
    settings = Settings(data_dir=tmp_path, store=store_url, monitors={"a": monitor})
    with filled(settings, old + new) as store:
        assert watch_once(settings, as_json=False, start=at_once(settings, store)) == 3
    assert capsysbinary.readouterr().out.startswith(b"a 1h DRIFT: ")


def test_once_says_what_it_found_where_the_disk_refuses(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    settings = of(tmp_path, a=Monitor(reference=YESTERDAY, windows=("1h",)))
    with filled(settings, [captured(1, 2023)]) as store:
        Places(tmp_path).watch_state.with_suffix(".new").mkdir(parents=True)  # is no file
        assert watch_once(settings, as_json=False, start=at_once(settings, store)) == 4
    assert capsysbinary.readouterr().out.startswith(b"a 1h INSUFFICIENT: ")


def test_once_ends_where_no_evaluation_can_begin(tmp_path: Path) -> None:
    def refuse(name: str, monitor: Monitor, windows: tuple[str, ...]) -> Running:
        raise OSError(errno.EAGAIN, "no process more")

    settings = of(tmp_path, a=Monitor(reference=YESTERDAY))
    with filled(settings, []), pytest.raises(OSError, match="no process more"):
        watch_once(settings, as_json=False, start=refuse)


def test_without_monitors_there_is_nothing_to_do(tmp_path: Path) -> None:
    with filled(of(tmp_path), []), pytest.raises(NoMonitors, match=r"\[monitors.NAME\]"):
        watch_once(of(tmp_path), as_json=False)


def test_two_do_not_watch_at_once(tmp_path: Path) -> None:
    with Places(tmp_path).lock_watch() as lock:  # type: ignore[union-attr]
        assert lock is not None
        with pytest.raises(WatchRunning, match="another process watches"):
            watch_once(of(tmp_path), as_json=False)
        with pytest.raises(WatchRunning, match="another process watches"):
            watch_alone(of(tmp_path))


def test_in_the_foreground_it_goes_on_until_sigterm(tmp_path: Path) -> None:
    with filled(of(tmp_path / "data"), []):
        pass
    (tmp_path / "shalt.toml").write_text("[monitors.m]\nreference = 'absent'\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "shalt", "watch", "--data-dir", "data"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    try:
        state = state_of(tmp_path / "data", "m")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert state.tallies["1h"].failures != {}
