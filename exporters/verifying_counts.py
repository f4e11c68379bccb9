"""What the manifest counts, against what there is: a manifest that contradicts its rows is forged.

    calls    of each side: rows and reasons, which the sum over the sides must give, too
    parts    groups, labels, made-up rows and what rows leave out, as `ids.jsonl` has them
    random   the test side is drawn at random, and nothing else is
    held out no row of it is made up; and none is kept from being compared with train that nothing
             keeps from it: no filter, no label, no targeted set
    guard    as many rows were compared as there are

Counts of a part are of its rows before any was dropped for what it says (`--drop-contaminated`,
`--max-duplicates`): there they may be larger than what is left.
"""

from collections.abc import Iterator

from exporters.checks import Check, Problems
from exporters.manifest import Manifest, PartEntry
from exporters.selection import Reason
from exporters.verifying_ids import SIDES, TIME_HOLDOUT, TRAINED, FileIds, Ids
from storage.counted import counted
from storage.reservation import Cause
from storage.trace import Side

DROPPED_LATER = (Reason.CONTAMINATED, Reason.DUPLICATE)


def check_counts(manifest: Manifest, ids: Ids) -> Check:
    """Say whether the counts of a manifest are those of its rows."""
    problems = Problems()
    files = {file.part: file for file in ids.files.values()}
    parts = {side.value: entry for side, entry in manifest.sides.items()} | manifest.sets
    for part, entry in parts.items():
        for wrong in _compare(part, entry, files.get(part, FileIds(part))):
            problems.add(f"{part}: {wrong}")
    for part in sorted(files.keys() - parts.keys()):
        problems.add(f"{part} has rows, and the manifest counts none")
    total = sum(entry.calls for entry in manifest.sides.values())
    if total != manifest.calls:
        problems.add(
            f"the sides have {counted(total, 'call')}, the manifest {manifest.calls:,} in all"
        )
    rows = {name: ids.row_count(name) for name in ids.files}
    for name, count in (manifest.guard.candidates | manifest.guard.held_out).items():
        dropped = _dropped(parts.get(name.rpartition(".")[0]))
        if count != rows.get(name, 0) + dropped:
            problems.add(
                f"the guard compared {counted(count, 'row')} of {name}, which has another number"
            )
    compared = manifest.guard.candidates.keys() | manifest.guard.held_out.keys()
    for name in sorted(rows.keys() - compared):
        problems.add(f"the guard compared no row of {name}")
    for file in files.values():
        for wrong in _uncompared(manifest, file):
            problems.add(wrong)
    calls = counted(manifest.calls, "call")
    says = f"the manifest counts {calls}, and the rows, groups and labels there are"
    return problems.check("counts", says)


def _dropped(entry: PartEntry | None) -> int:
    return sum(entry.reasons.get(reason, 0) for reason in DROPPED_LATER) if entry else 0


def _compare(part: str, entry: PartEntry, file: FileIds) -> Iterator[str]:
    """Yield what a part's entry says otherwise than its rows do."""
    rows, dropped = len(file.groups), _dropped(entry)
    if entry.rows != rows:
        yield f"the manifest counts {counted(entry.rows, 'row')}, the list {rows:,}"
    if entry.calls != entry.rows + sum(entry.reasons.values()):
        yield f"{entry.calls:,} calls are not the rows and all reasons"
    if entry.random != (part == Side.TEST):
        yield f"random is {str(entry.random).lower()}: test alone is drawn at random"
    counts = {
        "groups": (entry.groups, file.group_count),
        "made-up rows": (entry.synthetic, file.synthetic),
        "labels": (sum(entry.labels.values()), file.labels.total()),
    }
    for what, (told, there) in counts.items():
        if not there <= told <= there + dropped:
            yield f"the manifest counts {told:,} {what}, there are {there:,}"
    if not dropped and (entry.labels != file.labels or entry.left_out != file.left_out):
        yield "the manifest counts other labels, or other things left out, than the rows have"


def _uncompared(manifest: Manifest, file: FileIds) -> Iterator[str]:
    """Yield why rows that are not compared ought to be."""
    if file.part not in TRAINED and file.synthetic:
        yield f"{file.name} has {counted(file.synthetic, 'row')} of made-up calls: they are no test"
    is_compared = file.part in SIDES or file.part == TIME_HOLDOUT
    targeted = manifest.targeted or Cause.TARGETED in manifest.withheld_groups
    if is_compared and file.unselected and manifest.where is None and not targeted:
        yield (
            f"{file.unselected:,} rows of {file.name} are marked as not selected, and there is no "
            "filter, no label and no targeted set: they were hidden from the comparison"
        )
    if file.part in TRAINED and file.unselected:
        yield f"{file.unselected:,} rows of {file.name} are not selected, and there all the same"
