"""Commands that work on the store itself: db upgrade, check, stats, backup, restore, rederive, …"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, Where, command, db

if TYPE_CHECKING:
    from shalt import database_commands, rederiving, searching, settings
else:
    database_commands = Later("shalt.database_commands")
    rederiving = Later("shalt.rederiving")
    searching = Later("shalt.searching")
    settings = Later("shalt.settings")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")]


@command("shalt db upgrade", to=db)
def upgrade(config: Config = None, data_dir: DataDir = None) -> None:
    """Create the tables, or bring them to this version's. `shalt serve` does so by itself.

    The store is whole before and after; older versions of shalt can no longer use it.
    """
    database_commands.upgrade(settings.load(config, data_dir=data_dir))


@command("shalt db check", "shalt db check --full", to=db)
def check(
    full: Annotated[
        bool, typer.Option("--full", help="Decode every body, not a thousand of them.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Look whether the store is whole and every body can be read. It mends nothing.

    Exit code: 0 sound, 2 not.
    """
    database_commands.check(settings.load(config, data_dir=data_dir), full=full, as_json=as_json)


@command("shalt db stats", "shalt db stats --json | jq .bytes_a_call", to=db)
def stats(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """Show how large the store is: each table and index, bytes a call, partitions."""
    database_commands.stats(settings.load(config, data_dir=data_dir), as_json=as_json)


@command("shalt db backup shalt-backup.sqlite", to=db)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Copy the store to a file while recording goes on, and verify the copy.

    Of SQLite it is a database; of PostgreSQL what pg_dump writes, in its custom format.
    """
    database_commands.backup(settings.load(config, data_dir=data_dir), file)


@command("shalt db restore shalt-backup.sqlite", to=db)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that `db backup` wrote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the store that is there.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Put a copy in the place of the store. Stop shalt first.

    Calls that wait in the spool are stored at the next start. What was erased after the copy was
    made is back with it: erase it again.
    """
    database_commands.restore(settings.load(config, data_dir=data_dir), file, force=force)


@command(
    "shalt db rederive --dry-run",
    "shalt db rederive --where \"endpoint = 'embeddings'\"",
    to=db,
)
def rederive(
    where: Where = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Understand again the calls that an older version understood, from their recorded bytes.

    Says which columns have changed, for how many calls, with examples. It may be stopped and
    started again; recording goes on meanwhile. Groups and sides stay as they are.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    rederiving.rederive(loaded, where=where, dry_run=dry_run, as_json=as_json)


@command(
    "shalt db reprice --dry-run",
    "shalt db reprice --where \"started_at >= '2026-11-01'\"",
    to=db,
)
def reprice(
    where: Where = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Price recorded calls again, by the table of prices that came with this version."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    rederiving.reprice(loaded, where=where, dry_run=dry_run, as_json=as_json)


@command("shalt db search --build", "shalt db search", to=db)
def search(
    build: Annotated[
        bool, typer.Option("--build", help="Index the calls that are stored and not indexed yet.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Take the index away first.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make or drop the index for full-text search, or say how far it goes.

    It is of all projects. Building may be stopped and started again, and calls are recorded
    meanwhile. The setting search = true keeps the index up to date from then on.
    """
    loaded = settings.load(config, data_dir=data_dir)
    searching.search_index(loaded, build=build, drop=drop, as_json=as_json)
