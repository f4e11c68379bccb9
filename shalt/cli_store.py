"""Commands that work on the store itself: db rederive, db reprice, db search."""

from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, Where, command, db

if TYPE_CHECKING:
    from shalt import rederiving, searching, settings
else:
    rederiving = Later("shalt.rederiving")
    searching = Later("shalt.searching")
    settings = Later("shalt.settings")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")]


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
