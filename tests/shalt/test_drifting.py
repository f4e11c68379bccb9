"""`shalt drift`: the verdict as an exit code, the report as files and in the store."""

import json
import shlex
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters.periods import Between, Exported, Matching
from exporters.windows import WindowError
from shalt.cli import app
from shalt.drifting import (
    Asked,
    NoReport,
    ReportNotWritten,
    drift,
    list_reports,
    narrowed,
    show_report,
)
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.drift_reports import NewReport, add_drift_report
from storage.filter_syntax import FilterError

OLD, NEW = "where:tags['period']='2023'", "where:tags['period']='2024'"
HALF, OTHER_HALF = "where:substr(id,32,1)<'8'", "where:substr(id,32,1)>='8'"


def test_two_halves_of_the_same_traffic_are_quiet(demo_settings: Settings) -> None:
    assert drift(demo_settings, Asked(HALF, OTHER_HALF), keep=False) == 0


def test_the_planted_change_is_found_named_and_kept(
    demo_settings: Settings, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    paths = tmp_path / "report.json", tmp_path / "report.html"
    assert drift(demo_settings, Asked(OLD, NEW), json_file=paths[0], html_file=paths[1]) == 3
    report = json.loads(paths[0].read_text())
    assert report["verdict"] == "drift"
    said = [finding for finding in report["findings"] if finding["value"] == "2024"]
    assert {finding["side"] for finding in said} == {"prompt", "answer"}
    printed = capsysbinary.readouterr()
    assert said[0]["action"]["command"] in printed.out.decode()
    assert said[0]["sentence"] in paths[1].read_text()

    list_reports(demo_settings, monitor="", limit=1, as_json=True)
    listed = json.loads(capsysbinary.readouterr().out)
    assert listed["id"] in printed.err.decode()
    assert (listed["verdict"], listed["reference"]) == ("drift", OLD)
    again = tmp_path / "again.json"
    assert show_report(demo_settings, listed["id"], json_file=again) == 3
    assert again.read_bytes() == paths[0].read_bytes()


def test_the_command_that_is_printed_builds_the_selection(
    own_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "report.json"
    drift(own_settings, Asked(OLD, NEW), json_file=file, keep=False)
    finding = next(
        each for each in json.loads(file.read_text())["findings"] if each["value"] == "2024"
    )
    words = shlex.split(finding["action"]["command"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHALT_DATA_DIR", str(own_settings.data_dir))
    run = CliRunner().invoke(app, [*words[1:], "--processes", "1"])
    assert run.exit_code == 0, run.output
    rows = (tmp_path / words[2] / "train.jsonl").read_text().splitlines()
    assert len(rows) > 50
    assert all("2024" in row for row in rows)


def test_a_filter_is_for_both_windows(demo_settings: Settings, tmp_path: Path) -> None:
    asked = Asked(OLD, NEW, where="tags['app'] = 'translate'")
    assert drift(demo_settings, asked, json_file=tmp_path / "a.json", keep=False) == 4
    report = json.loads((tmp_path / "a.json").read_text())
    for window in ("reference", "current"):
        assert report[window]["label"].endswith("and (tags['app'] = 'translate')")


@pytest.mark.parametrize("where", ["modle = 'x'", "1=1) or (1=1"])
def test_a_filter_is_one_by_itself_and_is_shown_as_it_was_written(
    where: str, demo_settings: Settings
) -> None:
    with pytest.raises(FilterError) as raised:
        drift(demo_settings, Asked("previous", "7d", where=where), keep=False)
    assert "started_at" not in str(raised.value)


def test_windows_are_narrowed_as_a_whole() -> None:
    assert narrowed(Matching("a or b"), "c or d") == Matching("(a or b) and (c or d)")
    assert narrowed(Between(None, None), "c") == Between(None, None, "c")
    assert narrowed(Matching("a"), "") == Matching("a")
    with pytest.raises(WindowError, match="export with the same --where"):
        narrowed(Exported(Path("dataset")), "a")


def test_too_few_calls_are_not_called_quiet(demo_settings: Settings) -> None:
    assert drift(demo_settings, Asked(OLD, "where:tags['app']='digest'"), keep=False) == 4


def test_a_window_that_means_nothing_is_refused(demo_settings: Settings) -> None:
    with pytest.raises(WindowError, match="FROM..TO"):
        drift(demo_settings, Asked("yesterday", NEW))


def test_a_report_that_is_not_kept_is_said_so(demo_settings: Settings) -> None:
    with pytest.raises(NoReport, match="shalt drift ls"):
        show_report(demo_settings, "f" * 32)


def test_a_report_of_another_version_is_said_so(demo_settings: Settings) -> None:
    new = NewReport("default", "", "7d", "drift", "dataset", b'{"version": 9}')
    with closing(open_store(demo_settings)) as store:
        report_id = add_drift_report(store, new, clock=SystemClock())
    with pytest.raises(NoReport, match="another version"):
        show_report(demo_settings, report_id)


def test_a_report_that_cannot_be_written_is_said_so(
    demo_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ReportNotWritten, match="check --html"):
        drift(demo_settings, Asked(OLD, NEW), html_file=tmp_path / "absent" / "a", keep=False)
