"""The command that makes a dataset: export. What it can be asked for, in words."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shalt.arguments import Config, DataDir, Later, Project, Where, command

if TYPE_CHECKING:
    from shalt import exporting, settings
else:
    exporting = Later("shalt.exporting")
    settings = Later("shalt.settings")


class Format(StrEnum):
    """What a row of an export looks like."""

    OPENAI = "openai"
    OPENAI_DPO = "openai-dpo"
    TRL = "trl"
    TRL_MESSAGES = "trl-messages"
    TRL_DPO = "trl-dpo"
    AXOLOTL = "axolotl"
    SHAREGPT = "sharegpt"
    TOGETHER = "together"
    FIREWORKS = "fireworks"
    MISTRAL = "mistral"
    PROMPT_COMPLETION = "prompt-completion"
    TEXT_LABEL = "text-label"
    PARQUET = "parquet"


class Turns(StrEnum):
    """Which calls of a conversation become rows."""

    AUTO = "auto"
    LEAF = "leaf"
    LAST = "last"
    CHAIN = "chain"


class Images(StrEnum):
    """What becomes of images."""

    URL = "url"
    INLINE = "inline"
    STRIP = "strip"


class Tools(StrEnum):
    """What becomes of recorded tools that are not the current ones."""

    KEEP = "keep"
    FLAG = "flag"
    UPGRADE = "upgrade"
    DROP = "drop"


class Method(StrEnum):
    """How a model is fine-tuned."""

    LORA = "lora"
    QLORA = "qlora"
    DORA = "dora"
    FULL = "full"


Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Directory to make; it must not exist, or be empty.")
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="What reads the rows; docs/export_formats.md.")
]
TurnsOption = Annotated[
    Turns,
    typer.Option(
        help="auto: a row for each conversation as far as it was linear; leaf: each branch's "
        "longest call; last: every call, trained on its answer alone; chain: an agent's run, "
        "with all answers as received."
    ),
]
ImagesOption = Annotated[
    Images | None, typer.Option(help="url: as sent; inline: data alone; strip: rows without.")
]
LabelField = Annotated[
    str, typer.Option(metavar="FIELD", help="text-label: the field of a JSON answer to take.")
]
Labels = Annotated[
    str,
    typer.Option(metavar="POLICY", help="Whose answers, the best first; human > … > original."),
]
Regenerations = Annotated[
    bool, typer.Option("--regenerations", help="Pairs of answers that were asked for again, too.")
]
ToolsOption = Annotated[
    Tools,
    typer.Option(
        help="keep: as recorded; flag: and say how they differ from --current; upgrade: take "
        "those where the recorded calls fit them; drop: leave out what breaks."
    ),
]
Current = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The tools offered now: JSON of any dialect.")
]
TimeHoldout = Annotated[
    str, typer.Option(metavar="FROM..TO", help="Keep what began then for a test set of its own.")
]
AcceptBias = Annotated[
    str, typer.Option(metavar="WHY", help="Let --where change what the data is like, and say why.")
]
DropContaminated = Annotated[
    bool,
    typer.Option("--drop-contaminated", help="Leave out rows that give away rows held out."),
]
MaxDuplicates = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Of equal rows of train, keep so many.")
]
Subsets = Annotated[
    str, typer.Option(metavar="PERCENTS", help="Nested subsets of train: 12.5,25,50,100.")
]
MethodOption = Annotated[
    Method, typer.Option(help="What the configs beside axolotl, sharegpt and trl rows say.")
]
Processes = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=64, help="Processes that read; else one a core."),
]


@command(
    "shalt export dataset",
    "shalt export dataset --where \"request_model like 'gpt-4o%'\" --turns last",
    "shalt export dataset --format trl --subsets 12.5,25,50,100",
    "shalt export dataset --tools upgrade --current tools.json",
)
def export(
    directory: Directory,
    form: FormatOption = Format.OPENAI,
    where: Where = None,
    turns: TurnsOption = Turns.AUTO,
    images: ImagesOption = None,
    label_field: LabelField = "",
    labels: Labels = "",
    regenerations: Regenerations = False,
    tools: ToolsOption = Tools.KEEP,
    current: Current = None,
    time_holdout: TimeHoldout = "",
    accept_bias: AcceptBias = "",
    drop_contaminated: DropContaminated = False,
    max_duplicates: MaxDuplicates = None,
    subsets: Subsets = "",
    method: MethodOption = Method.LORA,
    processes: Processes = None,
    config: Config = None,
    data_dir: DataDir = None,
    project: Project = None,
) -> None:
    """Write train, val and test files, a manifest that proves them, and a card to read.

    Nothing is trained on that is held out, and nothing is written unless all of it is.
    --where chooses for train and val. What is held out is always whole.
    """
    loaded = settings.load(config, data_dir=data_dir, project=project)
    request = exporting.ask(
        loaded.project,
        current=current,
        subsets=subsets,
        format=form.value,
        where=where,
        turns=turns.value,
        images=images.value if images else None,
        label_field=label_field,
        labels=labels or None,
        regenerations=regenerations,
        tools=tools.value,
        time_holdout=time_holdout,
        accept_bias=accept_bias,
        drop_contaminated=drop_contaminated,
        max_duplicates=max_duplicates,
        method=method.value,
    )
    exporting.export(loaded, request, directory, processes=processes)
