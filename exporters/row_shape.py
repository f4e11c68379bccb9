"""What a format is, how its rows may be asked for, and what they may leave out.

    unfit       why a call cannot be a row of the format, None if it can: it is left out and counted
    unfit_row   the same of an example, once its turns and tools are known; None for most formats
    row         the row, one line of JSON without its line end; total for what is not unfit
    left_out    what the example has and its row has not, by name: nothing is dropped silently

Rows are UTF-8 as it is, in every script, with keys in one order: the same call gives the same
bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from exporters.images import Images, image_parts, parts_of
from exporters.selection import Example, Reason
from storage.trace import Json, Message, Understood


class LeftOut(StrEnum):
    """What the example has and the row has not."""

    REASONING = "reasoning"
    OTHER_CHOICES = "other_choices"  # the second answer and those after it
    DETAILS = "details"  # cache marks, citations, signatures, ids of items
    IMAGES = "images"  # `--images strip`
    ROLE_DEVELOPER = "role_developer"  # written as system
    NAMES = "names"  # who speaks, within a role
    REFUSAL = "refusal"  # written as the text it is
    TEXT_PARTS = "text_parts"  # where one piece of a text ended and the next began; joined
    PARALLEL_SETTING = "parallel_setting"  # whether several tool calls at once were allowed
    TOOLS = "tools"  # tools that were offered, and not called
    SYSTEM = "system"  # what the system message says
    DECIMALS = (
        "decimals"  # nothing, but `datasets` may read a number as another: exporters.trl_rows
    )
    EARLIER_ANSWERS = "earlier_answers"  # to be trained, but before one that is not: only read


@dataclass(frozen=True)
class Shape:
    """How the rows of an export are asked for.

    `images` None: as the format has it if nothing is asked for. `last_only`: of every row the last
    answer alone is trained (`--turns last`), which some trainers can be told for a whole file.
    `label_field`: for `text-label`, the field of a JSON answer that is the label.
    """

    images: Images | None = None
    last_only: bool = False
    label_field: str = ""


PLAIN = Shape()


class Unfit(Protocol):
    """Say why a call cannot be a row."""

    def __call__(self, understood: Understood, shape: Shape = PLAIN) -> Reason | None: ...


class UnfitRow(Protocol):
    """Say why an example cannot be a row, although its call could."""

    def __call__(self, example: Example, shape: Shape = PLAIN) -> Reason | None: ...


class Row(Protocol):
    """Write an example as a line."""

    def __call__(self, example: Example, shape: Shape = PLAIN) -> bytes: ...


class ListLeftOut(Protocol):
    """Name what a row leaves out."""

    def __call__(self, example: Example, shape: Shape = PLAIN) -> frozenset[LeftOut]: ...


def always_fit(example: Example, shape: Shape = PLAIN) -> Reason | None:
    """Find nothing against any example."""
    return None


@dataclass(frozen=True)
class Format:
    """A format by name; what its functions do is in the module's docstring.

    `images`: what `--images` may be, the first if nothing is asked for; none: images keep a call
    out, unless they are stripped. `is_preference`: rows are pairs, made of examples with
    `rejected`. `suffix`: of its files; `parquet` rows are lines on the way to columns.
    """

    name: str
    unfit: Unfit
    row: Row
    left_out: ListLeftOut
    unfit_row: UnfitRow = always_fit
    images: tuple[Images, ...] = ()
    is_preference: bool = False
    suffix: str = "jsonl"


def conversation_of(understood: Understood) -> tuple[Message, ...]:
    """Return what an example of a call would say: its messages, and the first answer."""
    return understood.messages + tuple(choice.message for choice in understood.choices[:1])


def line(row: Json) -> bytes:
    """Write a row. Half a surrogate pair has no UTF-8: a row that holds one is written in ASCII."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":"), allow_nan=False).encode()


def left_out_always(example: Example, shape: Shape) -> set[LeftOut]:
    """Name what no row but Parquet's has a place for, and what was asked to be stripped."""
    left_out = set()
    if example.choice_count > 1:
        left_out.add(LeftOut.OTHER_CHOICES)
    if any(map(has_details, example.messages)):
        left_out.add(LeftOut.DETAILS)
    if shape.images is Images.STRIP and any(image_parts(example.messages)):
        left_out.add(LeftOut.IMAGES)
    return left_out


def has_details(message: Message) -> bool:
    """Say whether a message holds more than a row of it: an empty list or null is no more."""
    if message.extra is None and not message.tool_calls and isinstance(message.content, str):
        return False  # as nearly all are, at a tenth of the cost
    return (
        any((message.extra or {}).values())
        or any(part.raw for part in parts_of(message) if part.kind == "text")
        or any(call.raw for call in message.tool_calls)
    )


def text_parts(messages: Sequence[Message]) -> bool:
    """Say whether any message has its text in several pieces."""
    return any(sum(part.kind == "text" for part in parts_of(message)) > 1 for message in messages)
