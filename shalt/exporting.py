"""The commands that divide and export: `split` and `export`."""

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
from shalt.terminal import print_json, print_line, stage_bar
from storage.reservation import Policy

GROUPS_SHOWN = 5
# A group with more than this share of all calls makes the sides uneven and hides what is in it.
LARGE_GROUP_RATIO = 0.05


class ExportNotWritten(Exception):
    """The disk refused an export; nothing was published."""


def split(
    settings: Settings, *, test_ratio: float | None, val_ratio: float | None, as_json: bool
) -> None:
    """Show how the project's groups are divided; change the ratios where one is given."""
    with closing(open_store(settings)) as store:
        store.check()
        # Before its first call a project has no policy: this is what it would get.
        policy = store.policy(settings.project) or Policy(
            0, "", settings.test_ratio, settings.val_ratio
        )
        if test_ratio is not None or val_ratio is not None:
            policy = store.change_policy(
                settings.project,
                policy.test_ratio if test_ratio is None else test_ratio,
                policy.val_ratio if val_ratio is None else val_ratio,
            )
        sides = {side.value: count for side, count in store.sides(settings.project).items()}
        largest = store.largest_groups(settings.project, GROUPS_SHOWN)
    if as_json:
        print_json(
            {
                "project": settings.project,
                "policy_version": policy.version,
                "salt": policy.salt,
                "test_ratio": policy.test_ratio,
                "val_ratio": policy.val_ratio,
                "sides": {
                    side: {"groups": count.groups, "calls": count.calls}
                    for side, count in sides.items()
                },
                "largest_groups": [
                    {"group_id": group.group_id, "source": group.group_source, "calls": group.calls}
                    for group in largest
                ],
            }
        )
        return
    print_line(
        f"project {settings.project}, policy {policy.version}: "
        f"test {policy.test_ratio:g}, val {policy.val_ratio:g} of the groups"
    )
    groups = sum(count.groups for count in sides.values()) or 1
    for side, count in sides.items():
        share = f"{count.groups / groups:.1%}"
        print_line(f"  {side:<11}{count.groups:>8,} groups {share:>6}  {count.calls:>9,} calls")
    calls = sum(count.calls for count in sides.values())
    for group in largest:
        if group.calls > LARGE_GROUP_RATIO * calls and group.group_source == "root":
            print_line(
                f"  group {group.group_id[:16]}… holds {group.calls:,} calls that begin alike: if "
                "they are different conversations, send x-shalt-session"
            )


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
