"""The command that makes and drops the index of words: `db search`."""

from contextlib import closing

from rich.progress import Progress

from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import counting_bar, print_json, print_line
from storage import database, search
from storage.counted import counted, plural
from storage.derive import derive
from storage.search_words import Entry, entry_of
from storage.store import TraceStore

PROJECTS_MAX = 10_000


def search_index(settings: Settings, *, build: bool, drop: bool, as_json: bool) -> None:
    """Make or drop the index of words, of all projects, or say how far it goes."""
    with closing(open_store(settings)) as store:
        store.check()
        if drop:
            with database.writing(store.engine) as connection:
                search.drop(connection)
        added = _build(store) if build else 0
        with database.reading(store.engine) as connection:
            exists, indexed = search.exists(connection), search.count(connection)
        stored = sum(store.count(project) for project in store.projects(PROJECTS_MAX))
    if as_json:
        print_json(
            {
                "index": exists,
                "kept_up_to_date": settings.search,
                "indexed": indexed,
                "stored": stored,
                "added": added,
            }
        )
        return
    if not exists:
        there_are = f"{counted(stored, 'call')} {plural(stored, 'is', 'are')}"
        print_line(f"there is no index of words; {there_are} stored")
        return
    print_line(f"{indexed:,} of {counted(stored, 'call')} indexed, {added:,} of them now")
    if not settings.search:
        print_line("calls to come are not: the setting search is false")


def _build(store: TraceStore) -> int:
    """Index what is stored and not indexed yet; go on where an earlier run was stopped."""
    with database.writing(store.engine) as connection:
        search.create(connection)
    bar = counting_bar("{task.description}")
    with bar:
        return sum(_build_project(store, name, bar) for name in store.projects(PROJECTS_MAX))


def _build_project(store: TraceStore, project: str, bar: Progress) -> int:
    with database.reading(store.engine) as connection:
        last_id = search.built_to(connection, project)
    task = bar.add_task(project, total=store.count(project, f"id > '{last_id}'"))
    added = 0
    while True:
        with database.reading(store.engine) as connection:
            ids, missing = search.missing(connection, project, last_id)
        if not ids:
            break
        last_id = ids[-1]
        entries = _entries(store, project, missing)
        with database.writing(store.engine) as connection:
            added += search.build(connection, project, entries, last_id)
        bar.advance(task, len(ids))
    with database.writing(store.engine) as connection:
        search.built(connection, project)
    return added


def _entries(store: TraceStore, project: str, ids: set[str]) -> list[Entry]:
    """Read the words of these calls. A call whose body is not kept any more has none."""
    if not ids:
        return []
    # A scan for each part: one from end to end would keep SQLite from tidying its log.
    calls = store.scan(project, f"id >= '{min(ids)}' and id <= '{max(ids)}'")
    return [
        entry_of(derive(call.capture))
        for call in calls
        if call.row.id in ids and call.capture is not None
    ]
