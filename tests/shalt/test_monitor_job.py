"""Tests of shalt.monitor_job: an evaluation as a process of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from shalt.monitor_job import MEMORY_BYTES_MAX
from shalt.monitor_runs import NICENESS, MonitorOrders
from shalt.monitors import Monitor
from shalt.settings import Settings
from tests.relaying import wait_until


def orders(data_dir: Path, reference: str, store: str) -> bytes:
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


def test_it_gives_way_has_bounded_memory_and_ends_with_who_asked(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # a store that never answers
    store = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/shalt"
    command = [sys.executable, "-m", "shalt.monitor_job"]
    with silent, subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(orders(tmp_path, "2026-01-01..2026-01-02", store))
        process.stdin.flush()
        bound = str(MEMORY_BYTES_MAX).encode()
        wait_until(lambda: bound in Path(f"/proc/{process.pid}/limits").read_bytes(), 60)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
        process.stdin.close()
        assert process.wait(60) == 1
