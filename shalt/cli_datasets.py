"""Commands that look at datasets and compare with them: verify, drift."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, command

if TYPE_CHECKING:
    from shalt import drifting, settings, verifying
else:
    drifting = Later("shalt.drifting")
    settings = Later("shalt.settings")
    verifying = Later("shalt.verifying")


@command("shalt verify dataset", "shalt verify dataset --json")
def verify(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of an export; no store is needed.")
    ],
    as_json: AsJson = False,
) -> None:
    """Prove an export: hashes, sides, no group or near-copy on two of them, a fair draw.

    Exit code: 0 only if everything holds, 3 if anything failed.
    """
    raise typer.Exit(verifying.verify(directory, as_json=as_json))


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
