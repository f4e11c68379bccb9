"""The command that exports."""

from collections import Counter
from contextlib import closing
from pathlib import Path

from rich.progress import TaskID

from exporters import dataset
from exporters.dataset import Stage
from exporters.manifest import SIDE_FILES, Manifest
from exporters.request import ExportRequest
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_line, stage_bar


class ExportNotWritten(Exception):
    """The disk refused an export; nothing was published."""


def export(
    settings: Settings, request: ExportRequest, directory: Path, *, processes: int | None = None
) -> None:
    """Write a dataset, with a progress bar where somebody looks on."""
    bar = stage_bar()
    with closing(open_store(settings)) as store, bar:
        store.check()
        tasks: dict[Stage, TaskID] = {}

        def show(stage: Stage, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage.value, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        try:
            manifest = dataset.export(store, request, directory, processes=processes, progress=show)
        except OSError as error:
            raise ExportNotWritten(
                f"cannot write {directory}: {error.strerror}; nothing was published"
            ) from error
    _print_manifest(manifest, directory)


def _print_manifest(manifest: Manifest, directory: Path) -> None:
    """Say what was written, and what became of every call that is no row."""
    rows = sum(entry.rows for entry in manifest.sides.values())
    print_line(f"{directory}: {rows:,} rows of {manifest.calls:,} calls", style="bold")
    for side, name in SIDE_FILES.items():
        entry = manifest.sides[side]
        print_line(f"  {name:<20}{entry.rows:>8,} rows of {entry.groups:,} groups")
    reasons: Counter[str] = Counter()
    for entry in manifest.sides.values():
        reasons.update({reason.value: count for reason, count in entry.reasons.items()})
    if reasons:
        print_line("calls that are no row of their own")
    for reason, count in reasons.most_common():
        print_line(f"  {reason:<20}{count:>8,}")
    for warning in manifest.warnings:
        print_line(f"warning: {warning}", style="yellow")
