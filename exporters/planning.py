"""What is decided before the first row is written: from columns alone, in one pass or two.

The plan of a run is what all its segments have in common (exporters.segment.SegmentPlan), the
ranges of groups they take, and what the manifest says of them all.
"""

from dataclasses import dataclass

from exporters.request import ExportError, ExportRequest
from exporters.segment import SEGMENT_CALLS, SegmentPlan
from storage.filters import compile_filter
from storage.grouped import GroupRange, group_ranges
from storage.reader import StoreReader
from storage.reservation import Policy


@dataclass(frozen=True)
class Plan:
    """A run before it begins. `ranges` hold every call of the project once."""

    policy: Policy
    calls: int
    ranges: tuple[GroupRange, ...]
    segment: SegmentPlan


def make_plan(reader: StoreReader, request: ExportRequest) -> Plan:
    """Plan an export of one state of the store.

    Raises ExportError where there is nothing to export, FilterError for a bad filter. Scans the
    project's calls.
    """
    policy = reader.policy(request.project)
    if policy is None:
        raise ExportError(f"project {request.project!r} has no calls to export")
    if request.where is not None:
        compile_filter(request.where)
    return Plan(
        policy=policy,
        calls=reader.count(request.project),
        ranges=tuple(group_ranges(reader, request.project, SEGMENT_CALLS)),
        segment=SegmentPlan(request),
    )
