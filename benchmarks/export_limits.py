"""What an export takes: a million stored calls to train, val and test files.

    python -m benchmarks.export_limits [--calls 1000000] [--keep DIR] [--processes 2] [--alone]

Realistic calls (benchmarks.realistic: about 5.3 KB of bodies, half of the calls in conversations)
go into a SQLite store, then out of it by `exporters.dataset.export`, on all cores. Beside it stands
DuckDB on the same cores: COPY (FORMAT JSON) of the same bodies, decompressed, from Parquet. DuckDB
neither derives, groups, checks nor numbers anything; it is the pace at which JSON can be written.
Then the same export without the guard: no template is learnt, no row has a fingerprint, nothing is
compared; all else is done and written. Each figure stands beside its limit, and beside each export
how long it was at each of its stages. `--alone` exports once more in one process, for its memory.

What the first process imports before it begins is not counted; what processes of the export import
is. Pandas is kept from all of them: shalt does not need it, and pyarrow loads it where it is there,
as where this is developed: 37 MB and a third of a second. `--keep` leaves store and Parquet there,
to run again.

A million calls need 12 GB of disk for a while, 6 of them for what `--keep` keeps.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from exporters import dataset, group_rows
from exporters.fingerprints import Conversation
from exporters.pool import default_processes
from exporters.request import ExportRequest
from exporters.templates import Templates, TemplateSample
from storage.capture import SystemClock
from storage.store import TraceStore

RATIO_MAX: Final = 3.0
GUARDED_RATIO_MAX: Final = 6.0
RSS_MB_MAX: Final = 400

WITHOUT_GUARD: Final = "SHALT_BENCHMARK_WITHOUT_GUARD"  # in the environment of all its processes

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
    parser.add_argument("--alone", action="store_true")
    given = parser.parse_args()
    # Not at the top: each process of an export would load DuckDB with it.
    from benchmarks import export_store  # noqa: PLC0415

    with place(given.keep) as directory:
        # Apart, too: those that are started inherit the memory of who starts them.
        apart(partial(export_store.fill, given.calls), directory, 1)
        rival = apart(export_store.copy_by_duckdb, directory, given.processes)
        print_cost("DuckDB COPY (FORMAT JSON)", rival, given.calls)
        guarded = export_apart("export", directory, given.processes, given.calls)
        print_ratio("with the guard", guarded, rival, GUARDED_RATIO_MAX)
        os.environ[WITHOUT_GUARD] = "1"
        bare = export_apart("export, no guard", directory, given.processes, given.calls)
        print_ratio("without the guard", bare, rival, RATIO_MAX)
        del os.environ[WITHOUT_GUARD]
        if given.alone:
            export_apart("export", directory, 1, given.calls)
        print(f"largest process {guarded.peak_mb:,.0f} MB; limit {RSS_MB_MAX} MB")


def export_by_shalt(directory: Path, processes: int) -> None:
    """Export the store; leave in a file how long each stage was."""
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


def prepare_process() -> None:
    """Make a process of this benchmark, and each that it starts, what the benchmark wants.

    A process that is started imports this module first.
    """
    sys.meta_path.insert(0, _NoPandas())
    if WITHOUT_GUARD in os.environ:
        for owner, name, instead in _INSTEAD:
            setattr(owner, name, instead)


class _NoPandas:
    """Finds nothing, and says that pandas is not there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _wants_none(sample: TemplateSample, group_id: str) -> bool:
    return False


def _no_fingerprints(rows: Sequence[Conversation], templates: Templates) -> list[bytes]:
    return [b""] * len(rows)


_INSTEAD: Final[Sequence[tuple[object, str, object]]] = (
    (TemplateSample, "wants", _wants_none),
    (group_rows, "fingerprints", _no_fingerprints),
)


def export_apart(what: str, directory: Path, processes: int, calls: int) -> Cost:
    """Export in a process of its own; print what it took, and how long each stage was."""
    cost = apart(export_by_shalt, directory, processes)
    print_cost(f"{what}, {processes} processes", cost, calls)
    print((directory / "stages").read_text(), flush=True)
    return cost


def print_ratio(what: str, ours: Cost, rival: Cost, limit: float) -> None:
    print(
        f"{what}: time {ours.wall / rival.wall:.2f} × DuckDB's (limit {limit:g} ×), CPU "
        f"{ours.cpu / rival.cpu:.2f} ×",
        flush=True,
    )


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


prepare_process()
if __name__ == "__main__":
    main()
