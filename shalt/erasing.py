"""The commands `erase` and `retain`: show what would go, ask, do it or leave it to the recorder.

Asking for an erasure is one row in the store, and hides the calls at once. The rest is done by
the recorder; where no shalt runs on the data directory, by this process with `--wait`, or by the
next shalt. `--wait` returns when the last byte within reach is gone.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from shalt.places import DataDirError, Places
from shalt.recording import build_recorder, build_upkeep, open_store
from shalt.selecting import with_whole_ids
from shalt.settings import Settings
from shalt.terminal import one_line, print_json, print_line, print_note
from storage.capture import SystemClock
from storage.counted import counted, plural
from storage.erasure import Kind, Selection
from storage.receipts import Holding, NothingToErase, Receipt, preview, receipt, request
from storage.retention import Policy, Retention
from storage.store import TraceStore

POLL_SECONDS: Final = 0.1
PROJECTS_LOOKED: Final = 100


class ErasureNotFound(Exception):
    """There is no erasure of this id in this project."""


def erase(
    settings: Settings,
    selection: Selection,
    *,
    reason: str,
    yes: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Show what would go, ask, and forget it. With `as_json`, print the receipt or the preview."""
    clock = SystemClock()
    with closing(open_store(settings)) as store:
        store.check()
        selection = with_whole_ids(selection, store)
        _note_elsewhere(store, settings.project, selection)
        found = preview(store, settings.project, selection, clock=clock)
        if not as_json:
            span = f"from {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC"
            print_line(
                f"{counted(found.calls, 'call')} of project {settings.project}, {span}",
                style="bold",
            )
            _print_datasets(found.datasets)
        elif dry_run:
            print_json(msgspec.to_builtins(found))
        if dry_run:
            return
        if not yes and not typer.confirm("Erase them? They cannot be brought back", err=True):
            raise typer.Exit(1)
        made = request(store, settings.project, selection, reason=reason, clock=clock)
        if wait:
            made = _wait(settings, store, made, found.calls)
        _print_receipt(made, as_json=as_json)


def _note_elsewhere(store: TraceStore, project: str, selection: Selection) -> None:
    """Say where else a user has calls: who asks to be forgotten knows nothing of projects.

    Scans the calls of PROJECTS_LOOKED projects at most.
    """
    if selection.kind is not Kind.USER:
        return
    others = []
    for other in store.projects(PROJECTS_LOOKED):
        if other != project:
            with suppress(NothingToErase):
                preview(store, other, selection, clock=SystemClock())
                others.append(other)
    if others:
        print_note(
            "this user has calls in other projects, too, which are not erased: say it again with "
            f"--project for each of {', '.join(others)}"
        )


def show_receipt(settings: Settings, erasure_id: str, *, as_json: bool) -> None:
    """Print the receipt of an erasure as it stands now."""
    with closing(open_store(settings)) as store:
        store.check()
        found = receipt(store, erasure_id, settings.project)
    if found is None:
        raise ErasureNotFound(f"there is no erasure {erasure_id} in project {settings.project}")
    _print_receipt(found, as_json=as_json)


def retain(settings: Settings, *, now: bool, as_json: bool) -> None:
    """Show how long bodies and calls are kept and what is too old; delete that `now`."""
    policy = Policy(settings.retain_bodies_days, settings.retain_days, settings.drift_terms_days)
    with closing(open_store(settings)) as store:
        store.check()
        retention = Retention(store, policy, clock=SystemClock())
        due = retention.due()
        if now:
            with _bar("deleting what is too old") as bar:
                task = bar.add_task("", total=due.bodies + due.calls)
                while retention.step():
                    done = retention.bodies_count + retention.calls_count
                    bar.update(task, completed=done)
    if as_json:
        print_json(
            {
                "retain_bodies_days": policy.bodies_days,
                "retain_days": policy.calls_days,
                "due": due._asdict(),
                "deleted": {"bodies": retention.bodies_count, "calls": retention.calls_count},
            }
        )
        return
    for name, days, count in (
        ("bodies", policy.bodies_days, due.bodies),
        ("calls", policy.calls_days, due.calls),
    ):
        kept = f"kept for {days:g} days" if days else "kept for ever"
        print_line(f"{name:<8}{kept}, {count:,} {plural(count, 'is', 'are')} older")
    if now:
        bodies = counted(retention.bodies_count, "body")
        print_line(f"deleted {bodies}, {counted(retention.calls_count, 'call')}")


def _wait(settings: Settings, store: TraceStore, made: Receipt, calls: int) -> Receipt:
    """Wait for the recorder, or be it, until the last byte is gone."""
    places = Places(settings.data_dir)
    with _bar("erasing") as bar:
        task = bar.add_task("", total=calls)

        def look() -> Receipt:
            found = receipt(store, made.id)
            assert found is not None, "receipts stay"
            bar.update(task, completed=found.calls)
            return found

        try:
            places.prepare()
            lock = places.lock()
        except DataDirError:
            while (found := look()).scrubbed_at is None:
                time.sleep(POLL_SECONDS)
            return found
        with lock, closing(build_upkeep(settings, store)) as upkeep:
            # What waits in the spool may be of these calls.
            build_recorder(settings, store).run(lambda: True)
            while (found := look()).scrubbed_at is None:
                if not upkeep.step():
                    time.sleep(POLL_SECONDS)
            return found


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        yield bar


def _print_receipt(found: Receipt, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    print_line(f"erasure {found.id}, project {found.project}, by {_selector(found.selector)}")
    print_line(f"  unreadable since   {found.hidden_at:%Y-%m-%d %H:%M:%S} UTC")
    for name, at in (("rows deleted", found.deleted_at), ("bytes gone", found.scrubbed_at)):
        print_line(f"  {name:<19}{f'{at:%Y-%m-%d %H:%M:%S} UTC' if at else 'not yet'}")
    print_line(f"  {'calls':<19}{found.calls:,}")
    _print_datasets(found.datasets)
    print_line("  out of reach:")
    for what in found.out_of_reach:
        print_line(f"    {what}")


def _print_datasets(datasets: Sequence[Holding]) -> None:
    for each in datasets:
        print_line(
            one_line(
                f"  {each.calls:,} of them left in dataset {each.id}, {each.directory} "
                f"({each.created_at:%Y-%m-%d %H:%M})"
            )
        )


def _selector(selection: Selection) -> str:
    if selection.kind is Kind.ID:
        return f"id, {len(selection.ids):,} of them"
    key = f" {selection.key}" if selection.key else ""
    value = f" (SHA-256 {selection.value[:16]}…)" if selection.hashed else ""
    return one_line(f"{selection.kind}{key}{value}")
