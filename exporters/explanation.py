"""A comparison made readable: words for hashes, what to do, what was scored, what it stands on.

`exporters.drift.compare` looks at two windows and nothing else; this reads the store and the export
besides, after the verdict, which it never changes.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from sqlglot import exp

from exporters.advice import with_actions
from exporters.drift import DriftReport
from exporters.manifest_reading import MANIFEST_FILE
from exporters.naming import resolve_terms
from exporters.naming_keys import with_named_keys
from exporters.reference_facts import TermNames
from exporters.score_shifts import score_shifts
from exporters.windows import Window, WindowError
from storage.filter_syntax import FilterError, parse
from storage.reader import StoreReader


class _Side(msgspec.Struct, frozen=True):
    rows: int


class _Reference(msgspec.Struct, frozen=True):
    started_from: str
    started_to: str


class _Manifest(msgspec.Struct, frozen=True):
    """The part of a manifest that a report tells; exporters.manifest has the whole."""

    shalt_version: str
    format: str
    where: str | None
    sides: dict[str, _Side]
    reference: _Reference
    terms: TermNames


_decode = msgspec.json.Decoder(_Manifest).decode


def explained(
    report: DriftReport,
    store: StoreReader,
    project: str,
    windows: tuple[Window, Window],
    *,
    export: Path | None = None,
    where: str = "",
    options: Sequence[str] = (),
) -> DriftReport:
    """Explain a report on `windows`, reference and current.

    `export`: where the reference is from, if it is an export. `where`: what the current window was
    filtered by beyond what its label says. `options`: what printed commands need. Raise WindowError
    where the manifest cannot be read.
    """
    manifest = None
    if export is not None:
        report, manifest = _with_manifest(report, export)
        note = _note_on_filters(manifest.where or "", where, report.current.label)
        report = msgspec.structs.replace(report, notes=(*report.notes, *note))
    report = msgspec.structs.replace(report, scores=score_shifts(*windows))
    report = resolve_terms(report, store, project, manifest.terms if manifest else None)
    report = with_named_keys(report, store, project)
    rows = manifest.sides["train"].rows if manifest else None
    return with_actions(report, project=project, where=where, training_rows=rows, options=options)


def _with_manifest(report: DriftReport, export: Path) -> tuple[DriftReport, _Manifest]:
    path = export / MANIFEST_FILE
    try:
        written = path.read_bytes()
        manifest = _decode(written)
    except (OSError, msgspec.MsgspecError) as error:
        raise WindowError(f"{path} cannot be read: {error}") from error
    facts = {
        "manifest SHA-256": hashlib.sha256(written).hexdigest(),
        "format": manifest.format,
        "filter": manifest.where or "none",
        "rows of train": f"{manifest.sides['train'].rows:,}",
        "started": f"{manifest.reference.started_from} to {manifest.reference.started_to}",
        "shalt": manifest.shalt_version,
    }
    reference = msgspec.structs.replace(report.reference, facts=facts)
    return msgspec.structs.replace(report, reference=reference), manifest


def _note_on_filters(exported: str, where: str, label: str) -> tuple[str, ...]:
    """Warn where an export and the current window were chosen by two filters.

    Filters are compared as texts, and one that a `where:` window holds is taken to be met. A time
    is no other filter: the current window has its own.
    """
    if exported == where or (exported or where) in label:
        return ()
    if not where and _is_of_time(exported):
        return ()  # that is what a window is compared with a training set for
    chosen = where or ("another" if label.startswith("where:") else "none")
    return (
        f"The calls of the export were chosen by the filter {exported or 'none'}, those of the"
        f" current window by {chosen}: what differs by that looks like drift.",
    )


def _is_of_time(where: str) -> bool:
    """Tell whether a filter asks for the time of a call and for nothing else."""
    try:
        tree = parse(where)
    except FilterError:
        return False  # of an export by a version that knew other words
    columns = {column.name for column in tree.find_all(exp.Column)}
    return columns == {"started_at"} and not list(tree.find_all(exp.Anonymous))
