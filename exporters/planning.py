"""What is decided before the first row is written.

The plan of a run is what all its rows have in common (exporters.group_rows.RowPlan), the ranges of
groups that segments take, and what the manifest says of them all: which groups are withheld, what
the filter does to the training data. A filter that changes what the data is like stops here.

Cost: three scans of the project's calls in the order of their ids, in which they lie: for their
number, for the first and the last of them, for the samples of both sides; three of an index for
the groups; with a filter what exporters.selection_report says; and one call of each of 10,000
groups with its body, from which the text that prompts share is learnt (exporters.templates). All of
it but the filter is looked at by all processes of a run at once (exporters.pool).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from exporters.group_rows import RowPlan
from exporters.parts import Parts
from exporters.pool import Here, Looker, Pending
from exporters.reference import Choices, Samples, beginning, choose, samples_of, unmeasured
from exporters.request import (
    ExportError,
    ExportRequest,
    label_policy,
    shape_of,
    time_range,
)
from exporters.segment import SEGMENT_CALLS
from exporters.selection_report import SelectionReport, selection_report
from exporters.templates import Prompt, Templates, TemplateSample, prompt_of
from storage.bodies import BodyReader
from storage.derive import derive
from storage.filters import compile_filter
from storage.grouped import (
    GroupRange,
    ProjectSize,
    group_firsts,
    group_ids,
    group_ranges,
    has_labels,
    size_of,
)
from storage.id_range import IdRange
from storage.measured import id_ranges
from storage.reader import PAGE_ROWS, StoreReader
from storage.reservation import Policy
from storage.withheld import TargetedSet

SENTENCES_SHOWN: Final = 3  # of a bias: the worst come first, the others say the same again
# Samples are drawn of so many ranges of ids at the same time: each may choose as many calls as are
# wanted of all, and they come through a pipe.
SPANS_MAX: Final = 8


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


def make_plan(reader: StoreReader, request: ExportRequest, looker: Looker | None = None) -> Plan:
    """Plan an export of one state of the store; `looker`: who else looks at that state.

    Raises ExportError where there is nothing to export, FilterError for a bad filter, BiasError
    where the filter is one that needs a reason.
    """
    project, looker = request.project, looker or Here(reader)
    policy = reader.policy(project)
    if policy is None:
        raise ExportError(f"project {project!r} has no calls to export")
    selection = None
    if request.where is not None:
        compile_filter(request.where)
        selection = selection_report(reader, project, request.where)
        _refuse_nothing(selection)
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
    sizes = looker.begin(partial(size_of, project=project))
    cut = looker.begin(partial(group_ranges, project=project, calls=SEGMENT_CALLS))
    began = looker.begin(partial(beginning, project=project, where=request.where))
    size, ranges = sizes.result(), cut.result()
    calls_each = max(-(-size.calls // SPANS_MAX), SEGMENT_CALLS)
    spans = looker.begin(partial(_spans, project=project, calls=calls_each))
    begins = began.result()
    draw = partial(_begin_draw, looker, project, request.where, parts, spans.result())
    drawn = draw(begins)
    looks = [
        looker.begin(partial(_prompts, project=project, group_count=size.groups, among=among))
        for among in ranges
    ]
    samples = samples_of(_all(drawn), begins, lambda: _all(draw(0)))
    to_measure = [
        looker.begin(partial(unmeasured, call_ids=sample.call_ids)) for sample in samples.values()
    ]
    templates = learn(size.groups, (look.result() for look in looks))
    return Plan(
        policy=policy,
        size=size,
        ranges=ranges,
        rows=RowPlan(
            request=request,
            policy=policy,
            parts=parts,
            labels=label_policy(request),
            has_labels=has_labels(reader),
            shape=shape_of(request),
            templates=templates,
            unmeasured=frozenset[str]().union(*(look.result() for look in to_measure)),
        ),
        samples=samples,
        targeted=targeted,
        selection=selection,
    )


def _refuse_nothing(selection: SelectionReport) -> None:
    kept = next(step.calls for step in selection.funnel if step.name == "matching")
    if not kept:
        raise ExportError(
            f"no conversation on the sides train and val matches {selection.where}: look with "
            "`shalt ls --where`. Nothing was published"
        )


def _refuse_bias(selection: SelectionReport, accepted: str) -> None:
    if selection.biased and not accepted:
        biased_count = sum(each.biased for each in selection.slices)
        biased_count += sum(each.biased for each in selection.differences)
        more = biased_count - SENTENCES_SHOWN
        raise BiasError(
            "the filter changes what the training data is like:\n"
            + "".join(f"  {sentence}\n" for sentence in selection.biased[:SENTENCES_SHOWN])
            + (f"  and {more:,} more\n" if more > 0 else "")
            + "Nothing was published. If that is what you want, say why: --accept-bias "
            '"…"; the report is printed then, and kept with the dataset'
        )


def _begin_draw(
    looker: Looker,
    project: str,
    where: str | None,
    parts: Parts,
    spans: Sequence[IdRange],
    begins: int,
) -> Sequence[Pending[Choices]]:
    """Have calls chosen for the samples, of all groups or those that began in time."""
    among_all = partial(choose, project=project, where=where, parts=parts, begins=begins)
    return [looker.begin(partial(among_all, ids=span)) for span in spans]


def _all(drawn: Sequence[Pending[Choices]]) -> Sequence[Choices]:
    return [each.result() for each in drawn]


def _spans(reader: StoreReader, project: str, calls: int) -> Sequence[IdRange]:
    with reader.reading() as connection:
        return id_ranges(connection, project, calls)


def learn(group_count: int, prompts: Iterable[Sequence[Prompt]]) -> Templates:
    """Learn the text that prompts share; they come in the order of their groups. Pure."""
    sample = TemplateSample(group_count)
    for some in prompts:
        for prompt in some:
            sample.count(prompt)
    return sample.templates()


def _prompts(
    reader: StoreReader, project: str, group_count: int, among: GroupRange
) -> Sequence[Prompt]:
    """Read the first call of each group of a range that is in the sample."""
    sample = TemplateSample(group_count)
    chosen = [each for each in group_ids(reader, project, among) if sample.wants(each)]
    wanted = [first for _, first in group_firsts(reader, project, chosen)]
    prompts: list[Prompt] = []
    with reader.reading() as connection:
        for start in range(0, len(wanted), PAGE_ROWS):
            bodies = BodyReader(connection)  # remembers 32 MB, and first calls are no others' base
            for _, capture in bodies.captures(wanted[start : start + PAGE_ROWS]):
                prompts.append(prompt_of(derive(capture, with_context=False).understood.messages))
    return prompts
