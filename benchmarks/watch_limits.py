"""What watching for drift costs: a scrape, a look at new calls, an evaluation, waiting.

    python -m benchmarks.watch_limits [--calls 20000]

CPU time, each the least of some runs, against a limit of the same run:

    scrape      metrics of one monitor, of four, and of as many as there may be, as text; limit
                50 ms, and what prometheus_client takes to write as many series of its own
    look        at 5,000 new calls among `calls` of the last 15 minutes, and at none; against
                sqlite3, which reads the same ids of the same file
    evaluation  `calls` against `calls`, from the store to the kept report, as a process
    waiting     a watcher with nothing to do: CPU of ten seconds, and memory
"""

import argparse
import logging
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from shalt.drift_metrics import DriftCollector
from shalt.monitor_list import MonitorList
from shalt.monitor_runs import Run
from shalt.monitor_state import WatchState, encode_state
from shalt.monitors import MONITORS_MAX, Monitor
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.unseen import CALLS_MAX, WATCHED, Unseen
from storage.features import FEATURE_VERSION
from tests.exporters.calls import record
from tests.monitored import captured
from tests.shalt.test_drift_metrics import evaluated

SCRAPE_SECONDS_MAX: Final = 0.05
RUNS: Final = 5
BATCH: Final = 1_000


def main() -> None:
    """Measure and print."""
    logging.disable()  # the first look leaves calls out, and says so
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        measure_scrapes(Path(folder))
        settings = Settings(data_dir=Path(folder, "data"))
        fill(settings, calls)
        measure_looks(settings)
        measure_evaluation(settings)
        measure_waiting(settings)


def least(run: Callable[[], object]) -> float:
    """The least CPU time of RUNS runs, in seconds."""
    took = []
    for _ in range(RUNS):
        began = time.process_time()
        run()
        took.append(time.process_time() - began)
    return min(took)


def measure_scrapes(folder: Path) -> None:
    monitor = Monitor(reference="a", project="p")
    for count in (1, 4, MONITORS_MAX):
        names = [f"m{number}" for number in range(count)]
        state = WatchState(monitors={name: evaluated(monitor) for name in names})
        path = folder / "watch.json"
        path.write_bytes(encode_state(state))
        settings = Settings(project="p", monitors=dict.fromkeys(names, monitor))
        registry = CollectorRegistry()
        registry.register(DriftCollector(MonitorList(settings, folder / "none.json"), path))
        series = sum(len(family.samples) for family in registry.collect())
        plain = CollectorRegistry()
        gauge = Gauge("plain", "As many series.", ["a", "b", "c", "d"], registry=plain)
        for number in range(series):
            gauge.labels("m", "1h", "prompt", f"feature_{number}").set(0.5)
        ours = least(partial(generate_latest, registry))
        theirs = least(partial(generate_latest, plain))
        print(
            f"scrape, {count:2} monitors, {series:6,} series: {ours * 1e3:6.1f} ms, "
            f"prometheus_client alone {theirs * 1e3:6.1f} ms, ratio {ours / theirs:.2f}"
            f" (limit {SCRAPE_SECONDS_MAX * 1e3:.0f} ms)"
        )


def fill(settings: Settings, calls: int) -> None:
    """Store so many calls of the last ten minutes, and of yesterday."""
    Places(settings.data_dir).prepare()
    chance = random.Random(5)
    with closing(open_store(settings)) as store:
        store.upgrade()
        for first in range(0, 2 * calls, BATCH):
            hours = 30.0 if first < calls else 0.0
            batch = [
                captured(number, 2023, hours_ago=hours + chance.random() / 6)
                for number in range(first, first + BATCH)
            ]
            record(store, batch, offset=first + 1)


def measure_looks(settings: Settings) -> None:
    monitor = Monitor(reference="a", project="default")
    known = {feature: frozenset({"2023"}) for feature in WATCHED}
    now = time.time()
    with closing(open_store(settings)) as store:
        ids = store.ids("default", None, first=f"{int((now - 900) * 1000):012x}")

        def first_look() -> None:
            Unseen(monitor, known, FEATURE_VERSION, 0.0).look(store, now)

        looked = Unseen(monitor, known, FEATURE_VERSION, 0.0)
        looked.look(store, now)
        first, again = least(first_look), least(lambda: looked.look(store, now))
    query = "select id from call where project = ? and id >= ? order by id"
    with closing(sqlite3.connect(settings.data_dir / "shalt.sqlite")) as database:
        theirs = least(lambda: database.execute(query, ("default", ids[0])).fetchall())
    print(
        f"look, {CALLS_MAX:,} new calls: {first * 1e3:.0f} ms, {first / CALLS_MAX * 1e6:.0f} µs "
        f"each; none new among {len(ids):,}: {again * 1e3:.1f} ms, sqlite3 alone reads the ids in "
        f"{theirs * 1e3:.1f} ms, ratio {again / theirs:.2f}"
    )


def measure_evaluation(settings: Settings) -> None:
    monitor = Monitor(reference="previous", project="default", windows=("1h", "1d"))
    for nth in ("first", "second"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        run = Run(settings, "m", monitor, monitor.windows, WATCHED)
        while (found := run.result()) is None:
            time.sleep(0.01)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        groups = {name: state.current_groups for name, state in found.windows.items()}
        assert found.failure is None, found.failure
        print(
            f"evaluation, {nth}: {cpu:.1f} s CPU, {time.monotonic() - began:.1f} s, "
            f"{after.ru_maxrss // 1024} MB, groups {groups}"
        )


def measure_waiting(settings: Settings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "shalt", "watch", "--data-dir", str(settings.data_dir)],
        env={
            **os.environ,
            "SHALT_MONITORS": msgspec.json.encode({"m": {"reference": "absent"}}).decode(),
        },
    )
    try:
        time.sleep(15)
        began = ticks(process.pid)
        time.sleep(10)
        cpu = (ticks(process.pid) - began) / os.sysconf("SC_CLK_TCK")
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        print(f"waiting: {cpu * 100:.0f} ms CPU a second of ten, {resident.split()[1]} kB")
    finally:
        process.terminate()
        process.wait()


def ticks(pid: int) -> int:
    """CPU time of a process so far, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
