"""What a comparison costs: CPU seconds of the tests and of the report, and what an import takes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.drift_pools import ROOT, Pool
from exporters.drift import compare
from exporters.report_html import report_html
from exporters.windows import Window, take

SEED: Final = 1
# What a monitor's process imports; the memory is that of one comparison of 10,000 with 10,000.
IMPORTS: Final = "exporters.drift, exporters.report_html"


@dataclass(frozen=True)
class Cost:
    """One figure, against the most it may be."""

    name: str
    value: float
    unit: str
    bar: float


def measure(timeline: Window, made: Pool) -> Iterator[Cost]:
    """Compare windows of 10,000 and of 100,000 groups whose features are in memory."""
    for count, bar in ((10_000, 0.2), (100_000, 1.0)):
        rows = np.random.default_rng(SEED).permutation(len(timeline))
        sides = [take(timeline, rows[at : at + count]) for at in (0, count)]
        started = time.process_time()
        report = compare(*sides)
        yield Cost(f"{count:,} against {count:,}", time.process_time() - started, "s CPU", bar)
        if count == 10_000:
            started = time.process_time()
            page = report_html(report)
            yield Cost("its report", time.process_time() - started, "s CPU", 2.0)
            yield Cost("size of the report", len(page) / 1e6, "MB", 1.0)
    yield from _import()


def _import() -> Iterator[Cost]:
    code = (
        f"import time; began = time.process_time(); import {IMPORTS}; import json, re; "
        # Not ru_maxrss, which keeps what the process had that started this one.
        "kilobytes = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
        "print(json.dumps([time.process_time() - began, int(kilobytes) / 1024]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, megabytes = json.loads(done.stdout)
    yield Cost("importing it", seconds, "s CPU", 2.0)
    yield Cost("memory with it imported", megabytes, "MB", 500)
