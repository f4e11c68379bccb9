"""A comparison made readable: words, what to do, what was scored, what it stands on."""

from pathlib import Path

import msgspec
import pytest

from exporters.drift import compare
from exporters.explanation import explained
from exporters.windows import WindowError
from storage.store import TraceStore
from tests.exporters.calls import Traffic, window


def test_an_explained_report_has_the_same_verdict_and_says_what_to_do(
    sqlite_store: TraceStore,
) -> None:
    windows = window(Traffic(), 300, 1), window(Traffic(new_year_ratio=0.2), 300, 2)
    found = compare(*windows)
    told = explained(found, sqlite_store, "default", windows)
    assert (told.verdict, told.why) == (found.verdict, found.why)
    assert all(finding.action is not None for finding in told.findings)
    (year,) = (each for each in told.findings if each.feature == "prompt_years" and each.drift)
    assert year.value == "2024"
    assert year.action is not None
    assert year.action.where == "has(prompt_years, '2024')"


def test_an_export_is_told_with_the_hash_of_its_manifest_and_its_size(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    windows = window(Traffic(), 300, 1), window(Traffic(new_year_ratio=0.2), 300, 2)
    manifest = {
        "shalt_version": "1",
        "format": "openai",
        "where": None,
        "sides": {"train": {"rows": 30_000}},
        "reference": {"started_from": "2026-01-01", "started_to": "2026-02-01"},
        "terms": {},
    }
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    told = explained(compare(*windows), sqlite_store, "default", windows, export=tmp_path)
    assert len(told.reference.facts["manifest SHA-256"]) == 64
    assert told.reference.facts["rows of train"] == "30,000"
    actions = [each.action for each in told.findings if each.drift and each.action]
    assert max(action.calls for action in actions) > 3_000


def test_an_export_without_its_manifest_cannot_be_explained(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    windows = window(Traffic(), 300, 1), window(Traffic(), 300, 2)
    with pytest.raises(WindowError, match="cannot be read"):
        explained(compare(*windows), sqlite_store, "default", windows, export=tmp_path)
