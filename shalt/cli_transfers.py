"""Commands that bring calls in from elsewhere: import."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, command

if TYPE_CHECKING:
    from shalt import importing, settings
else:
    importing = Later("shalt.importing")
    settings = Later("shalt.settings")


class Format(StrEnum):
    """What a file to import is."""

    AUTO = "auto"
    OPENAI_CHAT = "openai-chat"
    OPENAI_STORED = "openai-stored"
    OPENAI_BATCH = "openai-batch"
    LITELLM = "litellm"
    LANGFUSE = "langfuse"
    OTLP = "otlp"


@command(
    "shalt import train.jsonl --tag set=gold",
    "shalt import traces.json observations.jsonl.gz --format langfuse",
    "shalt import made-up.jsonl --synthetic --at 2026-10-01",
    name="import",
)
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…", exists=True, dir_okay=False, help="JSONL, JSON or CSV; gzip or zstd."
        ),
    ],
    form: Annotated[
        Format, typer.Option("--format", help="What the files are; auto looks into each.")
    ] = Format.AUTO,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Tag for all calls; repeatable.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time of records without one; the file's own."),
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Mark the calls as made up: source is synthetic.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first record that is not understood.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Store calls that other tools have recorded, with their ids and times.

    Importing the same again adds nothing. A record that is not understood is told with its line;
    the exit code is 1 then. It works beside a running shalt, and without one.
    """
    tags = {}
    for pair in tag or []:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"--tag {pair}: write KEY=VALUE")
        tags[key] = value
    loaded = settings.load(config, data_dir=data_dir, project=project)
    wanted = importing.Wanted(
        None if form is Format.AUTO else form.value, tags, at, synthetic, strict
    )
    raise typer.Exit(importing.import_files(loaded, files, wanted, as_json=as_json))
