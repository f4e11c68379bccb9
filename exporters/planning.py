"""What is decided before the first row is written.

The plan of a run is what all its rows have in common (exporters.group_rows.RowPlan), the ranges of
groups that segments take, and what the manifest says of them all: which groups are withheld, what
the filter does to the training data. A filter that changes what the data is like stops here.

Cost: a scan of the project's calls for their number, one for the groups; with a filter what
exporters.selection_report says; and one call of each of 10,000 groups with its body, from which the
text that prompts share is learnt (exporters.templates).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exporters.group_rows import RowPlan
from exporters.parts import Parts
from exporters.reference import Samples, draw, unmeasured
from exporters.request import (
    ExportError,
    ExportRequest,
    label_policy,
    shape_of,
    time_range,
)
from exporters.segment import SEGMENT_CALLS
from exporters.selection_report import SelectionReport, selection_report
from exporters.templates import Templates, TemplateSample
from storage.bodies import BodyReader
from storage.derive import derive
from storage.filters import compile_filter
from storage.grouped import (
    GroupRange,
    ProjectSize,
    group_firsts,
    group_ranges,
    has_labels,
    size_of,
)
from storage.reader import PAGE_ROWS, StoreReader
from storage.reservation import Policy
from storage.withheld import TargetedSet


class BiasError(Exception):
    """A filter changes what the training data is like. Nothing was published."""


@dataclass(frozen=True)
class Plan:
    """A run before it begins. `ranges` hold every call of the project once."""

    policy: Policy
    size: ProjectSize
    ranges: Sequence[GroupRange]
    rows: RowPlan
    samples: Samples
    targeted: Sequence[TargetedSet]
    selection: SelectionReport | None


def make_plan(reader: StoreReader, request: ExportRequest) -> Plan:
    """Plan an export of one state of the store.

    Raises ExportError where there is nothing to export, FilterError for a bad filter, BiasError
    where the filter is one that needs a reason.
    """
    project = request.project
    policy = reader.policy(project)
    if policy is None:
        raise ExportError(f"project {project!r} has no calls to export")
    selection = None
    if request.where is not None:
        compile_filter(request.where)
        selection = selection_report(reader, project, request.where)
        _refuse_bias(selection, request.accept_bias)
    targeted = reader.test_sets(project)
    held_out = time_range(request)
    parts = Parts(
        withheld=reader.withheld(project, held_out),
        targeted={
            each.name: frozenset(reader.test_set_calls(project, each.name)) for each in targeted
        },
        has_time_holdout=held_out is not None,
    )
    size = size_of(reader, project)
    samples = draw(reader, project, request.where, parts)
    return Plan(
        policy=policy,
        size=size,
        ranges=group_ranges(reader, project, SEGMENT_CALLS),
        rows=RowPlan(
            request=request,
            policy=policy,
            parts=parts,
            labels=label_policy(request),
            has_labels=has_labels(reader),
            shape=shape_of(request),
            templates=learn(reader, project, size.groups),
            unmeasured=unmeasured(reader, samples),
        ),
        samples=samples,
        targeted=targeted,
        selection=selection,
    )


def _refuse_bias(selection: SelectionReport, accepted: str) -> None:
    if selection.biased and not accepted:
        raise BiasError(
            "the filter changes what the training data is like:\n"
            + "".join(f"  {sentence}\n" for sentence in selection.biased)
            + 'If that is what you want, say why: --accept-bias "…". Nothing was published'
        )


def learn(reader: StoreReader, project: str, group_count: int) -> Templates:
    """Learn the text that prompts share, from the first call of some groups."""
    sample = TemplateSample(group_count)
    wanted = [first for group_id, first in group_firsts(reader, project) if sample.wants(group_id)]
    with reader.reading() as connection:
        for start in range(0, len(wanted), PAGE_ROWS):
            bodies = BodyReader(connection)  # remembers 32 MB, and first calls are no others' base
            for _, capture in bodies.captures(wanted[start : start + PAGE_ROWS]):
                sample.add(derive(capture).understood.messages)
    return sample.templates()
