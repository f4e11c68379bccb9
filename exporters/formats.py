"""The formats of an export, by name. What a format is: exporters.row_shape.

    openai             chat messages, for most trainers and hosts        exporters.chat_rows
    together           the same for together 2.14.0's check
    fireworks          the same with reasoning
    axolotl            the same for `type: chat_template`
    mistral            the same by mistral-common's rules                exporters.mistral_rows
    trl                prompt and completion, arguments as objects       exporters.trl_rows
    trl-messages       messages, arguments as objects
    openai-dpo         preference pairs; Together and Fireworks, too     exporters.preference_rows
    trl-dpo            preference pairs
    sharegpt           LLaMA-Factory                                     exporters.sharegpt_rows
    prompt-completion  two texts                                         exporters.text_rows
    text-label         a text and its class
    parquet            typed columns                                     exporters.parquet_rows

What no row of a format can hold keeps a call out, under a `Reason`; what rows merely go without is
a `LeftOut`. Both are listed call by call beside the rows.
"""

from pathlib import Path

from exporters.chat_rows import AXOLOTL, FIREWORKS, OPENAI, TOGETHER, chat_format
from exporters.images import Images
from exporters.mistral_rows import MISTRAL_FORMAT
from exporters.parquet_files import ParquetRows
from exporters.parquet_rows import PARQUET_FORMAT
from exporters.preference_rows import OPENAI_DPO_FORMAT, TRL_DPO_FORMAT
from exporters.row_shape import Format, LeftOut, Shape
from exporters.sharegpt_rows import SHAREGPT_FORMAT
from exporters.staging import Lines
from exporters.text_rows import PROMPT_COMPLETION_FORMAT, TEXT_LABEL_FORMAT
from exporters.trl_rows import TRL_FORMAT, TRL_MESSAGES_FORMAT

__all__ = ["FORMATS", "Format", "LeftOut", "Shape", "new_rows", "refusal_of_shape"]

FORMATS = {
    format.name: format
    for format in (
        chat_format("openai", OPENAI),
        OPENAI_DPO_FORMAT,
        TRL_FORMAT,
        TRL_MESSAGES_FORMAT,
        TRL_DPO_FORMAT,
        chat_format("axolotl", AXOLOTL),
        SHAREGPT_FORMAT,
        chat_format("together", TOGETHER),
        chat_format("fireworks", FIREWORKS),
        MISTRAL_FORMAT,
        PROMPT_COMPLETION_FORMAT,
        TEXT_LABEL_FORMAT,
        PARQUET_FORMAT,
    )
}


def refusal_of_shape(name: str, shape: Shape) -> str:
    """Say in a sentence why a format cannot be asked for in a shape; empty if it can."""
    allowed = (*FORMATS[name].images, Images.STRIP)
    if shape.images and shape.images not in allowed:
        return (
            f"{name} rows cannot have images as {shape.images.value}: "
            f"choose {' or '.join(mode.value for mode in allowed)}"
        )
    if shape.label_field and name != "text-label":
        return f"{name} rows have no label to take from a field: choose --format text-label"
    return ""


def new_rows(path: Path) -> Lines | ParquetRows:
    """Open a new file of rows, which come as lines of JSON whatever becomes of them."""
    return ParquetRows(path) if path.suffix == ".parquet" else Lines(path)
