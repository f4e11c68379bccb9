"""Commands about who may call: keys create, list, revoke."""

from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, command, keys

if TYPE_CHECKING:
    from shalt import keys as key_file
    from shalt import settings
else:
    key_file = Later("shalt.keys")
    settings = Later("shalt.settings")


@command("shalt keys create ci", "shalt keys create ana --project shop --expires 90d", to=keys)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for the list.")],
    project: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The key's calls are of this project, and no other."),
    ] = None,
    console: Annotated[
        bool, typer.Option("--console", help="It opens the console, too: all projects' calls.")
    ] = False,
    rate: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Calls a minute that it may make.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it is valid: 12h, 90d, 4w.")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make an access key and print it, once. It is valid within a second."""
    loaded = settings.load(config, data_dir=data_dir)
    key_file.create(
        loaded,
        name,
        project=project,
        console=console,
        calls_per_minute=rate,
        expires=expires,
    )


@command(
    "shalt keys list",
    "shalt keys list --json | jq -r 'select(.state==\"valid\").id'",
    name="list",
    to=keys,
)
def show_all(as_json: AsJson = False, config: Config = None, data_dir: DataDir = None) -> None:
    """List the keys, revoked ones too. None of them can be told from what is kept."""
    key_file.show_all(settings.load(config, data_dir=data_dir), as_json=as_json)


@command("shalt keys revoke 1f0c9a2e", to=keys)
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as the list shows it.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Let a key open nothing any more, from a second later on."""
    key_file.revoke(settings.load(config, data_dir=data_dir), key)
