"""Check an export with nothing but its directory: anybody can, without the store.

What is looked at, in this order; each is a line of the answer (exporters.checks):

    files       every file is there, none besides, each with the manifest's SHA-256 and rows
    rows        every row has its call and its group in `ids.jsonl`, in the order of the groups
    sides       every group is on the side that the salt gives it, or the ledger said otherwise
    groups      no group, and
    calls       no call is in two files that must share none, nor twice in one
    counts      the manifest counts what there is (exporters.verifying_counts)
    format      every row can be read, and ends in an answer
    content     no row for training has the input, or nearly, of a row held out
    reference   the samples for drift are of these groups (exporters.verifying_reference)
    draw        the groups are those that one draw divided (exporters.verifying_draw)
    fairness    the test side is like the rest (exporters.representative)
    subsets     the learning-curve subsets are parts of each other and of train
    tokens      how many tokens each file has, and the longest row: a fact, no check

A wrong alarm of the last two tests of chance, `draw` and `fairness`, comes with FALSE_ALARM_RATE
each; all other checks are exact, but that near-duplicates are estimated: here a pair counts from
NEAR_DUPLICATE_MIN, a little above what the export itself refuses, because a format may change what
rows say. What is template, and so makes no two rows alike, is what the export learnt
(`templates.json`), as far as rows share it (exporters.verifying_rows): equal inputs are found
whatever stands there.

What it does not prove: that the store held nothing else, and that whoever wrote the manifest is who
they say. Who changes rows, lists, counts and hashes alike, without choosing, is not found out:
rows of JSON do not say which call they are of. Compare the manifest's SHA-256 with the one the
store has recorded for that (`shalt verify --store`).

Memory for 500,000 rows: 450 MB, half of it the libraries'. Reads each file three times, once more
where prompts share text; 0.1 to 0.4 ms of CPU a row, and a second or two for the samples.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from exporters.checks import Check, Problems, State
from exporters.guard import MatchKind, contaminated
from exporters.manifest import Manifest
from exporters.manifest_reading import MANIFEST_FILE
from exporters.representative import FALSE_ALARM_RATE, GROUPS_MIN, fairness
from exporters.row_lines import IDS_FILE
from exporters.selection import Reason
from exporters.tokens import find_tokenizer
from exporters.verifying_counts import check_counts
from exporters.verifying_draw import check_draw
from exporters.verifying_files import check_files, read_manifest, read_rows
from exporters.verifying_ids import TIME_HOLDOUT, TRAINED, Ids, part_of
from exporters.verifying_reference import check_reference
from exporters.verifying_rows import RowPass, Tokens
from storage.counted import counted
from storage.trace import Side

NEAR_DUPLICATE_MIN = 0.85
# Below, what the guard, a limit on duplicates or an earlier time hold-out took away shifts no test.
UNSEEN_RATIO_MAX = 0.01
# Why calls of train and val are no rows that would be rows of test.
_ON_TRAIN_ALONE = (
    *(Reason.CONTAMINATED, Reason.DUPLICATE),
    *(Reason.TOOL_BREAKING, Reason.TOOL_GONE, Reason.TOOL_ARGUMENTS),
)

Progress = Callable[[int, int], None]  # bytes read, and to be read in all


class Verification(msgspec.Struct, frozen=True):
    """What was found. `manifest_sha256` is the one the store recorded when the export left."""

    directory: str
    project: str
    format: str
    manifest_sha256: str
    checks: tuple[Check, ...]
    tokens: tuple[Tokens, ...]
    tokenizer: str

    @property
    def holds(self) -> bool:
        """Whether nothing failed."""
        return all(check.state is not State.FAILED for check in self.checks)


def verify(directory: Path, progress: Progress = lambda done, total: None) -> Verification:
    """Check an export; raise NotAnExport where there is none that can be read, and OSError.

    See the module for what is checked. Writes scratch files of 624 bytes a row where the system
    keeps such files, and takes them away again.
    """
    manifest = read_manifest(directory)
    counter = _Counter(progress, 2 * sum(entry.bytes for entry in manifest.files))
    checks = [check_files(directory, manifest, counter.advance)]
    ids = _read_ids(directory, manifest)
    tokenizer = find_tokenizer()
    tokens: Sequence[Tokens] = ()
    if isinstance(ids, Check):
        checks.append(ids)
    else:
        checks += [ids.check_rows(), ids.check_sides(), ids.check_groups(), ids.check_calls()]
        checks.append(check_counts(manifest, ids))
        with TemporaryDirectory(prefix="shalt-verify-") as scratch:
            rows = RowPass(directory, manifest, ids, Path(scratch), tokenizer, counter.advance)
            checks += [rows.check_rows(), _check_content(rows)]
        checks.append(check_reference(directory, manifest, ids))
        disturbed = _disturbed(manifest, ids)
        checks.append(check_draw(ids.drawn(), manifest.policy, disturbed))
        checks.append(_check_fairness(rows, disturbed or _cut_by_filter(manifest, ids)))
        checks += _check_subsets(directory, manifest, ids)
        tokens = rows.tokens
    return Verification(
        str(directory),
        manifest.project,
        manifest.format,
        hashlib.sha256((directory / MANIFEST_FILE).read_bytes()).hexdigest(),
        tuple(checks),
        tuple(tokens),
        tokenizer.name,
    )


class _Counter:
    """Adds up what was read."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def advance(self, count: int) -> None:
        """Take in so many more bytes."""
        self._done += count
        self._progress(min(self._done, self._total), self._total)


def _read_ids(directory: Path, manifest: Manifest) -> Ids | Check:
    try:
        return Ids(directory, manifest)
    except OSError as error:
        wrong = f"{IDS_FILE} cannot be read: {error.strerror}"
    except (msgspec.MsgspecError, RecursionError) as error:
        wrong = f"{IDS_FILE} has a line that is none: {error}"
    problems = Problems()
    problems.add(wrong)
    return problems.check("rows", "no row's call and group are known")


def _check_content(rows: RowPass) -> Check:
    """Look for rows for training that give away rows held out."""
    problems = Problems()
    held_out = [name for name in rows.fingerprints if part_of(name) not in TRAINED]
    paths = [rows.fingerprints[name] for name in held_out]
    compared = 0
    for name, path in rows.fingerprints.items():
        if part_of(name) not in TRAINED:
            continue
        compared += 1
        for match in contaminated(path, paths):
            if match.kind is MatchKind.NEAR_DUPLICATE and match.similarity < NEAR_DUPLICATE_MIN:
                continue
            problems.add(
                f"{name} row {match.row} gives away {held_out[match.held_out]} row "
                f"{match.held_out_row} ({match.kind.value}, similarity {match.similarity:.2f}): "
                "export again with --drop-contaminated"
            )
    says = f"no row for training is, or nearly is, of {counted(len(held_out), 'file')} held out"
    return problems.check("content", says)


def _disturbed(manifest: Manifest, ids: Ids) -> str:
    """Say why what left is not all that was drawn and chosen; empty if it is, or very nearly."""
    sides = [manifest.sides[side] for side in (Side.TRAIN, Side.VAL)]
    dropped = sum(entry.reasons.get(reason, 0) for entry in sides for reason in _ON_TRAIN_ALONE)
    rows = sum(entry.rows for entry in sides)
    if dropped > UNSEEN_RATIO_MAX * (rows + dropped):
        return (
            f"{counted(dropped, 'row')} for training went after the draw, as the manifest says, so "
            "what is left of that side is unlike test on purpose"
        )
    # Groups that are in the time hold-out of this export are seen, those of earlier ones are not.
    held = manifest.withheld_groups.get(TIME_HOLDOUT, 0) - ids.groups_of(TIME_HOLDOUT)
    groups = sum(entry.groups for entry in sides)
    if held > UNSEEN_RATIO_MAX * (groups + held):
        return (
            f"earlier exports held {counted(held, 'group')} out by time, in no file here, as the "
            "manifest says, so what is left for training is unlike test"
        )
    return ""


def _cut_by_filter(manifest: Manifest, ids: Ids) -> str:
    """Say why rows of test are not what the filter would have made of them; empty if they are."""
    tests = [file for file in ids.files.values() if file.part == Side.TEST]
    partly = sum(file.partly for file in tests)
    if manifest.where is None or partly <= UNSEEN_RATIO_MAX * sum(len(f.own) for f in tests):
        return ""
    return (
        f"the filter takes single turns: of {counted(partly, 'row')} of test it matches some "
        "and not others, so rows of train are shorter on purpose"
    )


def _check_fairness(rows: RowPass, disturbed: str) -> Check:
    """Test whether the test side is like the rest."""
    if disturbed:
        return Check("fairness", State.SKIPPED, disturbed)
    found = fairness(rows.facts.groups())
    if found is None:
        says = f"test, or the rest, has fewer than {GROUPS_MIN} groups: too few to tell"
        return Check("fairness", State.SKIPPED, says)
    problems = Problems()
    for test in found.failed:
        problems.add(
            f"{test.feature} of the test side: not like the rest's ({test.test}, p "
            f"{test.p_adjusted:.2g}; fair draws give less than {FALSE_ALARM_RATE:g} in "
            f"{FALSE_ALARM_RATE:.0%} of projects): the test side was chosen or filtered, so take "
            "no headline from it"
        )
    least = found.tests[0] if found.tests else None
    says = f"{found.test_groups:,} test groups are like {found.other_groups:,} others"
    if least:
        says += f" (least likely: {least.feature}, p {least.p_adjusted:.2g} of {len(found.tests)}"
        says += f" tests; AUC {found.auc:.2f})"
    return problems.check("fairness", says)


def _check_subsets(directory: Path, manifest: Manifest, ids: Ids) -> Iterator[Check]:
    """Say whether each subset is the train rows of the groups with the lowest `u`, in order."""
    if not manifest.subsets:
        return
    problems = Problems()
    trains = [file for file in ids.files.values() if file.part == Side.TRAIN]
    for subset in manifest.subsets:
        path = directory / subset.name
        if not path.is_file():
            problems.add(f"{subset.name} is missing")
            continue
        following = read_rows(path)
        for file in trains:
            wanted = np.frombuffer(file.u, dtype=np.float64) <= subset.u_max
            every = read_rows(directory / file.name)
            for number, row in enumerate(every):
                if number < len(wanted) and wanted[number] and next(following, None) != row:
                    problems.add(
                        f"{subset.name} lacks {file.name} row {number}, or has it elsewhere: it "
                        "is no part of it"
                    )
                    break
        if next(following, None) is not None:
            problems.add(f"{subset.name} has rows that are not in the train file")
    count = len(manifest.subsets)
    yield problems.check("subsets", f"{count} subsets, each a part of the next and of train")
