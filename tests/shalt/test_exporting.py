"""`shalt export`, over the demo's traffic."""

import signal
from pathlib import Path

import pytest

from exporters.request import ExportRequest
from exporters.staging import StagingError, staging
from exporters.tool_files import ToolsError
from exporters.toolsets import ToolMode
from shalt import exporting
from shalt.settings import Settings

Printed = pytest.CaptureFixture[bytes]


def test_export_writes_the_files_and_says_what_became_of_every_call(
    own_settings: Settings, tmp_path: Path, capsysbinary: Printed
) -> None:
    directory = tmp_path / "dataset"
    exporting.export(own_settings, ExportRequest(), directory)
    text = capsysbinary.readouterr().out.decode()
    rows = [len((directory / f"{s}.jsonl").read_text().splitlines()) for s in ("train", "val")]
    assert min(rows) > 0
    assert f"  train               {rows[0]:>8,} rows of {rows[0]:,} groups" in text
    assert "token_limit" in text
    assert "warning: test.jsonl" in text


def test_export_to_a_full_directory_is_refused(own_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(StagingError, match="full"):
        exporting.export(own_settings, ExportRequest(), tmp_path / "full")


def test_the_current_tools_are_read_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text('[{"name": "find"}]')
    asked = exporting.ask("default", current=path, subsets="", tools="upgrade")
    assert (asked.tools, asked.current_tools) == (ToolMode.UPGRADE, '[{"name": "find"}]')
    path.write_text("[7]")
    with pytest.raises(ToolsError, match=r"tools\.json: tool 1 is not an object"):
        exporting.ask("default", current=path, subsets="", tools="upgrade")


def test_an_export_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    out = staging(tmp_path / "out")
    with pytest.raises(SystemExit) as ended, exporting.ended_in_order(), out:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before
