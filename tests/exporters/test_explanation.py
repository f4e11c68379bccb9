"""A comparison made readable: words, what to do, what was scored, what it stands on."""

import dataclasses
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


def manifest(directory: Path, where: str | None = None) -> Path:
    told = {
        "shalt_version": "1",
        "format": "openai",
        "where": where,
        "sides": {"train": {"rows": 30_000}},
        "reference": {"started_from": "2026-01-01", "started_to": "2026-02-01"},
        "terms": {},
    }
    (directory / "manifest.json").write_bytes(msgspec.json.encode(told))
    return directory


@pytest.mark.parametrize(
    ("exported", "where", "label", "warned"),
    [
        (None, "", "2026-02-01..2026-02-02", False),
        ("streamed", "streamed", "2026-02-01..2026-02-02", False),
        ("streamed", "", "where:streamed and redacted", False),
        ("started_at < '2026-02-01'", "", "2026-02-01..2026-02-02", False),
        ("started_at < '2026-02-01'", "streamed", "2026-02-01..2026-02-02", True),
        ("streamed and started_at < '2026-02-01'", "", "2026-02-01..2026-02-02", True),
        (None, "streamed", "2026-02-01..2026-02-02", True),
        ("streamed", "", "2026-02-01..2026-02-02", True),
        ("streamed", "", "where:redacted", True),
    ],
)
def test_an_export_chosen_by_another_filter_than_the_window_is_warned_of(
    sqlite_store: TraceStore,
    tmp_path: Path,
    exported: str | None,
    where: str,
    label: str,
    warned: bool,
) -> None:
    current = dataclasses.replace(window(Traffic(), 20, 2), label=label)
    windows = window(Traffic(), 20, 1), current
    export = manifest(tmp_path, exported)
    told = explained(
        compare(*windows), sqlite_store, "default", windows, export=export, where=where
    )
    assert any("looks like drift" in note for note in told.notes) == warned


def test_an_export_is_told_with_the_hash_of_its_manifest_and_its_size(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    windows = window(Traffic(), 300, 1), window(Traffic(new_year_ratio=0.2), 300, 2)
    told = explained(compare(*windows), sqlite_store, "default", windows, export=manifest(tmp_path))
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
