"""Tests of shalt.children: one process, from its start to its end."""

import sys
import time
from pathlib import Path

import pytest

from shalt.child import Orders
from shalt.children import Child
from shalt.settings import Settings
from tests.relaying import wait_until


def test_a_child_that_dies_before_it_has_orders_ends_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    models = tuple(f"{number:05000}" for number in range(200))  # takes longer than it lives
    settings = Settings(data_dir=tmp_path, metrics_models=models)
    child = Child("recorder", Orders(settings=settings, console_socket=tmp_path), tmp_path)
    child.start()
    wait_until(lambda: child.process is None or child.process.poll() is not None)
    wait_until(child.look_after)
    assert child.restart_count == 1
    child.wait(time.monotonic() + 5, lambda: False)


def test_a_child_that_was_not_started_has_ended_and_is_not_ready(tmp_path: Path) -> None:
    orders = Orders(settings=Settings(data_dir=tmp_path), console_socket=tmp_path)
    child = Child("worker", orders, tmp_path)
    child.retire()
    child.terminate()
    assert child.has_ended()
    assert not child.is_ready()
    assert not child.wait(0.0, lambda: True)
