"""What is asked of an export, whether on the command line or over HTTP.

An ExportRequest says everything that decides which bytes are written, and nothing of how: the same
request and the same state of the store give the same files.
"""

from typing import Final

import msgspec

from exporters.formats import FORMATS, Shape, refusal_of_shape
from exporters.images import Images
from exporters.labelling import DEFAULT_POLICY, LabelPolicy, LabelPolicyError
from exporters.periods import Between, parse_range
from exporters.selection import Turns
from exporters.tool_files import ToolsError, read_tools
from exporters.toolsets import ToolMode, ToolPolicy
from exporters.trainers import Method
from exporters.windows import WindowError
from storage.filters import compile_filter

SUBSETS_MAX: Final = 16
REASON_CHARS_MAX: Final = 1_000


class ExportError(Exception):
    """An export cannot be made as asked; the message says why and what to do."""


class ExportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset that is wanted.

    `where` acts on train and val; what is held out is exported whole. `labels` is a label policy
    (exporters.labelling), `time_holdout` FROM..TO in UTC, `accept_bias` the reason why a filter may
    pass although it changes what the data is like. `subsets` are percents of the groups of train.
    `tools` is what becomes of recorded tools that are not the current ones, and `current_tools` the
    text of a file of those (exporters.tool_files).
    `regenerations`: pairs are made of answers that somebody asked for again, too. `method` is what
    the trainers' configs say.
    """

    project: str = "default"
    format: str = "openai"
    where: str | None = None
    turns: Turns = Turns.AUTO
    tools: ToolMode = ToolMode.KEEP
    current_tools: str = ""
    images: Images | None = None
    label_field: str = ""
    labels: str = DEFAULT_POLICY
    time_holdout: str = ""
    max_duplicates: int | None = None
    accept_bias: str = ""
    drop_contaminated: bool = False
    regenerations: bool = False
    subsets: tuple[float, ...] = ()
    method: Method = Method.LORA


def check_request(request: ExportRequest) -> None:
    """Raise ExportError for what can be seen to be impossible without the store, FilterError for a
    filter that is none."""
    if request.where is not None:
        compile_filter(request.where)
    if request.format not in FORMATS:
        raise ExportError(
            f"there is no format {request.format!r}: choose one of {', '.join(FORMATS)}"
        )
    if refusal := refusal_of_shape(request.format, shape_of(request)):
        raise ExportError(refusal)
    label_policy(request)
    time_range(request)
    tool_policy(request)
    if request.max_duplicates is not None and request.max_duplicates < 1:
        raise ExportError("a maximum of no duplicates would leave out every row: write 1 or more")
    if len(request.accept_bias) > REASON_CHARS_MAX:
        raise ExportError(f"the reason is longer than {REASON_CHARS_MAX} characters")
    if not all(0 < percent <= 100 for percent in request.subsets):
        raise ExportError("subsets are percents of the training data: write numbers from 0 to 100")
    if len(set(request.subsets)) != len(request.subsets) or len(request.subsets) > SUBSETS_MAX:
        raise ExportError(f"write each subset once, {SUBSETS_MAX} at most")


def shape_of(request: ExportRequest) -> Shape:
    """Say how the rows are asked for."""
    return Shape(request.images, request.turns is Turns.LAST, request.label_field)


def label_policy(request: ExportRequest) -> LabelPolicy:
    """Read the label policy; raise ExportError where it is none."""
    try:
        return LabelPolicy.parse(request.labels)
    except LabelPolicyError as error:
        raise ExportError(str(error)) from None


def tool_policy(request: ExportRequest) -> ToolPolicy:
    """Read the current tools; raise ExportError where they are none, or missing."""
    if bool(request.current_tools) is (request.tools is ToolMode.KEEP):
        raise ExportError(
            "current tools are given, but nothing is to be compared with them: choose flag, "
            "upgrade or drop"
            if request.current_tools
            else f"to {request.tools} recorded tools, the current ones must be known: give a file "
            "of them (--current tools.json)"
        )
    try:
        current = read_tools(request.current_tools.encode()) if request.current_tools else ()
    except ToolsError as error:
        raise ExportError(f"the current tools cannot be used: {error}") from None
    return ToolPolicy(request.tools, current)


def time_range(request: ExportRequest) -> Between | None:
    """Read the time that is held out, None where none is; raise ExportError where it is none."""
    if not request.time_holdout:
        return None
    try:
        found = parse_range(request.time_holdout)
    except WindowError as error:
        raise ExportError(str(error)) from None
    if found is None:
        raise ExportError(
            f"{request.time_holdout!r} is no range of time: write FROM..TO in UTC, such as "
            "2026-10-01..2026-11-01 or 2026-10-01.."
        )
    return found
