"""The commands that understand and price stored calls again: `db rederive` and `db reprice`."""

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import msgspec

from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import counting_bar, one_line, print_json, print_line
from storage import rederive as storage_rederive
from storage.capture import SystemClock
from storage.counted import counted, plural
from storage.marking import Marked, mark_again
from storage.rederive import Report
from storage.store import TraceStore

Done = TypeVar("Done", Report, Marked)


def rederive(settings: Settings, *, where: str | None, dry_run: bool, as_json: bool) -> None:
    """Understand again what an older version understood, and say which columns have changed.

    Then mark all calls again that repeat or edit others (storage.marking).
    """
    project = settings.project
    days = settings.drift_terms_days
    from_ms = SystemClock().wall_ns() // 1_000_000 - int(days * 86_400_000)
    texts_from = f"{max(from_ms, 0):012x}" if days else None
    report = _run(
        settings,
        lambda store, progress: storage_rederive.rederive(
            store, project, where, dry_run=dry_run, texts_from=texts_from, progress=progress
        ),
    )
    marked = _run(
        settings,
        lambda store, progress: mark_again(store, project, dry_run=dry_run, progress=progress),
        unit="groups",
    )
    _print(report, marked, dry_run=dry_run, as_json=as_json)


def reprice(settings: Settings, *, where: str | None, dry_run: bool, as_json: bool) -> None:
    """Price stored calls again, and say what has changed."""
    report = _run(
        settings,
        lambda store, progress: storage_rederive.reprice(
            store, settings.project, where, dry_run=dry_run, progress=progress
        ),
    )
    _print(report, None, dry_run=dry_run, as_json=as_json)


def _run(
    settings: Settings,
    work: Callable[[TraceStore, Callable[[int, int], None]], Done],
    *,
    unit: str = "calls",
) -> Done:
    """Do it with a progress bar where somebody looks on."""
    bar = counting_bar(unit)
    with closing(open_store(settings)) as store, bar:
        store.check()
        task = bar.add_task("", total=None)
        return work(store, lambda done, total: bar.update(task, completed=done, total=total))


def _print(report: Report, marked: Marked | None, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        marks = {} if marked is None else {"marks": msgspec.to_builtins(marked)}
        print_json({"dry_run": dry_run, **msgspec.to_builtins(report), **marks})
        return
    verb = "would change" if dry_run else "changed"
    print_line(f"{counted(report.calls, 'call')} read, {report.changed:,} {verb}", style="bold")
    if report.without_body:
        print_line(f"{report.without_body:,} without bytes any more, left as they are")
    if report.texts:
        print_line(f"{report.texts:,} in the sample of which the texts are measured")
    if marked is not None:
        print_line(
            f"{counted(marked.groups, 'group')} compared, "
            f"{counted(marked.changed, 'call')} {verb}: those that repeat or edit another"
        )
    columns = sorted(report.columns.items(), key=lambda each: (-each[1].calls, each[0]))
    for name, change in columns:
        print_line(f"  {name:<24}{change.calls:>9,} {plural(change.calls, 'call')}")
        for example in change.examples:
            before, after = map(_value, (example.before, example.after))
            print_line(one_line(f"    {example.call_id}  {before} → {after}"), style="dim")


def _value(value: object) -> str:
    return "NULL" if value is None else repr(value) if isinstance(value, str) else str(value)
