"""An export as a process: it says how far it is, and ends when nobody wants it any more."""

import subprocess
import sys
from pathlib import Path

import msgspec

from shalt.dataset_jobs import JobOrders, JobReport
from shalt.settings import Settings

CHECKOUT = Path(__file__).parents[2]


def start(settings: Settings, directory: Path, **request: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "shalt.dataset_job"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    orders = JobOrders(settings.model_dump_json(round_trip=True), request, str(directory))
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(orders) + b"\n")
    process.stdin.flush()
    return process


def reports(process: subprocess.Popen[bytes]) -> list[JobReport]:
    assert process.stdout is not None
    with process.stdout:
        return [msgspec.json.decode(line, type=JobReport) for line in process.stdout]


def test_it_says_how_far_it_is_and_how_it_ended(own_settings: Settings, tmp_path: Path) -> None:
    with start(own_settings, tmp_path / "out") as process:
        said = reports(process)
    assert said[-1] == JobReport(ended=True)
    assert {"planning", "reading calls", "writing files"} <= {report.stage for report in said}
    assert (tmp_path / "out" / "manifest.json").exists()


def test_what_cannot_be_exported_is_said(own_settings: Settings, tmp_path: Path) -> None:
    with start(own_settings, tmp_path / "out", project="nobody") as process:
        (*_, last) = reports(process)
    assert last.ended
    assert "no calls to export" in last.error
    assert process.returncode == 0  # although nobody has closed its standard input


def test_it_ends_with_who_asked_and_leaves_nothing(own_settings: Settings, tmp_path: Path) -> None:
    with start(own_settings, tmp_path / "out") as process:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
