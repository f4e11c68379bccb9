"""The card says what the manifest says, and nothing in it is taken for markup."""

import hashlib
from pathlib import Path

import pytest

from exporters.card import CARD_FILE, card
from exporters.dataset import export
from exporters.manifest import Manifest
from exporters.request import ExportRequest
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import conversation, opening, record


@pytest.fixture(name="made")
def _made(sqlite_store: TraceStore, tmp_path: Path) -> Manifest:
    record(
        sqlite_store,
        [call for g in range(300) for call in conversation(100 * g, opening(g), 1 + g % 2)],
    )
    request = ExportRequest(
        where="request_model <> '|`x`|'", subsets=(50.0,), time_holdout="1990-01-01.."
    )
    return export(sqlite_store, request, tmp_path / "out")


def test_the_card_lies_beside_the_rows_and_its_hash_is_in_the_manifest(
    made: Manifest, tmp_path: Path
) -> None:
    data = (tmp_path / "out" / CARD_FILE).read_bytes()
    (entry,) = [file for file in made.files if file.name == CARD_FILE]
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert data.decode().endswith(card(made))


def test_sizes_and_the_difference_that_shows_are_said(made: Manifest) -> None:
    text = card(made)
    test = made.sides[Side.TEST]
    assert f"| `test.jsonl` | {test.rows:,} | {test.groups:,} |" in text
    assert f"With {test.groups} groups" in text
    assert "points |" in text
    assert "| `train-50.jsonl` |" in text
    assert f"SHA-256({made.policy.salt} NUL default NUL group)" in text


def test_every_reason_that_counted_has_its_row(made: Manifest) -> None:
    text = card(made)
    reasons = {reason for entry in made.sides.values() for reason in entry.reasons}
    assert reasons
    assert "held by the row of a later call" in text


def test_the_text_of_a_filter_is_code_and_breaks_no_table(made: Manifest) -> None:
    assert "request_model <> '|`x`|'" in card(made)  # within the indented report
    (line,) = [line for line in card(made).splitlines() if "1990-01-01.." in line]
    assert "`1990-01-01..`" in line


def test_versions_of_instructions_are_listed(made: Manifest) -> None:
    (template,) = made.versions.templates
    assert f"| `{template.fingerprint}` | `Be brief.` | {sum(template.rows.values())} |" in card(
        made
    )
