"""What an export takes: a million stored calls to train, val and test files.

    python -m benchmarks.export_limits [--calls 1000000] [--keep DIR] [--processes 2]

Realistic calls (benchmarks.realistic: about 5.3 KB of bodies, half of the calls in conversations)
go into a SQLite store, then out of it by `exporters.dataset.export`, on all cores. Beside it stands
DuckDB on the same cores: COPY (FORMAT JSON) of the same bodies, decompressed, from Parquet. DuckDB
neither derives, groups, checks nor numbers anything; it is the pace at which JSON can be written.
Then once more in one process, to say how much of its CPU time the guard takes: learning templates,
fingerprints, comparing. Each figure stands beside its limit, and beside the export how long it was
at each of its stages. What either process imports before it begins is not counted; what processes
of the export import is. `--keep` leaves store and Parquet there, to run again.

A million calls need 12 GB of disk for a while, 6 of them for what `--keep` keeps.
"""

import argparse
import gc
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.realistic import Traffic
from exporters import dataset, group_rows, planning
from exporters.pool import COLLECT_OBJECTS, default_processes
from exporters.request import ExportRequest
from storage.capture import SystemClock
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from storage.terms import text_features_of

BATCH_CALLS: Final = 1_000
ROW_GROUP_CALLS: Final = 20_000
RATIO_MAX: Final = 3.0
GUARDED_RATIO_MAX: Final = 6.0
RSS_MB_MAX: Final = 400

Work = Callable[[Path, int], None]  # the directory, and how many processes or threads


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and of all CPUs; the largest process, and the files, in MB."""

    wall: float
    cpu: float
    peak_mb: float
    written_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=default_processes())
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with place(given.keep) as directory:
        apart(partial(fill, given.calls), directory, 1)  # whose memory those it starts inherit
        rival = apart(copy_by_duckdb, directory, given.processes)
        print_cost("DuckDB COPY (FORMAT JSON)", rival, given.calls)
        ours = apart(export_by_shalt, directory, given.processes)
        print_cost(f"export, {given.processes} processes", ours, given.calls)
        print((directory / "stages").read_text())
        print(
            f"with the guard: time {ours.wall / rival.wall:.2f} × DuckDB's, CPU "
            f"{ours.cpu / rival.cpu:.2f} ×; limit {GUARDED_RATIO_MAX:g} ×"
        )
        alone = apart(export_alone, directory, 1)
        print_cost("export, 1 process", alone, given.calls)
        share = float((directory / "guard").read_text()) / alone.cpu
        print(
            f"without the guard, {share:.0%} of it: CPU "
            f"{ours.cpu * (1 - share) / rival.cpu:.2f} × DuckDB's; limit {RATIO_MAX:g} ×"
        )
        print(f"largest process {ours.peak_mb:,.0f} MB; limit {RSS_MB_MAX} MB")


def fill(calls: int, directory: Path, _: int) -> None:
    """Store the calls, and write their bodies as Parquet, unless that has been done."""
    url = f"sqlite:///{directory / 'shalt.sqlite'}"
    if (directory / "filled").exists():
        return
    store = TraceStore(url, clock=SystemClock())
    store.upgrade()
    gc.set_threshold(100_000)
    stream = iter(Traffic(calls))
    schema = pa.schema([("request", pa.string()), ("response", pa.string())])
    done = 0
    with pq.ParquetWriter(directory / "bodies.parquet", schema, compression="zstd") as parquet:
        bodies: list[dict[str, str]] = []
        while batch := list(islice(stream, BATCH_CALLS)):
            recorded = []
            for capture in batch:
                span = derive(capture)
                group, features = group_of(span, capture), features_of(span)
                # The recorder measures the texts of every call of a day of up to 42,000.
                texts = text_features_of(span, 0)
                recorded.append(Recorded(capture, span, group, features, texts=texts))
                bodies.append(
                    {
                        "request": capture.request_body.data.decode(),
                        "response": capture.response_body.data.decode(),
                    }
                )
            done += store.insert(recorded, Checkpoint("f" * 32, 0, done + 1))
            if len(bodies) >= ROW_GROUP_CALLS or done == calls:
                parquet.write_table(pa.Table.from_pylist(bodies, schema))
                bodies.clear()
            if done % ROW_GROUP_CALLS == 0:
                print(f"\r{done:,} of {calls:,} stored", end="", flush=True)
    print("\r", end="")
    store.close()
    (directory / "filled").touch()


def copy_by_duckdb(directory: Path, processes: int) -> None:
    """Let DuckDB write the bodies as JSON lines."""
    with duckdb.connect(config={"threads": processes}) as connection:
        connection.execute(
            f"COPY (FROM '{directory / 'bodies.parquet'}') TO '{directory / 'out' / 'rows.json'}' "
            "(FORMAT JSON)"
        )


def export_by_shalt(directory: Path, processes: int) -> None:
    """Export the store."""
    store = TraceStore(f"sqlite:///{directory / 'shalt.sqlite'}", clock=SystemClock())
    # Of a million texts out of 100,000 paragraphs, some are alike.
    request = ExportRequest(drop_contaminated=True)
    began = {"starting": time.perf_counter()}

    def note(stage: dataset.Stage, done: int, total: int) -> None:
        began.setdefault(stage.value, time.perf_counter())

    dataset.export(
        store, request, directory / "out" / "dataset", processes=processes, progress=note
    )
    store.close()
    ends = [*began.values(), time.perf_counter()][1:]
    spent = zip(began, began.values(), ends, strict=True)
    stages = ", ".join(f"{stage} {end - start:.1f} s" for stage, start, end in spent)
    (directory / "stages").write_text(f"  {stages}")


def export_alone(directory: Path, _: int) -> None:
    """Export the store in this process; leave in a file the seconds that the guard took."""
    spent = 0.0

    def timed(module: ModuleType, name: str) -> None:
        run = getattr(module, name)

        def timing(*given: object) -> object:
            nonlocal spent
            start = time.process_time()
            try:
                return run(*given)
            finally:
                spent += time.process_time() - start

        setattr(module, name, timing)

    for module, name in ((planning, "learn"), (group_rows, "fingerprints"), (dataset, "judge")):
        timed(module, name)
    gc.set_threshold(COLLECT_OBJECTS)
    export_by_shalt(directory, 1)
    (directory / "guard").write_text(str(spent))


def apart(work: Work, directory: Path, processes: int) -> Cost:
    """Do something in a process of its own, and measure it and those it starts."""
    out = directory / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(work, directory, processes, theirs))
    process.start()
    theirs.close()
    wall, cpu, peak_mb = ours.recv()
    process.join()
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    shutil.rmtree(out)
    return Cost(wall, cpu, peak_mb, written)


def print_cost(what: str, cost: Cost, calls: int) -> None:
    print(
        f"{what}: {cost.wall:.1f} s, {cost.cpu / calls * 1e6:.0f} µs CPU a call, "
        f"{cost.written_mb:,.0f} MB written, largest process {cost.peak_mb:,.0f} MB",
        flush=True,
    )


@contextmanager
def place(keep: Path | None) -> Iterator[Path]:
    """Give the directory that is kept, or one that is gone afterwards."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
    else:
        with tempfile.TemporaryDirectory(prefix="shalt-export-") as directory:
            yield Path(directory)


def _measure(
    work: Work,
    directory: Path,
    processes: int,
    pipe: Connection,
) -> None:
    os.sync()
    start, before = time.perf_counter(), _used()
    work(directory, processes)
    wall, used = time.perf_counter() - start, _used()
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    cpu -= sum(each.ru_utime + each.ru_stime for each in before)
    pipe.send((wall, cpu, max(each.ru_maxrss for each in used) / 1024))


def _used() -> Sequence[resource.struct_rusage]:
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


if __name__ == "__main__":
    main()
