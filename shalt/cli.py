"""The command line: what can be said, and what it means. The doing is in the modules named below.

They are loaded when a command first touches them: `--help` does not wait for the statistics, nor
`shalt serve` for the database.

An error that one of our packages names is printed as one message on standard error, exit code 2;
anything else is a fault of ours and shows its traceback. Ctrl-C is 130; a closed pipe is quiet.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from importlib import metadata

    from shalt import calls, drifting, exporting, recording, serving, settings, state
    from shalt import demo as demonstration
else:

    class _Later:
        """A module that is loaded when one of its names is first asked for.

        Not importlib's LazyLoader: its modules stand in sys.modules, and whatever walks through
        that (inspect does, for pydantic) loads them all at once.
        """

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> object:
            return getattr(importlib.import_module(self._name), attribute)

    calls = _Later("shalt.calls")
    demonstration = _Later("shalt.demo")
    drifting = _Later("shalt.drifting")
    exporting = _Later("shalt.exporting")
    metadata = _Later("importlib.metadata")
    recording = _Later("shalt.recording")
    serving = _Later("shalt.serving")
    settings = _Later("shalt.settings")
    state = _Later("shalt.state")

OUR_PACKAGES = ("shalt", "proxy", "storage", "exporters", "importers", "review")
EXIT_ERROR = 2
LIST_MAX = 10_000


class Format(StrEnum):
    """What a row of an export looks like."""

    OPENAI = "openai"


class Turns(StrEnum):
    """Which calls of a conversation become rows."""

    LEAF = "leaf"
    LAST = "last"
    CHAIN = "chain"


class RawBody(StrEnum):
    """Which body of a call to write."""

    REQUEST = "request"
    RESPONSE = "response"


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


def command(*examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a command whose help ends with examples."""
    lines = ["Examples:" if len(examples) > 1 else "Example:", *(f"  {line}" for line in examples)]
    return app.command(epilog="\b\n" + "\n".join(lines))


def main() -> None:
    """Run the command that the arguments name, and exit."""
    _refuse_strangers()
    try:
        app(prog_name="shalt")
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in OUR_PACKAGES:
            raise
        typer.echo(f"shalt: {error}", err=True)
        sys.exit(EXIT_ERROR)
    finally:
        _flush()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shalt {metadata.version('shalt')}")
        raise typer.Exit


@app.callback()
def _shalt(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Every command answers to --help, and takes its settings from shalt.toml and SHALT_*, too."""


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
    loaded = settings.load(
        config,
        host=host,
        port=port,
        data_dir=data_dir,
        upstream=upstream,
        workers=workers,
        project=project,
        insecure=insecure,
    )
    raise typer.Exit(serving.serve(loaded))


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


@command("shalt record")
def record(config: Config = None, data_dir: DataDir = None, project: Project = None) -> None:
    """Run the recorder alone: store what is in the spool.

    It goes on until SIGTERM. `shalt serve` runs one of its own; this is for a spool left behind.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    raise typer.Exit(recording.record_alone(loaded))


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


@command("shalt split", "shalt split --test-ratio 0.2")
def split(
    test_ratio: Annotated[
        float | None, typer.Option(metavar="R", min=0, max=1, help="Share of groups for test.")
    ] = None,
    val_ratio: Annotated[
        float | None,
        typer.Option(metavar="R", min=0, max=1, help="Share of groups for validation."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Show or change how the project's groups are divided.

    New ratios are for groups that have not been seen yet: a group stays on its side for ever.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    exporting.split(loaded, test_ratio=test_ratio, val_ratio=val_ratio, as_json=as_json)


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
            help="leaf: each conversation's longest call; last: every call, trained on its answer "
            "alone; chain: every call, on all its assistant messages."
        ),
    ] = Turns.LEAF,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Write train, val and test files, and a manifest.

    No group is in two of the files, and nothing is written unless all of it is.
    --where chooses for train and val. The test file always holds its whole side.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    exporting.export(loaded, directory, form=form.value, where=where, turns=turns.value)


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


def _refuse_strangers() -> None:
    """Say so if another package is found under one of our names: they are plain words."""
    home = Path(__file__).resolve().parent.parent
    for name in OUR_PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
        if found != home:
            typer.echo(
                f"shalt: the package {name} is taken from {found}, not from {home}: shalt is an "
                "application, install it in an environment of its own",
                err=True,
            )
            sys.exit(EXIT_ERROR)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; Python would complain at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
