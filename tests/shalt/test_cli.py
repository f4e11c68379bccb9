"""The command line as a process: exit codes, errors, help, and what it does not load."""

import subprocess
import sys
from pathlib import Path

import pytest

from shalt.places import Places
from shalt.settings import Settings
from tests.serving import ROOT, run_shalt

COMMANDS = "serve demo record ls show status split export drift config".split()


def test_help_names_every_command(tmp_path: Path) -> None:
    run = run_shalt("--help", folder=tmp_path)
    assert run.returncode == 0
    assert all(f"\n  {command}" in run.stdout for command in COMMANDS)


def test_help_loads_no_settings_and_no_database(tmp_path: Path) -> None:
    heavy = "{'pydantic', 'sqlalchemy', 'numpy', 'scipy', 'fastapi', 'rich', 'orjson'}"
    code = f"import sys, shalt.cli; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert run_shalt("--version", folder=tmp_path).stdout.startswith("shalt 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls"], "shalt: the store sqlite:///shalt-data/shalt.sqlite is not there"),
        (["status"], "shalt: there is no data directory shalt-data"),
        (["config", "--config", "absent.toml"], "shalt: absent.toml: cannot be read"),
        (["serve", "--host", "0.0.0.0"], "shalt: settings: host 0.0.0.0 can be reached"),
        (["serve", "--workers", "0"], "shalt: --workers: Input should be greater"),
        (["show", "x", "--decoded"], "--decoded is for --raw"),
        (["drift", "--reference", "x"], "say both windows"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    run = run_shalt(*arguments, folder=tmp_path)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_variable_that_is_not_a_setting_is_refused(tmp_path: Path) -> None:
    run = run_shalt("config", folder=tmp_path, variables={"SHALT_PROT": "1"})
    assert run.returncode == 2
    assert "did you mean SHALT_PORT?" in run.stderr


def test_a_closed_pipe_is_quiet(demo_settings: Settings) -> None:
    command = f"{sys.executable} -m shalt ls --limit 600 --data-dir {demo_settings.data_dir}"
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.startswith("id\t")
    assert run.stderr == ""


def test_the_exit_code_of_drift_reaches_the_shell(demo_settings: Settings, tmp_path: Path) -> None:
    run = run_shalt(
        *("drift", "--data-dir", demo_settings.data_dir),
        *("--reference", "where:tags['period']='2023'"),
        *("--current", "where:tags['period']='2024'"),
        folder=tmp_path,
    )
    assert run.returncode == 3, run.stderr


def test_record_stores_only_where_nobody_else_does(tmp_path: Path) -> None:
    places = Places(tmp_path / "data")
    places.prepare()
    with places.lock():
        run = run_shalt("record", "--data-dir", places.data_dir, folder=tmp_path)
    assert run.returncode == 2
    assert "another shalt is running on" in run.stderr


def test_a_package_of_another_application_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "__init__.py").touch()
    run = run_shalt("--version", folder=tmp_path)  # the working directory comes first
    assert run.returncode == 2
    assert "the package storage is taken from" in run.stderr
