"""The command `status`: what became of every call accepted, and how full things are."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from shalt.places import DataDirError, Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.sources import without_password
from shalt.terminal import print_json, print_line
from storage.counted import counted, plural
from storage.database import StoreUnavailable
from storage.labels import WAITING_DAYS
from storage.ledger import Ledger, is_balanced, read_ledger
from storage.metrics import oldest_seconds, waiting_for_calls
from storage.poison import PoisonDirectory
from storage.reader import StoreReader
from storage.segments import spool_bytes
from storage.sizes import total_bytes

Counts = dict[str, int]
PROJECTS_SHOWN = 10


def status(settings: Settings, *, as_json: bool) -> None:
    """Print the ledger, the spool, the store, and the project's calls and groups by side."""
    places = Places(settings.data_dir)
    if not places.data_dir.exists():
        raise DataDirError(
            f"there is no data directory {settings.data_dir}: `shalt serve` makes it; another is "
            "named with --data-dir or SHALT_DATA_DIR"
        )
    oldest: float | None = None  # how old only the store can tell: it knows what it has taken
    sides: dict[str, Counts] = {}
    projects: Sequence[str] = ()
    said_waiting = 0  # scores and labels whose call is not here
    with closing(open_store(settings)) as store:
        ledger = read_ledger(places.spool, store)
        size = _store_bytes(store) if ledger.store_ready else 0
        if ledger.store_ready:
            oldest = round(oldest_seconds(places.spool, store.checkpoints()), 3)
            said_waiting = waiting_for_calls(store)
            sides = _sides(store, settings.project)
            projects = store.projects(PROJECTS_SHOWN)
    waiting, waiting_max = spool_bytes(places.spool), int(settings.spool_bytes_max)
    poison = PoisonDirectory(places.poison)
    poisoned, poison_bytes = len(poison.list()), poison.byte_count()
    url = without_password(settings.store_url)
    if as_json:
        print_json(
            {
                "ledger": {
                    **ledger._asdict(),
                    "dropped": {reason.value: count for reason, count in ledger.dropped.items()},
                    "balanced": is_balanced(ledger),
                },
                "spool": {"bytes": waiting, "bytes_max": waiting_max, "oldest_seconds": oldest},
                "poison": {
                    "calls": poisoned,
                    "bytes": poison_bytes,
                    "directory": str(poison.directory),
                },
                "store": {
                    "url": url,
                    "bytes": size,
                    "ready": ledger.store_ready,
                    "error": ledger.store_error,
                },
                "feedback": {"waiting": said_waiting},
                "project": settings.project,
                "sides": sides,
            }
        )
        return
    _print_ledger(ledger)
    print_line()
    print_line(
        f"spool     {_megabytes(waiting)} of {_megabytes(waiting_max)}, "
        f"oldest call {'?' if oldest is None else f'{oldest:g}'} s"
    )
    print_line(
        f"store     {url}  {_megabytes(size)}{'' if ledger.store_ready else '  NOT READABLE'}"
    )
    if ledger.store_error:
        print_line(f"          {ledger.store_error}", style="bold red")
    if poisoned:
        print_line(
            f"poison    {counted(poisoned, 'call')} in {poison.directory}, "
            f"{_megabytes(poison_bytes)}: `shalt record --retry-poison` after an upgrade"
        )
    _print_waiting(said_waiting)
    _print_sides(settings.project, projects, sides)


def _sides(store: StoreReader, project: str) -> dict[str, Counts]:
    return {
        side.value: {"groups": count.groups, "calls": count.calls}
        for side, count in store.sides(project).items()
    }


def _print_sides(project: str, projects: Sequence[str], sides: Mapping[str, Counts]) -> None:
    """What stands above is of all projects, this of one."""
    if projects and [*projects] != [project]:
        others = ", ".join(name for name in projects if name != project)
        print_line(f"project   {project}; others that have calls: {others}")
    for side, count in sides.items():
        print_line(
            f"{side:<10}{count['calls']:>9,} {plural(count['calls'], 'call')}"
            f" in {counted(count['groups'], 'group')}"
        )


def _print_waiting(count: int) -> None:
    if count:
        print_line(
            f"feedback  waiting for its calls, {WAITING_DAYS} days at most: "
            f"{count:,} scores and labels"
        )


def _print_ledger(ledger: Ledger) -> None:
    print_line(f"accepted    {ledger.accepted:>9,} {plural(ledger.accepted, 'call')}, of these")
    for name in ("stored", "sampled_out", "opted_out", "backlog", "in_flight"):
        print_line(f"  {name:<12}{getattr(ledger, name):>7,}")
    for reason, count in ledger.dropped.items():
        if count:
            print_line(f"  dropped     {count:>7,}  {reason}", style="bold red")
    if not is_balanced(ledger):
        print_line("  the numbers do not add up: please report it", style="bold red")


def _store_bytes(store: StoreReader) -> int:
    """Size of a store; of SQLite the files, with the log; 0 where it cannot be told."""
    database = store.engine.url.database or ""
    if store.engine.dialect.name == "sqlite":
        paths = (Path(database + ending) for ending in ("", "-wal"))
        return sum(path.stat().st_size for path in paths if path.is_file())
    try:
        return total_bytes(store)
    except StoreUnavailable:
        return 0


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"
