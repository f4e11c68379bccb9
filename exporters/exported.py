"""The reference that an export left: windows out of files, without a store.

What is read is proved by the hashes of the manifest. An export of an earlier version has other
files, and features that do not compare with those of now: it is refused, and says what to do.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from exporters.columns import window_of_table
from exporters.manifest_reading import MANIFEST_FILE
from exporters.reference_facts import Facts, ReferenceEntry, TermNames
from exporters.window_files import read_window_file
from exporters.windows import Window, WindowError

REFERENCE_MANIFEST_MIN = 3  # the first version of a manifest that has these files


@dataclass(frozen=True)
class Reference:
    """What an export was drawn from: windows of train and of test, and what its manifest says.

    `started_from`, `started_to`: when the first and last calls of train started, ISO 8601 UTC,
    empty if there are none. `facts` by feature, `terms` by family and hash (reference_facts).
    """

    train: Window
    test: Window
    manifest_sha256: str
    project: str
    where: str | None
    started_from: str
    started_to: str
    facts: dict[str, Facts]
    terms: TermNames


def load_reference(directory: Path) -> Reference:
    """Read the samples beside an export; raise WindowError where they are not what it left."""
    path = directory / MANIFEST_FILE
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Versioned).version
    except OSError as error:
        raise WindowError(f"{directory} is not a whole export: {error}") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WindowError(f"{path} is no manifest of an export: {error}") from error
    if version < REFERENCE_MANIFEST_MIN:
        raise WindowError(
            f"{directory} was exported by an earlier version of shalt, whose measures do not "
            "compare with those of now: export it again"
        )
    try:
        manifest = msgspec.json.decode(data, type=_Manifest)
    except msgspec.MsgspecError as error:
        raise WindowError(f"{path} was changed, or written by another version: {error}") from error
    return Reference(
        train=_read_side(directory, manifest.reference, str(directory)),
        test=_read_side(directory, manifest.reference_test, f"{directory} (test)"),
        manifest_sha256=hashlib.sha256(data).hexdigest(),
        project=manifest.project,
        where=manifest.where,
        started_from=manifest.reference.started_from,
        started_to=manifest.reference.started_to,
        facts=manifest.features,
        terms=manifest.terms,
    )


def _read_side(directory: Path, entry: ReferenceEntry, label: str) -> Window:
    path = directory / entry.name
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise WindowError(f"{directory} is not a whole export: {error}") from error
    if digest.hexdigest() != entry.sha256:
        raise WindowError(f"{path} was changed since the export: its SHA-256 is not the manifest's")
    return window_of_table(read_window_file(path), label, entry.calls)


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Manifest(msgspec.Struct, frozen=True):
    """The part of a manifest that is read here; exporters.manifest has the whole."""

    project: str
    where: str | None
    reference: ReferenceEntry
    reference_test: ReferenceEntry
    features: dict[str, Facts]
    terms: TermNames
