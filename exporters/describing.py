"""What a run made, in the words of its manifest."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

import msgspec

from exporters.holding_out import Verdict
from exporters.manifest import (
    FileEntry,
    Manifest,
    PartEntry,
    SubsetEntry,
    TargetedEntry,
)
from exporters.manifest_reading import MANIFEST_VERSION
from exporters.parts import LEAVING
from exporters.periods import iso_time
from exporters.planning import Plan
from exporters.reference import Drawn
from exporters.request import label_policy
from exporters.row_lines import file_of
from exporters.tally import Tally, of_part
from storage.counted import counted, plural
from storage.features import FEATURE_VERSION
from storage.trace import DERIVE_VERSION, Side

TEST_GROUPS_MIN = 200  # below, a test set tells two models apart only if they are far apart


def describe(
    plan: Plan,
    tally: Tally,
    verdict: Verdict,
    reference: Drawn,
    subsets: Sequence[SubsetEntry],
    files: Sequence[FileEntry],
) -> Manifest:
    """Sum up a run. `files` are all that lie beside the manifest so far."""
    request, suffix = plan.rows.request, plan.rows.suffix
    entries = {file.name: file for file in files}
    sets = [part for part in plan.rows.parts.names if part not in LEAVING]
    return Manifest(
        version=MANIFEST_VERSION,
        shalt_version=metadata.version("shalt"),
        project=request.project,
        format=request.format,
        turns=request.turns,
        tools=request.tools,
        current_tools_sha256=_sha256(request.current_tools),
        where=request.where,
        labels=str(label_policy(request)),
        time_holdout=request.time_holdout,
        max_duplicates=request.max_duplicates,
        policy=plan.policy,
        derive_version=DERIVE_VERSION,
        feature_version=FEATURE_VERSION,
        calls=sum(tally.calls[side] for side in Side),
        sides={side: _part(side, tally, verdict, entries, suffix) for side in Side},
        sets={part: _part(part, tally, verdict, entries, suffix) for part in sets},
        targeted=tuple(_targeted(plan)),
        withheld_groups=dict(sorted(tally.withheld.items())),
        selection=plan.selection,
        overrides=dict(_overrides(plan, verdict)),
        guard=verdict.guard,
        versions=tally.versions.entry(),
        duplicates=verdict.duplicates,
        subsets=tuple(subsets),
        files=tuple(files),
        reference=reference.entries[Side.TRAIN],
        reference_test=reference.entries[Side.TEST],
        features=reference.facts,
        terms=reference.terms,
        warnings=tuple(_warnings(plan, tally, entries)),
    )


def _part(
    part: str, tally: Tally, verdict: Verdict, entries: Mapping[str, FileEntry], suffix: str
) -> PartEntry:
    name = file_of(part, suffix)
    reasons = of_part(tally.reasons, part)
    for reason in verdict.dropped.get(name, {}).values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return PartEntry(
        calls=tally.calls[part],
        groups=tally.groups[part],
        rows=entries[name].rows if name in entries else 0,
        random=part == Side.TEST,
        reasons=reasons,
        left_out=of_part(tally.left_out, part),
        labels=of_part(tally.labels, part),
        synthetic=tally.synthetic[part],
    )


def _targeted(plan: Plan) -> Iterator[TargetedEntry]:
    for each in plan.targeted:
        made = iso_time(each.created_at)
        yield TargetedEntry(each.name, each.where, each.note, made, each.calls, each.groups)


def _overrides(plan: Plan, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield what was let pass that would have stopped the export."""
    request = plan.rows.request
    if request.accept_bias and plan.selection is not None and plan.selection.biased:
        yield "accept_bias", request.accept_bias
    dropped = sum(sum(kinds.values()) for kinds in verdict.guard.dropped.values())
    if dropped:
        told = f"{counted(dropped, 'row')} did not leave, too near to what is held out"
        yield "drop_contaminated", told


def _warnings(plan: Plan, tally: Tally, entries: Mapping[str, FileEntry]) -> Iterator[str]:
    for name in plan.rows.row_files:
        if entries[name].rows == 0:
            yield f"{name} is empty: loaders refuse an empty file, so do not name it to them"
    test_groups = tally.groups[Side.TEST]
    if 0 < test_groups < TEST_GROUPS_MIN:
        yield (
            f"{file_of(Side.TEST, plan.rows.suffix)} has {counted(test_groups, 'group')}, fewer "
            f"than {TEST_GROUPS_MIN}: only large differences between models will show"
        )
    if quarantined := tally.calls[Side.QUARANTINE]:
        are = plural(quarantined, "is", "are")
        yield (
            f"{counted(quarantined, 'call')} {are} in quarantine: of groups that were found on two "
            "sides"
        )
    if plan.selection is not None and plan.selection.undecided:
        yield f"what the filter does to the data is not known: {plan.selection.undecided}"


def with_file(manifest: Manifest, file: FileEntry) -> Manifest:
    """Add a file that was written last."""
    return msgspec.structs.replace(manifest, files=(*manifest.files, file))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
