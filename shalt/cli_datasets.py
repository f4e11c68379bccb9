"""Commands that make datasets and compare with them: export, drift."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import Config, DataDir, Later, Project, Where, command

if TYPE_CHECKING:
    from exporters import request, selection
    from shalt import drifting, exporting, settings
else:
    request = Later("exporters.request")
    selection = Later("exporters.selection")
    drifting = Later("shalt.drifting")
    exporting = Later("shalt.exporting")
    settings = Later("shalt.settings")


class Format(StrEnum):
    """What a row of an export looks like."""

    OPENAI = "openai"


class Turns(StrEnum):
    """Which calls of a conversation become rows."""

    AUTO = "auto"
    LEAF = "leaf"
    LAST = "last"
    CHAIN = "chain"


@command(
    "shalt export dataset",
    "shalt export dataset --where \"request_model like 'gpt-4o%'\" --turns last",
)
def export(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Directory to make; it must not exist, or be empty."),
    ],
    form: Annotated[
        Format, typer.Option("--format", help="openai: chat fine-tuning JSONL.")
    ] = Format.OPENAI,
    where: Where = None,
    turns: Annotated[
        Turns,
        typer.Option(
            help="auto: a row for each conversation as far as it was linear; leaf: each branch's "
            "longest call; last: every call, trained on its answer alone; chain: an agent's run, "
            "with all answers as received."
        ),
    ] = Turns.AUTO,
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=64, help="Processes that read; else one a core."),
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Write train, val and test files, and a manifest.

    No group is in two of the files, and nothing is written unless all of it is.
    --where chooses for train and val. The test file always holds its whole side.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    wanted = request.ExportRequest(
        project=loaded.project, format=form.value, where=where, turns=selection.Turns(turns.value)
    )
    exporting.export(loaded, wanted, directory, processes=processes)


@command(
    "shalt drift --reference dataset --current 7d",
    "shalt drift --reference 2026-09-01..2026-10-01 --current 2026-10-01..2026-11-01",
    "shalt drift --reference \"where:tags['v']='1'\" --current \"where:tags['v']='2'\"",
)
def drift(
    reference: Annotated[
        str, typer.Option(metavar="WINDOW", help="An export, FROM..TO, 7d, or where:SQL.")
    ],
    current: Annotated[str, typer.Option(metavar="WINDOW", help="FROM..TO, 7d, or where:SQL.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report here as JSON.")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Compare two windows of traffic: what has changed?

    Of comparisons of unchanged traffic, one in 1,000 says drift. Exit code: 0 quiet, 3 drift,
    4 too few calls to tell.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    raise typer.Exit(drifting.drift(loaded, reference, current, json_file=json_file))
