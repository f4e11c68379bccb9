"""What a row costs the recorder, step by step: CPU of its thread in microseconds.

    python -m benchmarks.recorder_steps [--calls 30000] [--streamed] [--texts]

Realistic calls (benchmarks.realistic) go into a spool, then a recorder empties it into SQLite.
A step is a function that the recorder calls; its time is its own, without that of steps within it,
and each is measured at a microsecond's cost. Of all batches the median is printed, and the sum
beside what a core has time for at the limit of benchmarks.store_limits; then what all batches took
together, in which looking for rings of objects is seen, too. `--texts` measures the texts of every
call, as is done with the first 42,000 of a day. CPU and not the clock, so that it can be compared
on a machine that does other things, too; it rises with the load all the same, by half at three
processes a core: run what is compared in turn.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from benchmarks.realistic import Traffic
from benchmarks.store_limits import FLUSH_CALLS, ROWS_PER_SECOND_MIN
from shalt.recording import COLLECT_OBJECTS
from storage import bodies, erasure, feed, label_store, recorder, store
from storage.capture import SystemClock
from storage.metrics import RecorderMetrics
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from storage.text_sample import TextSample

CLOCK: Final = SystemClock()
SMALLEST_BATCH: Final = 100  # the last one may have too few rows to divide by

# Where a function is looked up when the recorder calls it, its name, and what it is called here.
STEPS: Final = (
    (feed.Feed, "read", "read the spool"),
    (recorder, "derive", "understand"),
    (recorder, "group_of", "group"),
    (recorder, "features_of_all", "features"),
    (recorder, "text_features_of", "texts"),
    (bodies.BodyWriter, "encode", "encode bodies"),
    (bodies.BodyWriter, "rows", "rows of bodies"),
    (bodies, "write", "insert bodies"),
    (store, "call_values", "rows of calls"),
    (store, "feature_values", "rows of features"),
    (store, "tag_values", "rows of tags"),
    (store, "insert_missing", "insert calls"),
    (store, "insert_rows", "insert tags"),
    (store, "add_tool_sets", "insert tool sets"),
    (store.TraceStore, "_unknown", "look for rows that are there"),
    (erasure, "refuse", "look for erased ones"),
    (store.TraceStore, "_place", "sides and links"),
    (store.TraceStore, "_marked", "repeated and edited"),
    (label_store, "join", "labels that wait"),
    (store.TraceStore, "_advance", "place in the spool"),
    (RecorderMetrics, "stored", "metrics"),
    (store.TraceStore, "insert", "commit, and the rest of inserting"),
    (recorder.Recorder, "step", "the rest, and freeing memory"),
)


class Stopwatch:
    """Adds up what each step takes itself."""

    def __init__(self) -> None:
        self.taken_ns: defaultdict[str, int] = defaultdict(int)
        self._within: list[int] = []  # for each step that is running, what those in it took

    def watch(self, owner: object, name: str, label: str) -> None:
        """Measure a function from now on."""
        step: Callable[..., Any] = getattr(owner, name)

        def measured(*arguments: object, **named: object) -> object:
            self._within.append(0)
            start = time.thread_time_ns()
            try:
                return step(*arguments, **named)
            finally:
                taken = time.thread_time_ns() - start
                self.taken_ns[label] += taken - self._within.pop()
                if self._within:
                    self._within[-1] += taken

        setattr(owner, name, measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=30_000)
    parser.add_argument("--streamed", action="store_true", help="64 chunks each")
    parser.add_argument("--texts", action="store_true", help="measure the texts of all calls")
    given = parser.parse_args()
    gc.set_threshold(COLLECT_OBJECTS)  # as the recorder's process does
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "spool", Traffic(given.calls, streamed=given.streamed))
        batches, taken_us = record(Path(folder), texts=given.texts)
    total = 0.0
    for _, _, label in STEPS:
        median = statistics.median(batch.get(label, 0.0) for batch in batches)
        total += median
        print(f"{median:8.1f}  {label}")
    limit = 1e6 / ROWS_PER_SECOND_MIN[given.streamed]
    print(
        f"{total:8.1f}  µs a row of {given.calls:,}; limit {limit:.0f}, ratio {total / limit:.2f}"
    )
    print(f"{taken_us / given.calls:8.1f}  µs a row, all batches together")


def fill(spool: Path, traffic: Traffic) -> None:
    """Write calls into a spool."""
    writer = SpoolWriter(spool, limits=SpoolLimits(spool_bytes=2**36), clock=CLOCK)
    for count, capture in enumerate(traffic, 1):
        writer.append(FrameKind.CALL, capture)
        writer.counters.add("accepted")
        if count % FLUSH_CALLS == 0:
            writer.flush()
    writer.flush()
    writer.close()


def record(directory: Path, *, texts: bool) -> tuple[list[dict[str, float]], float]:
    """Empty the spool into a store; return for each batch what each step took, in µs a row, and
    what all of it took in µs."""
    (directory / "poison").mkdir()
    traces = store.TraceStore(f"sqlite:///{directory / 'shalt.sqlite'}", clock=CLOCK)
    traces.upgrade()
    watch = Stopwatch()
    for step in STEPS:
        watch.watch(*step)
    loop = recorder.Recorder(
        directory / "spool",
        directory / "poison",
        traces,
        RecorderMetrics(CollectorRegistry(), ()),
        group_by=("session", "root"),
        clock=CLOCK,
        texts=TextSample(traces.engine) if texts else None,
    )
    start = time.thread_time_ns()
    batches: list[dict[str, float]] = []
    stored = 0
    while True:
        watch.taken_ns.clear()
        if not loop.step():
            break
        before, stored = stored, traces.count("default")
        if stored - before >= SMALLEST_BATCH:
            batches.append({k: v / 1e3 / (stored - before) for k, v in watch.taken_ns.items()})
    taken_us = (time.thread_time_ns() - start) / 1e3
    traces.close()
    return batches, taken_us


if __name__ == "__main__":
    main()
