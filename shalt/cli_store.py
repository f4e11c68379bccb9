"""Commands that work on the store itself: db rederive, db reprice."""

from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, Where, command, db

if TYPE_CHECKING:
    from shalt import rederiving, settings
else:
    rederiving = Later("shalt.rederiving")
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
