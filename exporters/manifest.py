"""The file that proves a dataset: `manifest.json`, and the lists that lie beside it.

    manifest.json       what was asked for, what became of every call, SHA-256 of every file
    ids.jsonl           a line for each row: file, row number from 0, call, group, the calls whose
                        turns the row holds besides (`continued`), and where the row is from
    needs_label.jsonl   a line for each call that is no row because of its answer alone
    unfit.jsonl         a line for each call that the format cannot carry
    reference.parquet   what drift is measured against: a sample of train (exporters.reference)
    reference_test.parquet  and of test, which must not differ from it
    templates.json      what the guard took for template (exporters.templates)

Nothing of the run is in them (no time, no host, no path), so the same store gives the same bytes.
The salt and the ids allow anyone to work out every group's side again:
u = SHA-256(salt NUL project NUL group), see storage.reservation.
"""

import msgspec

from exporters.duplicates import Duplicates
from exporters.reference_facts import Facts, ReferenceEntry, TermNames
from exporters.row_shape import LeftOut
from exporters.selection import Reason, Turns
from exporters.selection_report import SelectionReport
from exporters.toolsets import ToolMode
from exporters.versions import VersionsEntry
from storage.reservation import Policy
from storage.trace import Side


class FileEntry(msgspec.Struct, frozen=True):
    """One file of the dataset; every file but the manifest has its entry."""

    name: str
    sha256: str
    bytes: int
    rows: int


class PartEntry(msgspec.Struct, frozen=True):
    """What became of the calls of a part: calls = rows + all of `reasons`.

    `groups` had rows before any was dropped. `left_out`: in how many rows something of the call is
    missing. `labels`: rows whose answer is a label, by its source. `synthetic`: rows of made-up
    calls. `random`: drawn at random; a headline may come from no other part.
    """

    calls: int
    groups: int
    rows: int
    random: bool
    reasons: dict[Reason, int]
    left_out: dict[LeftOut, int]
    labels: dict[str, int]
    synthetic: int


class TargetedEntry(msgspec.Struct, frozen=True):
    """A targeted test set, and the query that made it. `calls` were chosen then."""

    name: str
    where: str
    note: str
    created_at: str
    calls: int
    groups: int


class SubsetEntry(msgspec.Struct, frozen=True):
    """A file that holds the train groups with `u` up to `u_max`, `percent` of them, 0..100."""

    name: str
    percent: float
    u_max: float
    groups: int
    rows: int


class GuardEntry(msgspec.Struct, frozen=True):
    """What the guard found: rows of `candidates` compared with rows of `held_out`.

    `dropped`: rows that were like one held out, by file and kind, and did not leave.
    """

    candidates: dict[str, int]
    held_out: dict[str, int]
    dropped: dict[str, dict[str, int]]


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`. `where` is the filter's text, null if there was none; it acts on train and
    val alone. `overrides`: what was let pass that stops an export, with the reason given.
    `current_tools_sha256`: of the text that was given, empty if none was.
    `features` and `terms` are of the sample in `reference` (exporters.reference_facts)."""

    version: int
    shalt_version: str
    project: str
    format: str
    turns: Turns
    tools: ToolMode
    current_tools_sha256: str
    where: str | None
    labels: str
    time_holdout: str
    max_duplicates: int | None
    policy: Policy
    derive_version: int
    feature_version: int
    calls: int
    sides: dict[Side, PartEntry]
    sets: dict[str, PartEntry]
    targeted: tuple[TargetedEntry, ...]
    withheld_groups: dict[str, int]
    selection: SelectionReport | None
    overrides: dict[str, str]
    guard: GuardEntry
    versions: VersionsEntry
    duplicates: dict[str, Duplicates]
    subsets: tuple[SubsetEntry, ...]
    files: tuple[FileEntry, ...]
    reference: ReferenceEntry
    reference_test: ReferenceEntry
    features: dict[str, Facts]
    terms: TermNames
    warnings: tuple[str, ...]


def manifest_json(manifest: Manifest) -> bytes:
    """Write a manifest as it lies in the directory, but for the line end it ends in."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)
