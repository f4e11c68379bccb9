"""`shalt drift`: the verdict as an exit code, the report as a file."""

import json
from pathlib import Path

import pytest

from exporters.windows import WindowError
from shalt.drifting import ReportNotWritten, drift
from shalt.settings import Settings

OLD, NEW = "where:tags['period']='2023'", "where:tags['period']='2024'"
HALF, OTHER_HALF = "where:substr(id,32,1)<'8'", "where:substr(id,32,1)>='8'"


def test_two_halves_of_the_same_traffic_are_quiet(demo_settings: Settings) -> None:
    assert drift(demo_settings, HALF, OTHER_HALF, json_file=None) == 0


def test_the_planted_change_is_found_and_named(
    demo_settings: Settings, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert drift(demo_settings, OLD, NEW, json_file=tmp_path / "report.json") == 3
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "drift"
    drifted = {finding["feature"] for finding in report["findings"] if finding["drift"]}
    assert drifted == {"prompt_years", "answer_years"}
    assert "of prompts name 2024" in capsysbinary.readouterr().out.decode()


def test_too_few_calls_are_not_called_quiet(demo_settings: Settings) -> None:
    assert drift(demo_settings, OLD, "where:tags['app']='digest'", json_file=None) == 4


def test_a_window_that_means_nothing_is_refused(demo_settings: Settings) -> None:
    with pytest.raises(WindowError, match="FROM..TO"):
        drift(demo_settings, "yesterday", NEW, json_file=None)


def test_a_report_that_cannot_be_written_is_said_so(
    demo_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ReportNotWritten, match="check --json"):
        drift(demo_settings, OLD, NEW, json_file=tmp_path / "absent" / "report.json")
