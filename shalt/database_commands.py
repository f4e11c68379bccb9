"""The commands on the store as a database: `db upgrade`, `check`, `stats`, `backup`, `restore`."""

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.sources import without_password
from shalt.terminal import print_json, print_line, print_note, print_table
from storage import backup as copying
from storage import database, sizes, soundness
from storage.counted import counted
from storage.schema import SCHEMA_REVISION


class StoreUnsound(Exception):
    """Something is wrong in the store; it has been said what."""


def upgrade(settings: Settings) -> None:
    """Bring the store to this version's tables, creating it where there is none."""
    with closing(open_store(settings)) as store:
        before = database.revision_of(store.engine)
        store.upgrade(print_note)
    name = without_password(settings.store_url)
    if before == SCHEMA_REVISION:
        print_line(f"{name} is at revision {SCHEMA_REVISION} already")
    else:
        print_line(f"{name}: revision {before or 'none'} → {SCHEMA_REVISION}")


def check(settings: Settings, *, full: bool, as_json: bool) -> None:
    """Print what is wrong with the store. Raise StoreUnsound where anything is."""
    counter = _counter("bodies decoded")
    with closing(open_store(settings)) as store:
        found = soundness.examine(store, full=full, progress=lambda count: counter(count, 0))
    counter(0, 0)
    if as_json:
        print_json({"faults": found.faults, "bodies_read": found.bodies_read})
    else:
        for fault in found.faults:
            print_line(fault, style="bold red")
    if found.faults:
        raise StoreUnsound(f"the store {without_password(settings.store_url)} is not sound")
    if not as_json:
        print_line(f"sound; {found.bodies_read:,} bodies decoded")


def stats(settings: Settings, *, as_json: bool) -> None:
    """Print how large the store is, and what of it."""
    with closing(open_store(settings)) as store:
        store.check()
        found = sizes.measure(store)
    if as_json:
        print_json(
            {
                "bytes": found.bytes,
                "calls": found.calls,
                "bodies": found.bodies,
                "scores": found.scores,
                "labels": found.labels,
                "bytes_a_call": found.bytes_a_call,
                "oldest": found.oldest,
                "newest": found.newest,
                "parts": [
                    {"name": part.name, "kind": part.kind, "bytes": part.bytes}
                    for part in found.parts
                ],
                "partitions": found.partitions,
            }
        )
        return
    per_call = "" if found.bytes_a_call is None else f", {found.bytes_a_call:,.0f} bytes a call"
    print_line(f"{found.bytes / 1e6:,.1f} MB{per_call}")
    print_line(
        f"{counted(found.calls, 'call')}, {found.bodies:,} with their bodies; "
        f"{counted(found.scores, 'score')}, {counted(found.labels, 'label')}"
    )
    if found.oldest and found.newest:
        print_line(f"from {found.oldest:%Y-%m-%d %H:%M} to {found.newest:%Y-%m-%d %H:%M} UTC")
    print_line()
    calls = max(found.calls, 1)
    rows = [
        (each.name, each.kind, f"{each.bytes:,}", f"{each.bytes / calls:,.0f}")
        for each in found.parts
    ]
    print_table(("part", "kind", "bytes", "a call"), rows)
    if found.partitions:
        print_line()
        partitions = [(name, f"{size:,}") for name, size in found.partitions.items()]
        print_table(("partition", "bytes"), partitions)


def backup(settings: Settings, file: Path) -> None:
    """Copy the store to a file while recording goes on."""
    with closing(open_store(settings)) as store:
        counter = _counter("pages copied")
        copying.backup(store.engine, file, counter)
        counter(0, 0)
    print_line(f"{file}  {file.stat().st_size / 1e6:,.1f} MB, verified")


def restore(settings: Settings, file: Path, *, force: bool) -> None:
    """Put a copy in the place of the store. Nothing may be recording meanwhile."""
    places = Places(settings.data_dir)
    places.prepare()
    with places.lock(), closing(open_store(settings)) as store:
        revision = copying.restore(store.engine, file, force=force)
        store.upgrade()
    print_line(
        f"{without_password(settings.store_url)} is as it was in {file}, "
        f"of revision {revision}. Erase again what was erased since."
    )


def _counter(what: str) -> Callable[[int, int], None]:
    """Show on a terminal how far something is; 0 of 0 wipes it away."""
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def show(done: int, total: int) -> None:
        of = f" of {total:,}" if total else ""
        sys.stderr.write(f"\r{done:,}{of} {what}" if done else "\r\x1b[K")
        sys.stderr.flush()

    return show
