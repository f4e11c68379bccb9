"""The command `drift`: compare two windows, print the report, answer by exit code."""

import shutil
import sys
from contextlib import closing
from pathlib import Path

from exporters.drift import DriftReport, compare
from exporters.loading import load_windows
from exporters.periods import parse_window
from exporters.report import report_json, report_text
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_line
from storage.capture import SystemClock

EXIT_CODES = {"quiet": 0, "drift": 3, "insufficient": 4}


class ReportNotWritten(Exception):
    """The report could not be written where it was wanted."""


def drift(settings: Settings, reference: str, current: str, *, json_file: Path | None) -> int:
    """Compare `current` with `reference`; return 0 quiet, 3 drift, 4 too few calls."""
    clock = SystemClock()
    specs = parse_window(reference, clock), parse_window(current, clock)
    with closing(open_store(settings)) as store:
        store.check()
        report = compare(*load_windows(store, settings.project, *specs))
    if json_file:
        _write(report, json_file)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    print_line(report_text(report, width).rstrip("\n"))
    return EXIT_CODES[report.verdict]


def _write(report: DriftReport, path: Path) -> None:
    try:
        path.write_bytes(report_json(report))
    except OSError as error:
        raise ReportNotWritten(f"cannot write {path}: {error.strerror}; check --json") from error
