"""What a store of a million calls takes: time to record, bytes a row, time to ask.

    python -m benchmarks.store_limits [--calls 1000000] [--store postgresql] [--keep DIR]

Realistic calls (benchmarks.realistic) go into a spool, CHUNK_CALLS at a time, and a recorder
empties it into the store: understanding, groups, sides, features, usage, cost, compression and
everything else that recording does. Everything runs on one core, PostgreSQL too; generating is not
counted. Each figure stands beside its limit. `--keep` leaves the store there for other benchmarks.
"""

import argparse
import gc
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from benchmarks.realistic import Traffic, agent_run
from shalt.recording import COLLECT_OBJECTS
from storage.capture import Capture, SystemClock
from storage.database import open_engine, reading
from storage.metrics import RecorderMetrics
from storage.recorder import Recorder
from storage.schema import body, call
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from storage.store import TraceStore
from tests.postgres import running_postgres

CLOCK: Final = SystemClock()
CHUNK_CALLS: Final = 10_000
FLUSH_CALLS: Final = 100
READS: Final = 300
ROWS_PER_SECOND_MIN: Final = {False: 6_000, True: 3_000}  # JSON; streams of 64 chunks
BYTES_A_ROW_MAX: Final = 2_400
AGENT_RATIO_MAX: Final = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=50_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, {0})
    gc.set_threshold(COLLECT_OBJECTS)  # as the recorder's process does
    with place(given.keep) as directory, database(given.store, directory) as make_url:
        for streamed, calls in ((True, given.streams), (False, given.calls)):
            url = make_url("streams" if streamed else "calls")
            rate, cpu = record(directory, url, Traffic(calls, streamed=streamed), calls)
            what = "64-chunk streams" if streamed else "JSON"
            limit = ROWS_PER_SECOND_MIN[streamed]
            print(
                f"{calls:,} calls, {what}: {rate:,.0f} rows/s of one core, {cpu:.0f} µs CPU of the "
                f"recorder a row; limit {limit:,} rows/s, ratio {rate / limit:.2f}",
                flush=True,
            )
        stored, bodies = sizes(url)
        print(
            f"{stored / calls:,.0f} bytes a row, {bodies / calls:,.0f} of them the body; limit "
            f"{BYTES_A_ROW_MAX:,}, ratio {stored / calls / BYTES_A_ROW_MAX:.2f}",
            flush=True,
        )
        print_agent_run(directory, make_url("agent"))
        print_reads(url)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"memory of this process, generator included: {peak:,.0f} MB at most")


def record(
    directory: Path,
    url: str,
    captures: Iterable[Capture],
    calls: int,
    *,
    searchable: bool = False,
) -> tuple[float, float]:
    """Record calls; return rows a second in the median chunk, and CPU microseconds a row.

    A chunk's time is what the recorder needed for it, not what was generated in between. With
    PostgreSQL on the same core its share is in the rate and not in the CPU.
    """
    spool, poison = directory / "spool", directory / "poison"
    poison.mkdir(exist_ok=True)
    store = TraceStore(url, clock=CLOCK, searchable=searchable)
    store.upgrade()
    metrics = RecorderMetrics(CollectorRegistry(), ())
    recorder = Recorder(spool, poison, store, metrics, group_by=("session", "root"), clock=CLOCK)
    writer = SpoolWriter(spool, limits=SpoolLimits(), clock=CLOCK)
    stream = iter(captures)
    walls, cpus, done = [], [], 0
    while chunk := list(islice(stream, CHUNK_CALLS)):
        for start in range(0, len(chunk), FLUSH_CALLS):
            for capture in chunk[start : start + FLUSH_CALLS]:
                writer.append(FrameKind.CALL, capture)
            writer.flush()
        calls_in_chunk = len(chunk)
        del chunk
        gc.collect()
        writer.counters.add("accepted", calls_in_chunk)
        wall, cpu = time.perf_counter(), time.process_time()
        while recorder.step():
            pass
        walls.append((time.perf_counter() - wall) / calls_in_chunk)
        cpus.append((time.process_time() - cpu) / calls_in_chunk)
        done += calls_in_chunk
        print(f"\r{done:,} of {calls:,}  {1 / walls[-1]:,.0f} rows/s", end="", flush=True)
    print("\r", end="")
    writer.close()
    while recorder.step():
        pass
    assert store.count("default") == calls
    store.close()
    shutil.rmtree(spool)
    return 1 / statistics.median(walls), statistics.mean(cpus) * 1e6


def sizes(url: str) -> tuple[int, int]:
    """Return the bytes of the whole store on disk, and of the compressed bodies alone."""
    engine = open_engine(url)
    with reading(engine) as connection:
        bodies = connection.scalar(select(func.sum(func.length(body.c.capture)))) or 0
        total = 0
        if engine.dialect.name == "postgresql":
            size = func.pg_database_size(func.current_database())
            total = connection.execute(select(size)).scalar_one()
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        total = Path(str(engine.url.database)).stat().st_size
    engine.dispose()
    return total, bodies


def print_agent_run(directory: Path, url: str) -> None:
    """Record one agent's run of 100 turns, and compare it with what is unique in it."""
    captures = agent_run(100)
    unique = len(captures[-1].request_body.data) + len(captures[-1].response_body.data)
    passed = sum(len(each.request_body.data) + len(each.response_body.data) for each in captures)
    record(directory, url, captures, len(captures))
    engine = open_engine(url)
    with reading(engine) as connection:
        rows = connection.scalar(select(func.count()).select_from(call)) or 0
        bodies = connection.scalar(select(func.sum(func.length(body.c.capture)))) or 0
    engine.dispose()
    assert rows == len(captures)
    # What tables and indexes take beside the bodies is a row's share of the large store.
    total = bodies + rows * 1_100
    print(
        f"agent run of 100 turns: {passed:,} bytes passed, {unique:,} unique, {total:,} "
        f"stored with 1,100 a row for tables and indexes; limit {AGENT_RATIO_MAX:g} x unique, "
        f"ratio {total / unique / AGENT_RATIO_MAX:.2f}",
        flush=True,
    )


def print_reads(url: str) -> None:
    """Read single calls at random, and what benchmarks.store_queries asks."""
    store = TraceStore(url, clock=CLOCK)
    engine = open_engine(url)
    with reading(engine) as connection:
        known = list(connection.scalars(select(call.c.id).order_by(call.c.id)))
    engine.dispose()
    chance = random.Random(1)
    times = timed(lambda: store.get(chance.choice(known)))
    print(f"one call with its bytes: median {times[0]:.1f} ms, p95 {times[1]:.1f} ms; limit 5 ms")
    store.close()


def timed(read: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the 95th percentile of many reads, in milliseconds."""
    times = []
    for _ in range(READS):
        start = time.perf_counter()
        read()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return times[READS // 2], times[READS * 95 // 100]


@contextmanager
def place(keep: Path | None) -> Iterator[Path]:
    """Give a directory: the one to keep, or one that goes afterwards."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@contextmanager
def database(kind: str, directory: Path) -> Iterator[Callable[[str], str]]:
    """Run what the store needs; yield how to name a database in it."""
    if kind == "sqlite":
        yield lambda name: f"sqlite:///{directory / name}.sqlite"
        return
    with running_postgres(sync=True) as server:
        yield lambda _: server.url(server.create())


if __name__ == "__main__":
    main()
