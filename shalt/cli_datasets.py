"""Commands that look at datasets and compare with them: verify; drift, drift ls, drift show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import LIST_MAX, AsJson, Config, DataDir, Later, Project, app, command

if TYPE_CHECKING:
    from shalt import drifting, settings, verifying
else:
    drifting = Later("shalt.drifting")
    settings = Later("shalt.settings")
    verifying = Later("shalt.verifying")


drift = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(
    drift,
    name="drift",
    invoke_without_command=True,
    epilog="\b\nExamples:\n"
    "  shalt drift --reference dataset --current 7d --html drift.html\n"
    "  shalt drift --reference previous --current 7d --where \"tags['app'] = 'support'\"\n"
    "  shalt drift --reference 2026-09-01..2026-10-01 --current 2026-10-01..2026-11-01\n"
    "  shalt drift --reference \"where:tags['v']='1'\" --current \"where:tags['v']='2'\"",
)

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the report here as JSON.")
]
HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the report here, as a page of its own."),
]


@command("shalt verify dataset", "shalt verify dataset --json", "shalt verify dataset --store")
def verify(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of an export; no store is needed.")
    ],
    as_json: AsJson = False,
    store: Annotated[
        bool, typer.Option("--store", help="Also: did this very export leave the store?")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Prove an export: hashes, sides, no group or near-copy on two of them, a fair draw.

    Exit code: 0 only if everything holds, 3 if anything failed.
    """
    known = settings.load(config, data_dir=data_dir) if store else None
    raise typer.Exit(verifying.verify(directory, as_json=as_json, settings=known))


@drift.callback()
def compare(
    context: typer.Context,
    reference: Annotated[
        str,
        typer.Option(metavar="WINDOW", help="An export, FROM..TO, previous, or where:SQL; needed."),
    ] = "",
    current: Annotated[
        str, typer.Option(metavar="WINDOW", help="FROM..TO, 7d, or where:SQL; needed.")
    ] = "",
    where: Annotated[
        str, typer.Option(metavar="SQL", help="Of both windows, only calls for which this holds.")
    ] = "",
    alpha: Annotated[
        float,
        typer.Option(metavar="A", help="Chance that unchanged traffic is called drift; 0.001."),
    ] = 0.001,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep the report in the store, or not.")
    ] = True,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Compare two windows of traffic: what has changed?

    Says what changed and what to do about it. Of comparisons of unchanged traffic, one in 1,000
    says drift. Exit code: 0 quiet, 3 drift, 4 too few calls to tell.
    """
    if context.invoked_subcommand is not None:
        return
    if not (reference and current):
        raise typer.BadParameter("say both windows: --reference dataset --current 7d")
    if not 0 < alpha < 1:
        raise typer.BadParameter("--alpha is a chance, between 0 and 1: 0.001")
    loaded = settings.load(config, data_dir=data_dir, project=project)
    asked = drifting.Asked(reference, current, where, alpha)
    code = drifting.drift(loaded, asked, json_file=json_file, html_file=html_file, keep=keep)
    raise typer.Exit(code)


@command("shalt drift ls", "shalt drift ls --monitor live --json", to=drift)
def ls(
    monitor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this monitor; else of all, and by hand.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=LIST_MAX, help="Reports to list at most.")
    ] = 50,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """List kept drift reports, newest first."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    drifting.list_reports(loaded, monitor=monitor, limit=limit, as_json=as_json)


@command("shalt drift show 019a3c7e5f10 --html drift.html", to=drift)
def show(
    report_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a kept report, or how it begins.")
    ],
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Show a kept drift report. Exit code as when it was made: 0 quiet, 3 drift, 4 too few calls.

    The words of calls that have been erased since are not in it any more.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    raise typer.Exit(
        drifting.show_report(loaded, report_id, json_file=json_file, html_file=html_file)
    )
