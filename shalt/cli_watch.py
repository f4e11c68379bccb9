"""The command that watches: watch."""

from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, command

if TYPE_CHECKING:
    from shalt import settings, watch_commands
else:
    settings = Later("shalt.settings")
    watch_commands = Later("shalt.watch_commands")


@command("shalt watch", "shalt watch --once --json")
def watch(
    once: Annotated[
        bool, typer.Option("--once", help="Evaluate every monitor now, say what it found, exit.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Run the drift monitors in the foreground, without serving.

    `shalt serve` runs them itself. Exit code with --once: 0 quiet, 3 drift, 4 too few calls to
    tell, 1 where an evaluation failed.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    if once:
        raise typer.Exit(watch_commands.watch_once(loaded, as_json=as_json))
    raise typer.Exit(watch_commands.watch_alone(loaded))
