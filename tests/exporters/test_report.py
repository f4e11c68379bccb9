"""A report for programs and for people."""

import json

import msgspec
import pytest

from exporters.drift import DriftReport, compare
from exporters.report import report_json, report_text
from tests.exporters.calls import Traffic, window


def drifted() -> DriftReport:
    return compare(window(Traffic(), 500, 1), window(Traffic(new_year_ratio=0.1), 500, 2))


def test_the_json_reads_back_as_the_report() -> None:
    report = drifted()
    assert msgspec.json.decode(report_json(report), type=DriftReport) == report


def test_the_json_has_the_documented_names() -> None:
    written = json.loads(report_json(drifted()))
    assert list(written) == [
        "version",
        "verdict",
        "why",
        "alpha",
        "feature_version",
        "reference",
        "current",
        "shared_groups",
        "findings",
        "unseen",
        "outcomes",
        "classifiers",
        "self_check",
        "hours",
        "notes",
        "scores",
    ]
    assert list(written["findings"][0])[:8] == [
        "feature",
        "side",
        "kind",
        "value",
        "sentence",
        "reference",
        "current",
        "effect",
    ]


def test_the_text_begins_with_the_verdict_and_says_what_changed() -> None:
    report = drifted()
    text = report_text(report)
    assert text.startswith("DRIFT: ")
    assert report.findings[0].sentence in text
    assert report.findings[0].example_call_ids[0] in text
    assert "Never seen in the reference" in text


@pytest.mark.parametrize("width", [20, 60, 80])
def test_the_text_keeps_to_the_width(width: int) -> None:
    prose = [line for line in report_text(drifted(), width).splitlines() if "█" not in line]
    assert max(map(len, prose)) <= 80


def test_the_text_of_a_quiet_report_is_short() -> None:
    text = report_text(compare(window(Traffic(), 500, 1), window(Traffic(), 500, 3)))
    assert text.startswith("QUIET: ")
    assert "What changed" not in text


def test_the_text_has_no_control_characters() -> None:
    report = msgspec.structs.replace(
        drifted(),
        reference=msgspec.structs.replace(drifted().reference, label="where:\x1b[2J\n"),
    )
    assert all(character.isprintable() or character == "\n" for character in report_text(report))
    assert "where:?[2J?" in report_text(report)
