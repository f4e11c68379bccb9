"""Commands that bring calls in from elsewhere and send them on: import, forward."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, command

if TYPE_CHECKING:
    from shalt import forwarding, importing, settings
else:
    forwarding = Later("shalt.forwarding")
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


@command(
    "shalt forward --otlp http://127.0.0.1:4318",
    "shalt forward --otlp https://collector.example.com --since 2026-10-01 --content --once",
)
def forward(
    otlp: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Collector that speaks OTLP/HTTP; /v1/traces is added if missing."
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin there; else where it ended, or with new calls."),
    ] = None,
    content: Annotated[
        bool, typer.Option("--content", help="Send messages, answers and tools, too.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Exit when everything stored by now is sent.")
    ] = False,
    headers: Annotated[
        str,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_HEADERS",
            metavar="NAME=VALUE,…",
            help="Headers for the collector; a key is better given by the variable.",
        ),
    ] = "",
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Send calls to an OpenTelemetry collector as GenAI spans, as they come.

    It goes on until SIGTERM, and a restart goes on where it ended. Exit code 1: the collector
    refused some calls for good.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    raise typer.Exit(
        forwarding.forward(
            loaded, url=otlp, headers=headers, since=since, content=content, once=once
        )
    )
