"""Tests of shalt.monitor_runs: evaluations from outside."""

import sys
from pathlib import Path

import pytest

from shalt.monitor_runs import Run
from shalt.monitor_state import Reason
from shalt.monitors import Monitor
from shalt.settings import Settings
from tests.relaying import wait_until

MONITOR = Monitor(reference="absent", project="default")


def run(folder: Path, seconds_max: float = 60.0) -> Run:
    settings = Settings(data_dir=folder)
    return Run(settings, "m", MONITOR, MONITOR.windows, (), seconds_max=seconds_max)


def program(folder: Path, text: str) -> str:
    """Write a program that stands in the place of Python."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def reason(running: Run) -> Reason:
    found = wait_until(running.result, 60)
    assert found is not None
    assert found.failure is not None
    return found.failure.reason


def test_what_it_found_is_returned_when_it_has_ended(tmp_path: Path) -> None:
    assert reason(run(tmp_path)) is Reason.REFERENCE


def test_one_that_takes_too_long_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 1000"))
    assert reason(run(tmp_path, seconds_max=0.05)) is Reason.TIME


@pytest.mark.parametrize("text", ["kill -9 $$", "exit 1", "echo no JSON"])
def test_one_that_dies_is_a_failure(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    assert reason(run(tmp_path)) is Reason.DIED


def test_one_that_is_not_wanted_any_more_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"echo $$ > {pid}\nexec sleep 1000"))
    running = run(tmp_path)
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"))
    running.end()
    assert not Path("/proc", pid.read_text().strip()).exists()
