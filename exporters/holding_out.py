"""Which rows do not leave after all: contaminated ones, and equal ones beyond a maximum.

The guard (exporters.guard) looks at the fingerprints of all rows that were made, before they are
put together. Rows for training that give away a row held out stop the export, unless they are to be
dropped; then they are counted. Equal rows (exporters.duplicates) are counted always, and dropped
from train alone, where that is asked for.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from exporters.duplicates import Duplicates, duplicates, surplus
from exporters.guard import SHOWN_MAX, Finding, Match, contaminated, refusal
from exporters.manifest import GuardEntry
from exporters.merging import read_ids
from exporters.parts import TRAINED
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE, file_of
from exporters.scratch import fingerprints_of, scratch_path
from exporters.segment import Segment
from exporters.selection import Reason
from storage.trace import Side


class Verdict(msgspec.Struct, frozen=True):
    """What was found. `dropped`: by file, the rows that do not leave and why, by row number."""

    guard: GuardEntry
    duplicates: dict[str, Duplicates]
    dropped: Mapping[str, Mapping[int, Reason]]


def judge(
    scratch: Path,
    segments: Sequence[Segment],
    request: ExportRequest,
    files: Sequence[str],
    suffix: str,
) -> Verdict:
    """Compare the rows of all files of a run. Raises GuardError, and OSError.

    `files` are those of rows. Fingerprints are put together, file by file, in `scratch`, and
    deleted at the end.
    """
    paths = {name: _whole(scratch, segments, name) for name in files}
    trained = [file_of(part, suffix) for part in TRAINED]
    held_out = [name for name in files if name not in trained]
    dropped: dict[str, dict[int, Reason]] = {}
    found: dict[str, dict[str, int]] = {}
    findings: list[Finding] = []
    count = 0
    for name in trained:
        matches = list(contaminated(paths[name], [paths[other] for other in held_out]))
        if matches:
            found[name] = dict(sorted(Counter(match.kind.value for match in matches).items()))
            dropped[name] = {match.row: Reason.CONTAMINATED for match in matches}
        count += len(matches)
        shown = matches[: SHOWN_MAX - len(findings)]
        findings += _in_words(scratch, segments, name, held_out, shown)
    if count and not request.drop_contaminated:
        raise refusal(findings, count)
    train = file_of(Side.TRAIN, suffix)
    equal = {name: duplicates(path) for name, path in paths.items()}
    if request.max_duplicates is not None:
        of_train = dropped.setdefault(train, {})
        for row in surplus(paths[train], request.max_duplicates):
            of_train.setdefault(int(row), Reason.DUPLICATE)
    rows = {name: equal[name].rows for name in files}
    for path in paths.values():
        path.unlink()
    return Verdict(
        GuardEntry(
            candidates={name: rows[name] for name in trained},
            held_out={name: rows[name] for name in held_out},
            dropped=found,
        ),
        equal,
        dropped,
    )


def _whole(scratch: Path, segments: Sequence[Segment], name: str) -> Path:
    """Put the fingerprints of all rows of a file together, in their order."""
    path = scratch / fingerprints_of(name)
    with path.open("xb") as whole:
        for segment in segments:
            part = scratch_path(scratch, segment.number, fingerprints_of(name))
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)
            part.unlink()
    return path


def _in_words(
    scratch: Path,
    segments: Sequence[Segment],
    name: str,
    held_out: Sequence[str],
    matches: Sequence[Match],
) -> list[Finding]:
    """Name the calls of some matches. Reads `ids.jsonl` of all segments, where there is any."""
    wanted = {(name, match.row) for match in matches}
    wanted |= {(held_out[match.held_out], match.held_out_row) for match in matches}
    calls: dict[tuple[str, int], str] = {}
    before: Counter[str] = Counter()
    for segment in segments if wanted else ():
        for line in read_ids(scratch_path(scratch, segment.number, IDS_FILE)):
            place = (line.file, line.row + before[line.file])
            if place in wanted:
                calls[place] = line.call
        before.update(segment.rows)
    return [
        Finding(
            file=name,
            row=match.row,
            call=calls[name, match.row],
            held_out_file=held_out[match.held_out],
            held_out_row=match.held_out_row,
            held_out_call=calls[held_out[match.held_out], match.held_out_row],
            kind=match.kind,
            similarity=match.similarity,
        )
        for match in matches
    ]
