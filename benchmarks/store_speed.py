"""What it costs to store a call and to read it back, beside SQLite itself.

    python -m benchmarks.store_speed [--calls 20000] [--listed 100000]

Inserts run in batches of BATCH_CALLS through TraceStore, for calls of 1 KB and of 5 KB whose words
are drawn from a dictionary. The limit is what the sqlite3 module takes for the same values, made
and compressed before, into the same tables with the same indexes, by executemany. CPU is
of this process; the median batch counts, because the machine is shared. Then a list of the newest
50 calls, one call with its bytes, and a whole scan, of a store of `--listed` calls.
"""

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from storage.bodies import BodyWriter
from storage.capture import SystemClock, new_id
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import (
    Checkpoint,
    Placed,
    Recorded,
    Values,
    call_values,
    feature_values,
)
from storage.schema import metadata
from storage.store import TraceStore
from storage.trace import Choice, Message, Side, Understood, Usage
from tests.captures import plain_capture, plain_span

BATCH_CALLS = 500
READS = 300
CLOCK = SystemClock()
# Words of natural length and frequency, so that compression has something, but not all, to do.
CHANCE = random.Random(7)
WORDS = [
    "".join(CHANCE.choices("etaoinshrdlucmfwypvbgk", k=CHANCE.randint(2, 9))) for _ in range(4_000)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--listed", type=int, default=100_000)
    arguments = parser.parse_args()
    print(f"{'insert':<24}{'rows/s':>9}{'CPU µs/row':>12}{'bytes/row':>11}")
    for size in (1_000, 5_000):
        with tempfile.TemporaryDirectory() as directory:
            through = measure_store(Path(directory), size, arguments.calls)
        with tempfile.TemporaryDirectory() as directory:
            limit = measure_sqlite(Path(directory), size, arguments.calls)
        for name, (rows_per_second, cpu_us, row_bytes) in (("store", through), ("limit", limit)):
            label = f"{name}, {size // 1000} KB calls"
            print(f"{label:<24}{rows_per_second:>9,.0f}{cpu_us:>12.1f}{row_bytes:>11,.0f}")
        print(f"{'store / limit':<24}{limit[0] / through[0]:>8.2f}x{through[1] / limit[1]:>11.2f}x")
    with tempfile.TemporaryDirectory() as directory:
        measure_reading(Path(directory), arguments.listed)


def measure_store(directory: Path, size: int, calls: int) -> tuple[float, float, float]:
    store = open_store(directory)
    batches = [make_batch(size) for _ in range(calls // BATCH_CALLS)]
    checkpoints = [Checkpoint("bench", 1, number) for number in range(len(batches))]
    measured = measure_batches(
        [partial(store.insert, *each) for each in zip(batches, checkpoints, strict=True)]
    )
    store.close()
    return *measured, database_bytes(directory) / calls


def measure_sqlite(directory: Path, size: int, calls: int) -> tuple[float, float, float]:
    open_store(directory).close()
    connection = sqlite3.connect(directory / "shalt.sqlite", isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    writer = BodyWriter()
    statements = [
        [rows_of(batch, table, writer) for table in ("call", "body", "reservation")]
        for batch in (make_batch(size) for _ in range(calls // BATCH_CALLS))
    ]

    def insert(tables: Sequence[tuple[str, list[tuple[object, ...]]]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for sql, rows in tables:
            connection.executemany(sql, rows)
        connection.execute("COMMIT")

    measured = measure_batches([partial(insert, tables) for tables in statements])
    connection.close()
    return *measured, database_bytes(directory) / calls


def measure_batches(runs: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Return rows a second and CPU microseconds a row, of the median batch."""
    walls, cpus = [], []
    for run in runs:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return BATCH_CALLS / statistics.median(walls), statistics.median(cpus) / BATCH_CALLS * 1e6


def measure_reading(directory: Path, calls: int) -> None:
    store = open_store(directory)
    ids: list[str] = []
    for number in range(calls // BATCH_CALLS):
        batch = make_batch(1_000)
        ids += [recorded.span.id for recorded in batch]
        store.insert(batch, Checkpoint("bench", 1, number))
    chance = random.Random(1)
    reads: dict[str, Callable[[], object]] = {
        "newest 50": lambda: store.list("default", limit=50),
        "50 before any call": lambda: store.list("default", limit=50, before=chance.choice(ids)),
        "50 with a filter": lambda: store.list("default", "side = 'test'", limit=50),
        "one call, its bytes": lambda: store.get(chance.choice(ids)),
    }
    print(f"\n{f'read, of {calls:,}':<24}{'median ms':>12}{'p95 ms':>9}")
    for name, read in reads.items():
        times = sorted(timed(read) for _ in range(READS))
        print(f"{name:<24}{times[READS // 2] * 1e3:>12.2f}{times[READS * 95 // 100] * 1e3:>9.2f}")
    scans: dict[str, Callable[[], Iterator[int]]] = {
        "scan, with bytes": lambda: (1 for _ in store.scan("default")),
        "scan, by group": lambda: (1 for _ in store.scan("default", by_group=True)),
        "features": lambda: (len(page) for page in store.features("default")),
    }
    print(f"\n{'all calls':<24}{'rows/s':>9}{'CPU µs/row':>12}")
    for name, scan in scans.items():
        cpu = time.process_time()
        seconds = timed(lambda scan=scan: sum(scan()))  # type: ignore[misc]
        cpu_us = (time.process_time() - cpu) / calls * 1e6
        print(f"{name:<24}{calls / seconds:>9,.0f}{cpu_us:>12.1f}")
    store.close()


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def open_store(directory: Path) -> TraceStore:
    store = TraceStore(f"sqlite:///{directory / 'shalt.sqlite'}", clock=CLOCK)
    store.upgrade()
    return store


def database_bytes(directory: Path) -> int:
    with sqlite3.connect(directory / "shalt.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return (directory / "shalt.sqlite").stat().st_size


def rows_of(
    batch: Sequence[Recorded], table: str, writer: BodyWriter
) -> tuple[str, list[tuple[object, ...]]]:
    """Write what the store would insert into a table as SQL and tuples."""
    rows: list[Values] = []
    for recorded in batch:
        if table == "call":
            placed = Placed(recorded.group.id, "root", Side.TRAIN)
            rows.append(call_values(recorded, placed) | feature_values(recorded))
        elif table == "body":
            each = writer.encode([recorded])[recorded.span.id]
            rows.append({"call_id": each.call_id, "codec": each.codec, "capture": each.data})
        else:
            values: Values = dict.fromkeys(metadata.tables[table].c.keys(), 0)
            rows.append(values | {"project": "default", "group_id": recorded.group.id})
    names = list(rows[0])
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * len(names))
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608  names of the schema
        [tuple(row[name] for name in names) for row in rows],
    )


def make_batch(size: int) -> list[Recorded]:
    return [make_call(size) for _ in range(BATCH_CALLS)]


def make_call(size: int) -> Recorded:
    """Make a chat call whose bodies have `size` bytes together, four fifths of them asked."""
    question, answer = text_of(size * 4 // 5 - 120), text_of(size // 5 - 80)
    sent = [{"role": "user", "content": question}]
    request = json.dumps({"model": "small-1", "temperature": 0, "messages": sent}).encode()
    call_id = new_id(CLOCK)
    received = {"id": f"chatcmpl-{call_id}", "choices": [{"message": {"content": answer}}]}
    response = json.dumps(received).encode()
    capture = plain_capture(
        request,
        response,
        id=call_id,
        request_headers=[(b"content-type", b"application/json"), (b"user-agent", b"bench/1")],
        started_at_ns=CLOCK.wall_ns(),
    )
    understood = Understood(
        request_model="small-1",
        response_model="small-1-0613",
        messages=(Message("user", question),),
        choices=(Choice(Message("assistant", answer), "stop"),),
        usage=Usage(200, 50),
        provider_id=f"chatcmpl-{call_id}",
        ended=True,
    )
    span = plain_span(
        understood,
        id=call_id,
        started_at_ns=capture.started_at_ns,
        duration_ms=4.0,
        trace_id=call_id,
    )
    return Recorded(capture, span, group_of(span, capture), features_of(span))


def text_of(length: int) -> str:
    text = ""
    while len(text) < length:
        text += " ".join(CHANCE.choices(WORDS, k=20)) + " "
    return text[:length]


if __name__ == "__main__":
    main()
