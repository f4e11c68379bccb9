"""`shalt verify` answers by its exit code, for people and for programs."""

import json
import tempfile
from pathlib import Path

import msgspec
import pytest

from exporters.request import ExportRequest
from exporters.verifying_files import NotAnExport
from shalt.settings import Settings
from shalt.verifying import EXIT_FAILED, EXIT_HOLDS, ExportNotRead, verify
from tests.exporters.conftest import make_store
from tests.exporters.forged import edit, exported


@pytest.fixture
def export(tmp_path: Path) -> Path:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    exported(store, tmp_path / "export", 60, ExportRequest())
    store.close()
    return tmp_path / "export"


def test_an_export_that_holds_is_said_to(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(export, as_json=False) == EXIT_HOLDS
    out = capsys.readouterr().out
    assert "ok      groups    " in out
    assert "skipped fairness" in out
    assert out.endswith("What could be checked holds; skipped: fairness.\n")


def test_what_failed_is_said_with_what_to_do(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "val.jsonl").unlink()
    assert verify(export, as_json=False) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "FAILED  files     1 problem" in out
    assert "val.jsonl is missing" in out
    assert "It does not hold" in out


def test_programs_get_one_object(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(export, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is True
    assert {check["name"] for check in found["checks"]} >= {"files", "groups", "content", "draw"}
    assert found["manifest_sha256"]


def test_the_store_knows_which_export_left_it(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(store=f"sqlite:///{export.parent / 'store.sqlite'}", data_dir=export.parent)
    assert verify(export, as_json=False, settings=settings) == EXIT_HOLDS
    assert "the store recorded it on 2026-10-02 12:00 UTC" in capsys.readouterr().out
    edit(export, lambda manifest: msgspec.structs.replace(manifest, warnings=("none",)))
    assert verify(export, as_json=False) == EXIT_HOLDS
    assert verify(export, as_json=False, settings=settings) == EXIT_FAILED
    assert "the store recorded no export with the manifest" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_proves_nothing(export: Path) -> None:
    (export / "train.jsonl").unlink()
    (export / "train.jsonl").symlink_to("train.jsonl")  # to itself
    with pytest.raises(NotAnExport, match="nothing is proved"):
        verify(export, as_json=False)


def test_without_room_for_scratch_files_nothing_is_proved(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(export / "nowhere"))
    with pytest.raises(ExportNotRead, match="nothing is proved"):
        verify(export, as_json=False)
