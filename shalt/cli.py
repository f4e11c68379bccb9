"""The command line: what can be said, and what becomes of an error.

The commands stand in the modules `cli_*`, in the order of `--help`; the doing is in the modules
they name. An error that one of our packages names is printed as one message on standard error,
exit code 2; anything else is a fault of ours and shows its traceback. Ctrl-C is 130; a closed pipe
is quiet.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# Importing them adds their commands to the application.
from shalt import (
    cli_calls,
    cli_datasets,
    cli_deleting,
    cli_exporting,
    cli_keys,
    cli_labels,
    cli_running,
    cli_splitting,
    cli_store,
    cli_transfers,
    cli_watch,
)
from shalt.arguments import Later, app

if TYPE_CHECKING:
    from importlib import metadata
else:
    metadata = Later("importlib.metadata")

__all__ = ["app", "main"]

OUR_PACKAGES = ("shalt", "proxy", "storage", "exporters", "importers", "review")
EXIT_ERROR = 2
_MODULES = (
    cli_running,
    cli_calls,
    cli_labels,
    cli_splitting,
    cli_exporting,
    cli_datasets,
    cli_watch,
    cli_transfers,
    cli_deleting,
    cli_keys,
    cli_store,
)
_HELP_ORDER = [each.__name__ for each in _MODULES]
app.registered_commands.sort(
    key=lambda each: _HELP_ORDER.index(getattr(each.callback, "__module__", ""))
)


def main() -> None:
    """Run the command that the arguments name, and exit."""
    _refuse_strangers()
    try:
        app(prog_name="shalt")
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in OUR_PACKAGES:
            raise
        typer.echo(f"shalt: {error}", err=True)
        sys.exit(EXIT_ERROR)
    finally:
        _flush()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shalt {metadata.version('shalt')}")
        raise typer.Exit


@app.callback()
def _shalt(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Every command answers to --help, and takes its settings from shalt.toml and SHALT_*, too."""


def _refuse_strangers() -> None:
    """Say so if another package is found under one of our names: they are plain words."""
    home = Path(__file__).resolve().parent.parent
    for name in OUR_PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
        if found != home:
            typer.echo(
                f"shalt: the package {name} is taken from {found}, not from {home}: shalt is an "
                "application, install it in an environment of its own",
                err=True,
            )
            sys.exit(EXIT_ERROR)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; Python would complain at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
