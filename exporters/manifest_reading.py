"""A manifest as lists and pages show it: read without what makes one.

`exporters.manifest` has the whole of a manifest, and loads the statistics with it, 50 MB; a process
that only shows datasets keeps those out. `read_head` reads what manifests of all versions have,
`read_manifest` more, of this version alone. Fields that nobody here shows are passed over.
"""

from typing import Final

import msgspec

from storage.reservation import Policy

MANIFEST_FILE: Final = "manifest.json"
MANIFEST_VERSION: Final = 3


class HeadPart(msgspec.Struct, frozen=True):
    """A side or a set apart, in any version."""

    rows: int


class ShownFile(msgspec.Struct, frozen=True):
    """A file of the dataset."""

    name: str
    bytes: int
    rows: int
    sha256: str


class ManifestHead(msgspec.Struct, frozen=True):
    """What manifests of all versions have."""

    project: str = ""
    format: str = "not known: the manifest cannot be read"
    where: str | None = None
    sides: dict[str, HeadPart] = {}
    sets: dict[str, HeadPart] = {}
    files: tuple[ShownFile, ...] = ()


class ShownPart(msgspec.Struct, frozen=True):
    """A side or a set apart: see `manifest.PartEntry`."""

    calls: int
    groups: int
    rows: int
    random: bool
    reasons: dict[str, int]
    labels: dict[str, int]


class ShownSample(msgspec.Struct, frozen=True):
    """When the calls of a sample started: see `reference_facts.ReferenceEntry`."""

    started_from: str
    started_to: str


class ShownSelection(msgspec.Struct, frozen=True):
    """The verdict on a filter: see `selection_report.SelectionReport`."""

    biased: tuple[str, ...]
    undecided: str


class ShownManifest(msgspec.Struct, frozen=True):
    """What a page shows of a manifest: see `manifest.Manifest`."""

    version: int
    project: str
    format: str
    turns: str
    tools: str
    where: str | None
    labels: str
    time_holdout: str
    policy: Policy
    sides: dict[str, ShownPart]
    sets: dict[str, ShownPart]
    selection: ShownSelection | None
    overrides: dict[str, str]
    files: tuple[ShownFile, ...]
    reference: ShownSample
    warnings: tuple[str, ...]


def read_head(data: bytes) -> ManifestHead:
    """Read what manifests of all versions have; of one that cannot be read, nothing."""
    try:
        return msgspec.json.decode(data, type=ManifestHead)
    except msgspec.MsgspecError:
        return ManifestHead()


def read_manifest(data: bytes) -> ShownManifest | None:
    """Read a manifest of this version; None for any other, and for what is none."""
    try:
        manifest = msgspec.json.decode(data, type=ShownManifest)
    except msgspec.MsgspecError:
        return None
    return manifest if manifest.version == MANIFEST_VERSION else None
