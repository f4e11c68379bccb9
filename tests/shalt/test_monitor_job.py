"""Tests of shalt.monitor_job: an evaluation as a process of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from shalt.monitor_job import MEMORY_BYTES_MAX
from shalt.monitor_runs import NICENESS, MonitorOrders
from shalt.monitor_state import Evaluated, Reason
from shalt.monitors import Monitor
from shalt.settings import Settings
from tests.relaying import wait_until


def orders(data_dir: Path, reference: str, store: str = "") -> bytes:
    monitor = Monitor(reference=reference, project="default")
    settings = Settings(data_dir=data_dir, store=store)
    told = MonitorOrders(
        settings.model_dump_json(round_trip=True),
        "m",
        monitor.model_dump_json(),
        monitor.windows,
        ("prompt_years",),
    )
    return msgspec.json.encode(told) + b"\n"


def started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "shalt.monitor_job"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_what_goes_wrong_is_a_result(tmp_path: Path) -> None:
    with started() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orders(tmp_path, "absent"))
        process.stdin.flush()
        found = msgspec.json.decode(process.stdout.read(), type=Evaluated)
        assert process.wait(30) == 0
    assert found.failure is not None
    assert found.failure.reason is Reason.REFERENCE


def test_it_gives_way_has_bounded_memory_and_ends_with_who_asked(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # a store that never answers
    store = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/shalt"
    with silent, started() as process:
        assert process.stdin is not None
        process.stdin.write(orders(tmp_path, "2026-01-01..2026-01-02", store))
        process.stdin.flush()
        bound = str(MEMORY_BYTES_MAX).encode()
        wait_until(lambda: bound in Path(f"/proc/{process.pid}/limits").read_bytes())
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
        process.stdin.close()
        assert process.wait(30) == 1
