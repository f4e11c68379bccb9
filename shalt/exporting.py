"""The command that exports."""

import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from rich.progress import TaskID

from exporters import dataset
from exporters.dataset import Stage
from exporters.estimate import Estimate
from exporters.manifest import Manifest, PartEntry, SubsetEntry
from exporters.request import ExportError, ExportRequest
from exporters.selection_text import selection_text
from exporters.tool_files import read_text
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_line, stage_bar
from storage.counted import counted, plural
from storage.trace import Side


class ExportNotWritten(Exception):
    """The disk refused an export; nothing was published."""


def ask(project: str, *, current: Path | None, subsets: str, **said: object) -> ExportRequest:
    """Make a request of what was said on the command line; None is what was not said.

    Raise ExportError where a number is none, ToolsError where the file of tools is none.
    """
    asked = {name: value for name, value in said.items() if value is not None}
    if subsets:
        try:
            asked["subsets"] = tuple(map(float, subsets.split(",")))
        except ValueError:
            raise ExportError(
                f"{subsets!r} are no percents: write numbers with commas, such as 12.5,25,50,100"
            ) from None
    if current is not None:
        asked["current_tools"] = read_text(current)
    return msgspec.convert({"project": project, **asked}, ExportRequest)


def export(
    settings: Settings, request: ExportRequest, directory: Path, *, processes: int | None = None
) -> None:
    """Write a dataset, with a progress bar where somebody looks on."""
    bar = stage_bar()
    with ended_in_order(), closing(open_store(settings)) as store, bar:
        store.check()
        tasks: dict[Stage, TaskID] = {}

        def show(stage: Stage, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage.value, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        try:
            manifest = dataset.export(
                store,
                request,
                directory,
                processes=processes,
                progress=show,
                expect=_print_estimate,
            )
        except OSError as error:
            raise ExportNotWritten(
                f"cannot write {directory}: {error.strerror}; nothing was published"
            ) from error
    _print_manifest(manifest, directory)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM end what is done meanwhile as Ctrl-C does, so that it leaves nothing behind.

    For the main thread. Exits with 143, as if there were no handler.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _print_estimate(expected: Estimate) -> None:
    print_line(
        f"{counted(expected.calls, 'call')}: about {counted(expected.rows, 'row')} and "
        f"{expected.bytes / 1e6:,.0f} MB; {expected.free_bytes / 1e9:,.0f} GB are free"
    )


def _rows(part: PartEntry | SubsetEntry) -> str:
    return f"{part.rows:>8,} {plural(part.rows, 'row')} of {counted(part.groups, 'group')}"


def _print_manifest(manifest: Manifest, directory: Path) -> None:
    """Say what was written, and what became of every call that is no row."""
    parts = {side.value: entry for side, entry in manifest.sides.items()} | manifest.sets
    rows = sum(entry.rows for entry in parts.values())
    print_line(
        f"{directory}: {counted(rows, 'row')} of {counted(manifest.calls, 'call')}", style="bold"
    )
    for part, entry in parts.items():
        if part != Side.QUARANTINE:
            print_line(f"  {part:<20}{_rows(entry)}")
    for subset in manifest.subsets:
        name = f"{subset.percent:g} % of train"
        print_line(f"  {name:<20}{_rows(subset)}")
    reasons: Counter[str] = Counter()
    for entry in manifest.sides.values():
        reasons.update({reason.value: count for reason, count in entry.reasons.items()})
    if reasons:
        print_line("calls that are no row of their own")
    for reason, count in reasons.most_common():
        print_line(f"  {reason:<20}{count:>8,}")
    if manifest.selection is not None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
        print_line(selection_text(manifest.selection, width).rstrip())
    for warning in manifest.warnings:
        print_line(f"warning: {warning}", style="yellow")
