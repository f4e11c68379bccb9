"""How soon an erased user is gone, to the last byte; and what retention costs those who read.

    python -m benchmarks.erasure_limits [--calls 1000000] [--store postgresql] [--search]

Realistic calls of 1,000 users are stored, one in COPIES of them recorded and the rest its copies
(benchmarks.many_calls); one user says a planted text in every call, and it is in the user id and a
tag. The user is erased while nobody records. Every file of the database is then searched for the
text, as it is and in every zstd frame that any dictionary opens (that of PostgreSQL: every file but
its log of changes). Then half of the calls are deleted for their age, at the pace of the recorder
and for `--retain-seconds` at most, while another process reads single calls and lists. How long it
reads is also said as CPU of that process, which other work on the machine does not change; that of
PostgreSQL's server is not in it.

`--search` keeps an index of words, of copies in PostgreSQL alone.
"""

import argparse
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select

from benchmarks.many_calls import multiply
from benchmarks.realistic import SPAN_NS, START_NS, Traffic
from benchmarks.store_limits import database, record
from storage import database as databases
from storage.capture import Body, Capture, SystemClock
from storage.eraser import Eraser
from storage.erasure import Kind, Selection
from storage.receipts import preview, receipt, request
from storage.retention import DAY_NS, Policy, Retention
from storage.schema import dictionary
from storage.store import TraceStore
from storage.upkeep import RETAINING_TIME_RATIO
from tests.storage.planted import find_planted

CLOCK: Final = SystemClock()
USER: Final = b'"user": "user-42"'
PLANTED: Final = b"Theodora Winterbottom of Larkspur Lane"
UNREADABLE_SECONDS_MAX: Final = 1.0
GONE_SECONDS_MAX: Final = 60.0
RSS_MB_MAX: Final = 200
P95_RATIO_MAX: Final = 2.0
READ_SECONDS: Final = 5.0
RETAIN_SECONDS: Final = 300.0
COPIES: Final = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--retain-seconds", type=float, default=RETAIN_SECONDS)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        database(given.store, Path(name)) as make_url,
    ):
        url = make_url("calls")
        filling = multiprocessing.Process(
            target=fill, args=(Path(name), url, given.calls, given.search)
        )
        filling.start()  # of its own, so that what it takes in memory is not counted here
        filling.join()
        assert filling.exitcode == 0
        store = TraceStore(url, clock=CLOCK)
        print_erasure(store, Path(name), files_of(url, Path(name)))
        print_retention(store, url, given.retain_seconds)
        store.close()


def fill(directory: Path, url: str, calls: int, searchable: bool) -> None:
    """Store calls, one user's with the planted text."""
    some = calls // COPIES
    record(directory, url, map(planted, Traffic(some)), some, searchable=searchable)
    multiply(url, COPIES)


def planted(capture: Capture) -> Capture:
    """Let one user say the text, be named by it, and be tagged with it."""
    data = capture.request_body.data
    if USER not in data:
        return capture
    data = data.replace(USER, b'"user": "%s", "metadata": {"who": "%s"}' % (PLANTED, PLANTED))
    data = data.replace(b'"content": "', b'"content": "I am %s. ' % PLANTED)
    return msgspec.structs.replace(capture, request_body=Body(data, len(data)))


def files_of(url: str, directory: Path) -> list[Path]:
    """Say where the database's files are."""
    if url.startswith("sqlite"):
        return [directory / f"calls.sqlite{ending}" for ending in ("", "-wal")]
    return [Path(url.partition("host=")[2]) / "data" / "base"]


def print_erasure(store: TraceStore, directory: Path, files: list[Path]) -> None:
    """Erase the user, and look for what is left."""
    selection = Selection(Kind.USER, value=PLANTED.decode())
    started = time.perf_counter()
    found = preview(store, "default", selection, clock=CLOCK)
    print(f"preview: {found.calls:,} calls in {time.perf_counter() - started:.1f} s", flush=True)
    (row,) = store.list("default", f"user_id = '{PLANTED.decode()}'", limit=1)
    started = time.perf_counter()
    made = request(store, "default", selection, reason="", clock=CLOCK)
    assert store.get(row.id) is None
    hidden = time.perf_counter() - started
    eraser = Eraser(store, spool=directory / "spool", poison=directory / "poison", clock=CLOCK)
    deleted = 0.0
    while (state := receipt(store, made.id)) is not None and state.scrubbed_at is None:
        if state.deleted_at is not None and not deleted:
            deleted = time.perf_counter() - started
        if not eraser.step():
            time.sleep(0.05)
    gone = time.perf_counter() - started
    assert state is not None
    print(
        f"{state.calls:,} calls unreadable after {hidden:.3f} s, limit "
        f"{UNREADABLE_SECONDS_MAX:g} s, ratio {hidden / UNREADABLE_SECONDS_MAX:.3f}; rows deleted "
        f"after {deleted:.1f} s; bytes gone after {gone:.1f} s, limit {GONE_SECONDS_MAX:g} s, "
        f"ratio {gone / GONE_SECONDS_MAX:.2f}",
        flush=True,
    )
    with databases.reading(store.engine) as connection:
        known = connection.scalars(select(dictionary.c.content)).all()
        if store.engine.dialect.name == "postgresql":
            connection.exec_driver_sql("CHECKPOINT")
    left = find_planted(list(all_files(files)), [PLANTED], known)
    print(f"places where the text is left: {len(left)} {left[:3]}", flush=True)


def all_files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def print_retention(store: TraceStore, url: str, seconds: float) -> None:
    """Delete half of the calls at the recorder's pace while another process reads."""
    before = reads(url, None)
    age = (CLOCK.wall_ns() - START_NS - SPAN_NS // 2) / DAY_NS
    retention = Retention(store, Policy(0, age), clock=CLOCK)
    due = retention.due().calls
    stop = multiprocessing.Event()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    reader = multiprocessing.Process(target=lambda: sending.send(reads(url, stop)))
    reader.start()
    started = time.perf_counter()
    worked = peak = 0.0
    while True:
        begun = time.perf_counter()
        more = retention.step()
        took = time.perf_counter() - begun
        worked += took
        peak = max(peak, rss_mb())  # not the maximum of the process: it has read all files before
        if not more or begun > started + seconds:
            break
        time.sleep(took * (1 / RETAINING_TIME_RATIO - 1))
    wall = time.perf_counter() - started
    gone = retention.calls_count
    stop.set()
    during = receiving.recv()
    reader.join()
    print(
        f"retention of {gone:,} of {due:,} calls: {wall:.0f} s, {worked / max(gone, 1) * 1e6:.0f} "
        f"µs a call of its own; memory of this process {peak:.0f} MB at most, limit {RSS_MB_MAX} MB"
    )
    for name, old, new in zip(("one call", "list of 50"), before, during, strict=True):
        print(
            f"{name}: p95 {old.wall_ms:.2f} ms before, {new.wall_ms:.2f} ms during, ratio "
            f"{new.wall_ms / old.wall_ms:.2f}, limit {P95_RATIO_MAX:g}; CPU {old.cpu_ms:.2f} and "
            f"{new.cpu_ms:.2f} ms, ratio {new.cpu_ms / old.cpu_ms:.2f}"
        )


def rss_mb() -> float:
    """Say how much memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Took(NamedTuple):
    """What a read took at most, of 95 in 100."""

    wall_ms: float
    cpu_ms: float


def reads(url: str, stop: Event | None) -> tuple[Took, Took]:
    """Read single calls and lists for READ_SECONDS, or until told to stop."""
    store = TraceStore(url, clock=CLOCK)
    ids = [row.id for row in store.list("default", limit=5_000)]
    chance = random.Random(os.getpid())
    singles: list[tuple[float, float]] = []
    lists: list[tuple[float, float]] = []
    until = time.perf_counter() + READ_SECONDS
    while time.perf_counter() < until or (stop is not None and not stop.is_set()):
        singles.append(timed(partial(store.get, chance.choice(ids))))
        lists.append(timed(lambda: store.list("default", "outcome = 'complete'", limit=50)))
        time.sleep(0.005)
    store.close()
    return most_of(singles), most_of(lists)


def timed(read: Callable[[], object]) -> tuple[float, float]:
    """Read once; return milliseconds of the clock, and of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    read()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def most_of(times: Sequence[tuple[float, float]]) -> Took:
    """Return the 95th percentiles."""
    return Took(*(sorted(each)[len(each) * 95 // 100] for each in zip(*times, strict=True)))


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
