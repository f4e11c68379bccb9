"""What was let pass is in the manifest, and what a filter did stops the export until it is."""

import re
from pathlib import Path

import pytest

from exporters.dataset import export
from exporters.planning import BiasError
from exporters.request import ExportRequest
from storage.store import TraceStore
from storage.trace import Json, Side
from tests.exporters.calls import chat, opening, record, said

LONG = "length(tags['kind']) > 4"


def fill(store: TraceStore) -> None:
    """Half of the calls are long and tagged so."""
    calls = []
    for number in range(600):
        text = f"{opening(number)} {opening(10_000 + number) if number % 2 else ''}" * (
            1 + 5 * (number % 2)
        )
        kind = "long one" if number % 2 else "tiny"
        answer = said("assistant", "ok")
        metadata: Json = {"kind": kind, "shelf": str(number % 2)}
        calls.append(chat(number, [said("user", text)], answer, metadata=metadata))
    record(store, calls)


def test_a_filter_that_changes_what_the_data_is_like_needs_a_reason(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)
    with pytest.raises(BiasError, match="--accept-bias") as refused:
        export(sqlite_store, ExportRequest(where=LONG), tmp_path / "out")
    first, *worst, more, remedy = str(refused.value).splitlines()
    assert (first[-1], len(worst), remedy[:22]) == (":", 3, "Nothing was published.")
    assert re.fullmatch(r"  and \d+ more", more)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    request = ExportRequest(where=LONG, accept_bias="long calls are what we sell")
    manifest = export(sqlite_store, request, tmp_path / "out")
    assert manifest.overrides == {"accept_bias": "long calls are what we sell"}
    assert manifest.selection is not None
    assert manifest.selection.biased
    assert (
        "It was accepted: `long calls are what we sell`"
        in (tmp_path / "out" / "README.md").read_text()
    )


def test_a_reason_that_was_not_needed_is_no_override(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)
    request = ExportRequest(where="id >= ''", accept_bias="to be sure")
    assert export(sqlite_store, request, tmp_path / "out").overrides == {}


def test_only_the_random_test_is_said_to_be_random(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)
    manifest = export(sqlite_store, ExportRequest(time_holdout="..1969-01-01"), tmp_path / "out")
    assert [side for side in Side if manifest.sides[side].random] == [Side.TEST]
    assert not manifest.sets["time_holdout"].random
