"""Commands that say something of calls: label, feedback."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import Config, DataDir, Later, Project, command
from shalt.cli_calls import CallId

if TYPE_CHECKING:
    from shalt import labelling, settings
    from storage import labels
else:
    labelling = Later("shalt.labelling")
    settings = Later("shalt.settings")
    labels = Later("storage.labels")

Author = Annotated[str, typer.Option(metavar="NAME", help="Who says so.")]


class Source(StrEnum):
    """Who made a corrected answer."""

    HUMAN = "human"
    MODEL = "model"
    IMPORT = "import"


@command(
    "shalt label 019a3c7e5f107d3c --text 'Paris is the capital.' --author ada",
    "shalt label 019a3c7e5f107d3c --json answer.json --source model",
    "shalt label 019a3c7e5f107d3c --accept 019a3c80 --note 'checked'",
)
def label(
    call_id: CallId,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The answer as a text.")] = None,
    json_path: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="A file with the answer as a chat message, in JSON."
        ),
    ] = None,
    accept: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Accept this label of the call.")
    ] = None,
    reject: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Reject this label of the call.")
    ] = None,
    source: Annotated[
        Source, typer.Option(help="Who wrote it: what a model wrote is a proposal.")
    ] = Source.HUMAN,
    author: Author = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever reads it.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Take calls of tools that were not offered.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Give a call a better answer, or judge one that was proposed. Nothing is changed: it is added.

    Works with a server or without. Which label an export takes is said by its label policy.
    """
    if sum(each is not None for each in (text, json_path, accept, reject)) != 1:
        raise typer.BadParameter("one of --text, --json, --accept and --reject")
    loaded = settings.load(config, data_dir=data_dir, project=project)
    if accept is not None or reject is not None:
        status = labels.Status.ACCEPTED if accept is not None else labels.Status.REJECTED
        label_id = accept if accept is not None else reject
        assert label_id is not None
        labelling.judge(loaded, call_id, label_id, status, note=note, author=author)
        return
    of = labels.LabelSource(source.value)
    correction = labelling.Correction(text, json_path, of, author, note, force)
    labelling.label(loaded, call_id, correction)


@command(
    "shalt feedback 019a3c7e5f107d3c thumbs true",
    "shalt feedback 019a3c7e5f107d3c quality 4 --comment 'a little long'",
    "shalt feedback --comment 'below zero goes behind --' -- 019a3c7e5f107d3c quality -4",
)
def feedback(
    call_id: CallId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What is judged, such as thumbs.")],
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="true, false, a number, or a text.")
    ],
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    author: Author = "",
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Score a call under a name; find calls by it with --where \"scores['quality'] >= 4\"."""
    loaded = settings.load(config, data_dir=data_dir, project=project)
    labelling.score(loaded, call_id, name, value, comment=comment, author=author)
