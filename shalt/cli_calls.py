"""Commands that look at calls: ls, show."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import LIST_MAX, AsJson, Config, DataDir, Later, Project, Where, command

if TYPE_CHECKING:
    from shalt import calls, settings
else:
    calls = Later("shalt.calls")
    settings = Later("shalt.settings")


class RawBody(StrEnum):
    """Which body of a call to write."""

    REQUEST = "request"
    RESPONSE = "response"


@command(
    "shalt ls --limit 5",
    "shalt ls --where \"outcome <> 'complete' and tags['app'] = 'support'\"",
    "shalt ls --json | jq .request_model",
)
def ls(
    where: Where = None,
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
    calls.ls(loaded, where=where, limit=limit, as_json=as_json)


@command(
    "shalt show 019a3c7e5f107d3c8a12b0c4d5e6f708",
    "shalt show 019a3c7e5f107d3c8a12b0c4d5e6f708 --raw response --decoded | jq .usage",
)
def show(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a call, 32 hex characters.")],
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
