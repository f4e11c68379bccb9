"""The file that proves a dataset: `manifest.json`, and the two lists that lie beside it.

    manifest.json       what was asked for, what became of every call, SHA-256 of every file
    ids.jsonl           a line for each row: file, row number from 0, call, group, and the calls
                        whose turns the row holds besides (`continued`)
    needs_label.jsonl   a line for each call that is no row because of its answer alone
    reference.jsonl     what drift is measured against (exporters.windows.Measured)

Nothing of the run is in them (no time, no host, no path), so the same store gives the same bytes.
The salt and the ids allow anyone to work out every group's side again:
u = SHA-256(salt NUL project NUL group), see storage.reservation.
"""

import msgspec

from exporters.formats import LeftOut
from exporters.selection import Reason, Turns
from storage.reservation import Policy
from storage.trace import Side

MANIFEST_VERSION = 1
IDS_FILE = "ids.jsonl"
NEEDS_LABEL_FILE = "needs_label.jsonl"
# The sides that leave, in the order in which they are written down.
SIDE_FILES = {Side.TRAIN: "train.jsonl", Side.VAL: "val.jsonl", Side.TEST: "test.jsonl"}


class IdLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of `ids.jsonl`."""

    file: str
    row: int
    call: str
    group: str
    continued: tuple[str, ...] = ()


class NeedsLabelLine(msgspec.Struct, frozen=True):
    """A line of `needs_label.jsonl`."""

    call: str
    group: str
    side: Side
    reason: Reason


class FileEntry(msgspec.Struct, frozen=True):
    """One file of the dataset; every file but the manifest has its entry."""

    name: str
    sha256: str
    bytes: int
    rows: int


class SideEntry(msgspec.Struct, frozen=True):
    """What became of the calls of one side: calls = rows + all of `reasons`.

    `groups` have rows. `left_out`: in how many rows something of the call is missing.
    """

    calls: int
    groups: int
    rows: int
    reasons: dict[Reason, int]
    left_out: dict[LeftOut, int]


class ReferenceEntry(msgspec.Struct, frozen=True):
    """What `reference.jsonl` is a sample of: complete conversations of the train side that match
    the filter, rows or not. `started_from`, `started_to`: when the first and last of them
    started, ISO 8601 UTC, empty if there are none."""

    name: str
    sha256: str
    calls: int
    groups: int
    started_from: str
    started_to: str


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`. `where` is the filter's text, null if there was none; it acts on train and
    val, never on test."""

    version: int
    shalt_version: str
    project: str
    format: str
    turns: Turns
    where: str | None
    policy: Policy
    derive_version: int
    feature_version: int
    calls: int
    sides: dict[Side, SideEntry]
    files: tuple[FileEntry, ...]
    reference: ReferenceEntry
    warnings: tuple[str, ...]


def manifest_json(manifest: Manifest) -> bytes:
    """Write a manifest as it lies in the directory, but for the line end it ends in."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)
