"""Commands that run shalt, or say how it runs: serve, reload, demo, record, status, config."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import AsJson, Config, DataDir, Later, Port, Project, command

if TYPE_CHECKING:
    from shalt import demo as demonstration
    from shalt import recording, serving, settings, state
    from storage import counted
else:
    counted = Later("storage.counted")
    demonstration = Later("shalt.demo")
    recording = Later("shalt.recording")
    serving = Later("shalt.serving")
    settings = Later("shalt.settings")
    state = Later("shalt.state")


@command(
    "shalt serve",
    "shalt serve --port 8500 --upstream http://127.0.0.1:8000/v1",
)
def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on; 127.0.0.1.")
    ] = None,
    port: Port = None,
    data_dir: DataDir = None,
    upstream: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where /v1/* goes; https://api.openai.com/v1."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Relaying processes, one a core; 1.")
    ] = None,
    config: Config = None,
    project: Project = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Allow an address others can reach, without access keys."),
    ] = None,
) -> None:
    """Relay calls to the upstream, byte for byte, and record them.

    Point the application at it: OpenAI(base_url="http://127.0.0.1:8400/v1"). SIGTERM and Ctrl-C
    let the calls in flight end, store what was accepted, and exit 0.
    """
    read = partial(
        settings.load,
        config,
        host=host,
        port=port,
        data_dir=data_dir,
        upstream=upstream,
        workers=workers,
        project=project,
        insecure=insecure,
    )
    raise typer.Exit(serving.serve(read(), read))


@command("shalt reload", "shalt reload --data-dir /var/lib/shalt")
def reload(config: Config = None, data_dir: DataDir = None, project: Project = None) -> None:
    """Let a running shalt read its configuration again, without dropping a call.

    It reads the file, variables and options that it was started with, as on SIGHUP. Exit code 1
    or 2, and nothing has changed, where they are wrong.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    raise typer.Exit(serving.reload(loaded))


@command("shalt demo", "shalt ls --data-dir shalt-demo")
def demo(
    port: Annotated[int, typer.Option(metavar="PORT", help="TCP port to listen on.")] = 8400,
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Directory of spool and store, of the demo alone.")
    ] = Path("shalt-demo"),
    once: Annotated[
        bool, typer.Option("--once", help="Exit when the sample traffic is stored.")
    ] = False,
) -> None:
    """Look around without a key, with sample traffic.

    A built-in upstream answers; what is recorded lies in a data directory of its own.
    """
    raise typer.Exit(demonstration.run(port, data_dir, once=once))


@command("shalt record", "shalt record --retry-poison")
def record(
    poison: Annotated[
        bool,
        typer.Option("--retry-poison", help="Try calls that could not be stored again, and exit."),
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Run the recorder alone: store what is in the spool.

    It goes on until SIGTERM. `shalt serve` runs one of its own; this is for a spool left behind.
    With --retry-poison, for after an upgrade: exit code 1 where some still cannot be stored.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    if not poison:
        raise typer.Exit(recording.record_alone(loaded))
    stored, left = recording.retry_poison(loaded)
    typer.echo(f"stored {counted.counted(stored, 'call')}; {left:,} still cannot be stored")
    raise typer.Exit(1 if left else 0)


@command("shalt status", "shalt status --json | jq .ledger")
def status(
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Show the ledger, the spool, the store and the sides.

    The ledger says what became of every call that was accepted; it always adds up.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    state.status(loaded, as_json=as_json)


@command("shalt config", "SHALT_PORT=8500 shalt config")
def config(
    as_json: AsJson = False,
    file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="TOML file with settings.")
    ] = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Print every setting, its value, source and meaning."""
    loaded = settings.load(file, data_dir=data_dir, project=project)
    serving.show_settings(loaded, as_json=as_json)
