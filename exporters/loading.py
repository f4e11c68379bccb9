"""Windows as they are read: from a store, or from beside an export.

Reading a window of a store reads one row of two tables for each of its calls, never a body.
"""

import hashlib
import sys
from functools import partial
from pathlib import Path

import msgspec

from exporters.columns import window_of
from exporters.periods import (
    Between,
    Exported,
    Matching,
    Previous,
    WindowSpec,
    before,
    range_filter,
    range_text,
)
from exporters.reservoir import Reservoir
from exporters.windows import (
    MANIFEST_FILE,
    REFERENCE_FILE,
    WINDOW_GROUPS_MAX,
    Measured,
    Window,
    WindowError,
    counts_for_drift,
)
from storage.features import Features
from storage.rows import CallRow, microseconds_of
from storage.store import TraceStore


def load_windows(
    store: TraceStore, project: str, reference: WindowSpec, current: WindowSpec
) -> tuple[Window, Window]:
    """Read the two windows of a comparison; `previous` is the time before the current one."""
    if isinstance(reference, Previous):
        reference = before(current)
    return load_window(store, project, reference), load_window(store, project, current)


def load_window(store: TraceStore, project: str, spec: WindowSpec) -> Window:
    """Read a window's calls, one of each group.

    Raises WindowError where an export cannot be read, and what the store raises (FilterError for
    a filter that is not one).
    """
    match spec:
        case Exported(directory):
            return _read_reference(directory)
        case Between(start, end):
            bounds = Between(start, end)
            return _load_matching(store, project, range_text(bounds), range_filter(bounds))
        case Matching(where):
            return _load_matching(store, project, f"where:{where}", where)
        case Previous():
            raise WindowError("a window before another one can only be the reference")


def _measured(row: CallRow, features: Features) -> Measured:
    """Take of a stored call what a window keeps."""
    return Measured(
        row.id,
        row.group_id,
        # Ten thousand calls name the same two models: one text of each is enough.
        sys.intern(row.request_model),
        sys.intern(row.response_model),
        sys.intern(row.finish_reason),
        features,
        started_at=microseconds_of(row.started_at),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=row.cost_usd,
        duration_ms=row.duration_ms,
        time_to_first_token_ms=row.time_to_first_token_ms,
    )


def _load_matching(store: TraceStore, project: str, label: str, where: str | None) -> Window:
    """Scan the calls a filter matches; see TraceStore.features for the index it uses."""
    reservoir = Reservoir(WINDOW_GROUPS_MAX)
    for page in store.features(project, where):
        for call in page:
            row = call.row
            if counts_for_drift(row):
                reservoir.offer(row.group_id, row.id, partial(_measured, row, call.features))
    return window_of(reservoir.rows(), label, reservoir.call_count)


def _read_reference(directory: Path) -> Window:
    """Read the sample an export left of its train side, proved by the manifest's hash."""
    manifest_path, path = directory / MANIFEST_FILE, directory / REFERENCE_FILE
    try:
        manifest = msgspec.json.decode(manifest_path.read_bytes(), type=_Manifest)
        lines = path.read_bytes()
        rows = tuple(map(_decode_line, lines.splitlines()))
    except OSError as error:
        raise WindowError(f"{directory} is not a whole export: {error}") from error
    except msgspec.MsgspecError as error:
        raise WindowError(f"{directory} was not written by this version: {error}") from error
    if hashlib.sha256(lines).hexdigest() != manifest.reference.sha256:
        raise WindowError(f"{path} was changed since the export: its SHA-256 is not the manifest's")
    return window_of(rows, str(directory), manifest.reference.calls)


class _Reference(msgspec.Struct, frozen=True):
    sha256: str
    calls: int


class _Manifest(msgspec.Struct, frozen=True):
    """The part of a manifest that a window needs; exporters.dataset writes the whole."""

    reference: _Reference


_decode_line = msgspec.json.Decoder(Measured).decode
