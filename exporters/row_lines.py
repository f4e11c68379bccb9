"""The lists beside the rows of a dataset: where each row is from, and which calls are none.

What writes them (exporters.scratch) is loaded by every process of an export, so what only the
manifest needs is not here.
"""

import msgspec

from exporters.row_shape import LeftOut
from exporters.selection import Reason

IDS_FILE = "ids.jsonl"
NEEDS_LABEL_FILE = "needs_label.jsonl"
UNFIT_FILE = "unfit.jsonl"


class IdLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of `ids.jsonl`.

    `answer`, `label`: whose answer it is, and the label's id, where it is not the recorded one.
    `pair`: why the answer is preferred to the other, where rows are pairs (exporters.pairs).
    `regenerated_from`, `edited_from`: the call whose question was asked again, or rewritten.
    `left_out`: what the row goes without. `synthetic`: nobody made this call.
    `tools`: how its recorded tools differ from the current ones (exporters.tool_changes), where
    those were given; `tools_kept`: why they were not upgraded.

    For exporters.verify. `selected`: whether the row's group counts where sides are counted: the
    filter matches one of the row's calls, held out or not, which would be a row without its label,
    for people label one side more than another; and the group is in no targeted set. `partly`: it
    does, and not all of its calls match, or its own is here by its label: so what the filter would
    have made of it is another row, and it is not compared with rows of train. `moved`: why its
    group is not on the side of its `u`, in the ledger's word. `model`: that was asked for; `day`:
    the UTC date of the call.
    """

    file: str
    row: int
    call: str
    group: str
    continued: tuple[str, ...] = ()
    answer: str = ""
    label: str = ""
    pair: str = ""
    regenerated_from: str = ""
    edited_from: str = ""
    left_out: tuple[LeftOut, ...] = ()
    synthetic: bool = False
    tools: str = ""
    tools_kept: str = ""
    selected: bool = True
    partly: bool = False
    moved: str = ""
    model: str = ""
    day: str = ""


class Leaving(msgspec.Struct, frozen=True):
    """What a line of `ids.jsonl` says of who leaves and where: read in a third of the time."""

    file: str
    call: str
    group: str
    continued: tuple[str, ...] = ()


class CallLine(msgspec.Struct, frozen=True):
    """A line of `needs_label.jsonl` and of `unfit.jsonl`."""

    call: str
    group: str
    part: str
    reason: Reason


def file_of(part: str, suffix: str) -> str:
    """Name the file of a part (exporters.parts) whose rows have a suffix."""
    return f"{part}.{suffix}"
