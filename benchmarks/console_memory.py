"""What the console keeps in memory: at its start, and after the first view of each page.

    python -m benchmarks.console_memory [--groups 1000]

A real `shalt serve` over a store of `groups` conversations, a dataset and a kept drift report. Each
line: a page, how long its first and second view took, and the resident memory (VmRSS) of the
console after it, against CONSOLE_MB_MAX. What draws charts runs in processes of its own.
"""

import argparse
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Final

from exporters.advice import with_actions
from exporters.report import report_json
from exporters.request import ExportRequest
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.drift_reports import NewReport, add_drift_report
from tests.exporters.forged import exported
from tests.exporters.found import full_report
from tests.serving import Shalt, running_shalt

CONSOLE_MB_MAX: Final = 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--groups", type=int, default=1_000)
    groups = parser.parse_args().groups
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "data")
        call_id, report_id = fill(Settings(data_dir=data_dir), groups)
        with running_shalt(data_dir, "http://127.0.0.1:9") as shalt:
            viewed(shalt, "/")
            show("at its start", shalt)
            for name, path in (
                ("metrics", "/metrics"),
                ("list", "/review"),
                ("list, filtered", "/review?where=output_tokens%20%3E%201"),
                ("call and its labels", f"/review/calls/{call_id}"),
                ("datasets", "/review/datasets"),
                ("one dataset", "/review/datasets/made"),
                ("calls left out", "/review/datasets/made/left-out"),
                ("drift reports", "/review/drift"),
                ("one drift report", f"/review/drift/{report_id}"),
                ("calls of the API", "/api/calls?limit=1000"),
                ("datasets of the API", "/api/datasets"),
                ("all of one dataset", "/api/datasets/made/tar"),
                ("API", "/api/openapi.json"),
            ):
                first, second = viewed(shalt, path), viewed(shalt, path)
                show(name, shalt, f"first {first:5.2f} s, then {second:5.2f} s")


def fill(settings: Settings, groups: int) -> tuple[str, str]:
    """Store conversations, a dataset and a drift report; return the ids of a call and a report."""
    places = Places(settings.data_dir)
    places.prepare()
    with closing(open_store(settings)) as store:
        store.upgrade()
        wanted = ExportRequest(where="request_model = 'tiny'", accept_bias="the small one")
        exported(store, places.datasets / "made", groups, wanted)
        report = report_json(with_actions(full_report()))
        new = NewReport("default", "hourly", "1h", "drift", "made", report)
        report_id = add_drift_report(store, new, clock=SystemClock())
        return store.list("default", None, limit=1)[0].id, report_id


def viewed(shalt: Shalt, path: str) -> float:
    """Fetch a page; return how many seconds it took."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{shalt.port}{path}", timeout=120) as answer:
        answer.read()
    return time.perf_counter() - began


def show(name: str, shalt: Shalt, took: str = "") -> None:
    """Print what the console has resident."""
    status = Path(f"/proc/{shalt.child('shalt.console')}/status").read_text()
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)
    megabytes = kilobytes / 1024
    ratio = megabytes / CONSOLE_MB_MAX
    print(f"{name:22} {megabytes:6.1f} MB, {ratio:4.2f} of {CONSOLE_MB_MAX} MB  {took}")


if __name__ == "__main__":
    main()
