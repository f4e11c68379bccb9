"""Commands that look at calls: ls, show, why, tail, query."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import LIST_MAX, AsJson, Config, DataDir, Later, Project, Where, command

if TYPE_CHECKING:
    from shalt import calls, explaining, querying, settings, tailing
else:
    calls = Later("shalt.calls")
    explaining = Later("shalt.explaining")
    querying = Later("shalt.querying")
    settings = Later("shalt.settings")
    tailing = Later("shalt.tailing")

CallId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of a call, or its first 8 characters or more.")
]


class RawBody(StrEnum):
    """Which body of a call to write."""

    REQUEST = "request"
    RESPONSE = "response"


@command(
    "shalt ls --limit 5",
    "shalt ls --where \"outcome <> 'complete' and tags['app'] = 'support'\"",
    "shalt ls --search 'refund \"order number\" -cancelled'",
    "shalt ls --json | jq .request_model",
)
def ls(
    where: Where = None,
    search: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help='Only calls with these words: word "a phrase" -not.'),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=LIST_MAX, help="Calls to list at most.")
    ] = 50,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """List recorded calls, newest first."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    calls.ls(loaded, where=where, search=search, limit=limit, as_json=as_json)


@command(
    "shalt show 019a3c7e5f107d3c8a12b0c4d5e6f708",
    "shalt show 019a3c7e5f107d3c8a12b0c4d5e6f708 --raw response --decoded | jq .usage",
)
def show(
    call_id: CallId,
    as_json: AsJson = False,
    raw: Annotated[
        RawBody | None, typer.Option(help="Write the bytes of this body as they passed.")
    ] = None,
    decoded: Annotated[
        bool, typer.Option("--decoded", help="With --raw: undo the content-encoding.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Show one call: its messages, tools, answer and timings."""
    if decoded and not raw:
        raise typer.BadParameter("--decoded is for --raw request or --raw response")
    loaded = settings.load(config, data_dir=data_dir, project=project)
    if raw:
        calls.write_body(loaded, call_id, request=raw is RawBody.REQUEST, decoded=decoded)
    else:
        calls.show(loaded, call_id, as_json=as_json)


@command("shalt why 019a3c7e5f107d3c8a12b0c4d5e6f708", "shalt why 019a3c7e5f10 --json")
def why(
    call_id: CallId,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Say what became of a call: stored, on its way, dropped and why, erased, or unknown.

    The id is in the answer's header x-shalt-call-id. Exit code 2 where nobody knows it.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    raise typer.Exit(explaining.why(loaded, call_id, as_json=as_json))


@command("shalt tail", "shalt tail -n 0 --where \"outcome <> 'complete'\" --json")
def tail(
    where: Where = None,
    number: Annotated[
        int,
        typer.Option("-n", metavar="N", min=0, max=LIST_MAX, help="Calls to begin with."),
    ] = 10,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Print calls as they come to be stored, until Ctrl-C.

    A call is stored when its answer has ended. Imported calls of the past are not shown.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    tailing.tail(loaded, where=where, number=number, as_json=as_json)


@command(
    'shalt query "SELECT request_model, count(*), sum(cost_usd) FROM calls GROUP BY ALL"',
    "shalt query \"SELECT tags['app'] AS app, quantile_cont(duration_ms, 0.95) FROM calls "
    'GROUP BY app" --csv',
    'shalt query "SELECT avg(turn_count) FROM calls JOIN features ON call_id = id" --json',
)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A SELECT of DuckDB's SQL.")],
    where: Where = None,
    all_projects: Annotated[
        bool, typer.Option("--all-projects", help="Calls of all projects, not of one.")
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Ask DuckDB over the columns of the store; nothing is changed.

    Tables: calls (the columns of --where, started_at in UTC, and the MAP tags), features
    (call_id, and what drift is measured on), text_features, tool_sets, scores and labels. With
    --where fewer calls are read to begin with.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    loaded = settings.load(config, data_dir=data_dir, project=project)
    querying.query(
        loaded,
        sql,
        where=where,
        all_projects=all_projects,
        form="json" if as_json else "csv" if as_csv else "table",
    )
