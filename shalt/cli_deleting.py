"""Commands that delete: erase, retain."""

from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Project, Where, command

if TYPE_CHECKING:
    from shalt import erasing, selecting, settings
else:
    erasing = Later("shalt.erasing")
    selecting = Later("shalt.selecting")
    settings = Later("shalt.settings")


@command(
    "shalt erase --user alice@example.com --wait",
    "shalt erase --id 019a3c7e5f107d3c8a12b0c4d5e6f708 --yes",
    "shalt erase --from 2026-10-01 --to 2026-10-02 --dry-run",
    "shalt erase --receipt 019a3c7e5f107d3c8a12b0c4d5e6f708",
)
def erase(
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="This call, by its id or its first 8 characters or more; may be repeated.",
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="TEXT", help="All calls of this user id.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="TEXT", help="All calls of this session.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE", help="All calls with this tag.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Calls from this time on, UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Calls before this time, UTC.")
    ] = None,
    where: Where = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept with the receipt: a ticket's number, say.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the last byte within reach is gone.")
    ] = False,
    receipt: Annotated[
        str | None, typer.Option(metavar="ID", help="Show the receipt of this erasure instead.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Forget calls: unreadable at once, then deleted, then their bytes overwritten."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    if receipt is not None:
        erasing.show_receipt(loaded, receipt, as_json=as_json)
        return
    selection = selecting.select(
        ids=ids or (),
        user=user,
        session=session,
        tag=tag,
        since=since,
        until=until,
        where=where,
    )
    erasing.erase(
        loaded,
        selection,
        reason=reason,
        yes=yes,
        dry_run=dry_run,
        wait=wait,
        as_json=as_json,
    )


@command("shalt retain", "shalt retain --now")
def retain(
    now: Annotated[
        bool, typer.Option("--now", help="Delete what is too old, without waiting for shalt to.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Show how long bodies and calls are kept, and what is older than that."""
    loaded = settings.load(config, data_dir=data_dir)
    erasing.retain(loaded, now=now, as_json=as_json)
