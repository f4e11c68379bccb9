"""What the commands share: the application they join, the options they all take.

The modules that do the work are loaded when a command first touches them (`Later`): `--help` does
not wait for the statistics, nor `shalt serve` for the database.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

LIST_MAX = 10_000


class Later:
    """A module that is loaded when one of its names is first asked for.

    Not importlib's LazyLoader: its modules stand in sys.modules, and whatever walks through
    that (inspect does, for pydantic) loads them all at once.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        return getattr(importlib.import_module(self._name), attribute)


Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML file with settings; shalt.toml, where there is one."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Directory of spool and store: SHALT_DATA_DIR, else ./shalt-data."
    ),
]
Project = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Project of the calls: SHALT_PROJECT, else default."),
]
Where = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="Only calls for which this holds: SQL over columns, tags."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Port = Annotated[int | None, typer.Option(metavar="PORT", help="TCP port to listen on; 8400.")]

app = typer.Typer(
    help="Record every LLM call your product makes; turn the record into datasets you can trust.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # examples are to be pasted: no boxes, no folding
)

db = typer.Typer(
    help="Work on the store itself.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(db, name="db")

keys = typer.Typer(
    help="Make, list and revoke access keys.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(keys, name="keys")


def command(
    *examples: str, name: str | None = None, to: typer.Typer = app
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a command whose help ends with examples.

    `name`: what it is called where that is no name for a function; `to`: what it is part of.
    """
    lines = ["Examples:" if len(examples) > 1 else "Example:", *(f"  {line}" for line in examples)]
    return to.command(name, epilog="\b\n" + "\n".join(lines))
