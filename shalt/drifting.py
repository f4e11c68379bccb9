"""The command `drift`: compare two windows, print and keep the report, answer by exit code."""

import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from exporters.drift import ALPHA, DriftReport, SelfCheck, check_itself, compare
from exporters.explanation import explained
from exporters.exported import load_reference
from exporters.loading import load_window
from exporters.periods import (
    Between,
    Exported,
    Matching,
    Previous,
    WindowSpec,
    before,
    parse_window,
)
from exporters.report import report_json, report_text
from exporters.report_html import report_html
from exporters.windows import WindowError
from shalt.embedding import embedded
from shalt.invocation import invocation, options_of
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_bytes, print_json, print_line, print_note, print_table, stage_bar
from storage.capture import SystemClock
from storage.drift_reports import (
    ListedReport,
    NewReport,
    ReportTooLarge,
    add_drift_report,
    find_drift_report,
    list_drift_reports,
)
from storage.filters import compile_filter
from storage.store import TraceStore

EXIT_CODES: Final = {"quiet": 0, "drift": 3, "insufficient": 4}
PIPE_WIDTH: Final = 100
_TIME: Final = "%Y-%m-%d %H:%M:%S"


class ReportNotWritten(Exception):
    """The report could not be written where it was wanted."""


class NoReport(Exception):
    """There is no kept report of this id."""


class Asked(msgspec.Struct, frozen=True):
    """A comparison as it is asked for: windows as a person writes them; `where` is for both."""

    reference: str
    current: str
    where: str = ""
    alpha: float = ALPHA


def drift(
    settings: Settings,
    asked: Asked,
    *,
    json_file: Path | None = None,
    html_file: Path | None = None,
    keep: bool = True,
) -> int:
    """Compare as `asked`; return 0 quiet, 3 drift, 4 too few calls.

    What was found is written and printed before it is kept: a store that refuses loses nothing.
    """
    with closing(open_store(settings)) as store:
        store.check()
        report = _compare(settings, store, asked)
        _write_files(settings, report, json_file=json_file, html_file=html_file)
        _print(report)
        if keep:
            _keep(settings, store, asked, report)
    return EXIT_CODES[report.verdict]


def _keep(settings: Settings, store: TraceStore, asked: Asked, report: DriftReport) -> None:
    new = NewReport(
        project=settings.project,
        monitor="",
        window=asked.current,
        verdict=report.verdict,
        reference=asked.reference,
        report=report_json(report),
    )
    try:
        report_id = add_drift_report(store, new, clock=SystemClock())
    except ReportTooLarge as error:
        print_note(f"not kept: {error}")
    else:
        show = invocation(settings, f"shalt drift show {report_id}", project=True)
        print_note(f"kept as {report_id}: {show}")


def show_report(
    settings: Settings,
    report_id: str,
    *,
    as_json: bool = False,
    json_file: Path | None = None,
    html_file: Path | None = None,
) -> int:
    """Print a kept report, and write it to files; return what comparing returned."""
    with closing(open_store(settings)) as store:
        store.check()
        found = find_drift_report(store, report_id, settings.project)
    if found is None:
        raise NoReport(
            f"project {settings.project} has no drift report {report_id!r}, or several whose ids "
            f"begin so: {invocation(settings, 'shalt drift ls', project=True)} lists them"
        )
    try:
        report = msgspec.json.decode(found.report, type=DriftReport)
    except msgspec.MsgspecError as error:
        problem = f"drift report {report_id} was written by another version of shalt: {error}"
        raise NoReport(problem) from error
    _write_files(settings, report, json_file=json_file, html_file=html_file)
    if as_json:
        print_bytes(report_json(report))
    else:
        _print(report)
    return EXIT_CODES[report.verdict]


def list_reports(
    settings: Settings, *, monitor: str | None, limit: int, as_json: bool = False
) -> None:
    """List the kept reports of the project, newest first."""
    with closing(open_store(settings)) as store:
        store.check()
        reports = list_drift_reports(store, settings.project, limit=limit, monitor=monitor)
    if as_json:
        for each in reports:
            print_json(msgspec.to_builtins(each))
        return
    columns = ("id", "time, UTC", "monitor", "window", "verdict", "reference")
    print_table(columns, map(_cells, reports), elastic=("window", "reference"))


def _compare(settings: Settings, store: TraceStore, asked: Asked) -> DriftReport:
    clock = SystemClock()
    project = settings.project
    if asked.where:
        compile_filter(asked.where)  # by itself, for it becomes part of others
    current = parse_window(asked.current, clock)
    reference = parse_window(asked.reference, clock)
    if isinstance(reference, Previous):
        reference = before(current)
    with stage_bar() as bar:
        task = bar.add_task("drift", total=4)  # read, read, compare, explain
        check: SelfCheck | None = None
        export: Path | None = None
        if isinstance(reference, Exported) and not asked.where:
            export = reference.directory
            read = load_reference(export)
            check = check_itself(read.train, read.test)
            first = read.train
        else:
            first = load_window(store, project, narrowed(reference, asked.where))
        bar.advance(task)
        windows = first, load_window(store, project, narrowed(current, asked.where))
        bar.advance(task)
        vectors = embedded(settings, store, windows, project=project, clock=clock)
        report = compare(
            *windows,
            alpha=asked.alpha,
            embeddings=vectors.embeddings,
            self_check=check,
            notes=(*vectors.notes, *dict.fromkeys(note for each in windows for note in each.notes)),
        )
        bar.advance(task)
        options = options_of(settings)
        return explained(report, store, project, windows, export=export, options=options)


def narrowed(spec: WindowSpec, where: str) -> WindowSpec:
    """Take of a window the calls that a filter matches too. WindowError for that of an export."""
    if not where:
        return spec
    match spec:
        case Between():
            return replace(spec, where=where)
        case Matching(its_own):
            return Matching(f"({its_own}) and ({where})")
    raise WindowError(
        "--where chooses calls of the store, and what is compared with an export is what lies "
        "beside it: export with the same --where, and compare with that"
    )


def _print(report: DriftReport) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    print_line(report_text(report, width).rstrip("\n"))


def _write_files(
    settings: Settings, report: DriftReport, *, json_file: Path | None, html_file: Path | None
) -> None:
    links = f"http://{_host(settings.host)}:{settings.port}"
    writers: list[tuple[Path | None, str, Callable[[], bytes]]] = [
        (json_file, "--json", lambda: report_json(report)),
        (html_file, "--html", lambda: report_html(report, links=links, project=settings.project)),
    ]
    for path, option, write in writers:
        if path is None:
            continue
        try:
            path.write_bytes(write())
        except OSError as error:
            problem = f"cannot write {path}: {error.strerror}; check {option}"
            raise ReportNotWritten(problem) from error


def _host(host: str) -> str:
    """Name the host for a link: nobody reaches "all addresses"."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _cells(report: ListedReport) -> tuple[str, ...]:
    return (
        report.id,
        report.created_at.strftime(_TIME),
        report.monitor or "by hand",
        report.window,
        report.verdict,
        report.reference,
    )
