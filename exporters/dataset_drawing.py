"""What a manifest counts and compares as charts and tables, drawn by a process of its own.

`draw` is what that process does, `draw_dataset` has it done (exporters.drawing). Slices and numbers
are those that the filter changed beyond chance: what is lost, and what changed most, first; a chart
names them by their place in the table. Nothing of what draws charts and knows the statistics is
imported here before it is needed. Cost: 1.5 s of CPU, 1.3 of them to load.

Limits: REASONS_SHOWN reasons, MOVED_SHOWN slices and numbers.
"""

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from exporters.drawing import answer_apart, draw_apart

if TYPE_CHECKING:
    from exporters.manifest import Manifest
    from exporters.selection_report import MeanDifference, SelectionReport, SliceShare

REASONS_SHOWN: Final = 15
MOVED_SHOWN: Final = 12
_STEPS: Final = {
    "calls": "calls",
    "conversations": "conversations",
    "matching": "match the filter",
    "complete": "complete",
}


class WantedDataset(msgspec.Struct, frozen=True):
    """What to draw: the bytes of a manifest."""

    manifest: bytes


class MovedSlice(msgspec.Struct, frozen=True):
    """A slice that the filter changed: its shares of all and of the kept calls, their ratio."""

    name: str
    before: float
    after: float
    lift: float


class MovedMean(msgspec.Struct, frozen=True):
    """A number that the filter changed: its means, and how many standard deviations apart."""

    name: str
    kept: float
    dropped: float
    apart: float


class DatasetDrawing(msgspec.Struct, frozen=True):
    """The charts as SVG, empty where there is nothing to draw, and the rows of two of them.

    `problem` says why there is none.
    """

    funnel: str = ""
    reasons: str = ""
    lifts: str = ""
    apart: str = ""
    slices: tuple[MovedSlice, ...] = ()
    means: tuple[MovedMean, ...] = ()
    problem: str = ""


def draw(wanted: WantedDataset) -> DatasetDrawing:
    """Draw the charts of a dataset in this process. Pure."""
    # A second of imports, which only the process that draws needs.
    from exporters.dataset_charts import apart_svg, counts_svg, lifts_svg  # noqa: PLC0415
    from exporters.manifest import Manifest  # noqa: PLC0415

    try:
        manifest = msgspec.json.decode(wanted.manifest, type=Manifest)
    except msgspec.MsgspecError:
        return DatasetDrawing(problem="it was written by another version of shalt")
    report = manifest.selection
    reasons = {name: count for name, count in _reasons(manifest).most_common(REASONS_SHOWN)}
    funnel = {} if report is None else {_STEPS[step.name]: step.calls for step in report.funnel}
    slices, differences = _moved(report) if report is not None else ([], [])
    return DatasetDrawing(
        funnel=counts_svg(funnel) if funnel else "",
        reasons=counts_svg(reasons) if reasons else "",
        lifts=lifts_svg([each.lift for each in slices]) if slices else "",
        apart=apart_svg([each.smd for each in differences]) if differences else "",
        slices=tuple(
            MovedSlice(f"{each.feature} {each.value}", each.before, each.after, each.lift.estimate)
            for each in slices
        ),
        means=tuple(
            MovedMean(each.unit, each.kept, each.dropped, each.smd.estimate) for each in differences
        ),
    )


def draw_dataset(wanted: WantedDataset) -> DatasetDrawing:
    """Draw them in a process of its own. Raise NotDrawn where that dies or takes too long."""
    return draw_apart("exporters.dataset_drawing", wanted, DatasetDrawing)


def _reasons(manifest: "Manifest") -> Counter[str]:
    """Count why calls are no row of their own, over all sides."""
    reasons: Counter[str] = Counter()
    for entry in manifest.sides.values():
        for reason, count in entry.reasons.items():
            reasons[reason.value.replace("_", " ")] += count
    return reasons


def _moved(report: "SelectionReport") -> tuple[list["SliceShare"], list["MeanDifference"]]:
    """Choose slices and numbers that changed beyond chance: what is lost, and what most, first."""
    from exporters.selection_report import ALPHA  # noqa: PLC0415

    slices = sorted(report.slices, key=lambda each: (not each.biased, each.lift.estimate))
    numbers = sorted(report.differences, key=lambda each: (not each.biased, -each.smd.bound))
    return (
        [each for each in slices if each.p_adjusted < ALPHA][:MOVED_SHOWN],
        [each for each in numbers if each.p_adjusted < ALPHA][:MOVED_SHOWN],
    )


if __name__ == "__main__":
    answer_apart(draw, WantedDataset)
