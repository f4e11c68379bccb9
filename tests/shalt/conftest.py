"""A data directory with real traffic: that of the demo, through real processes, once a session."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from shalt.recording import open_store
from shalt.settings import Settings
from tests.serving import run_shalt


@pytest.fixture(scope="session")
def demo_output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run `shalt demo --once`; return its data directory and what it printed."""
    data_dir = tmp_path_factory.mktemp("demo") / "data"
    run = run_shalt("demo", "--once", "--port", "0", "--data-dir", data_dir)
    assert run.returncode == 0, run.stderr
    return data_dir, run.stdout


@pytest.fixture(scope="session")
def demo_settings(demo_output: tuple[Path, str]) -> Settings:
    """The settings that see the demo's traffic."""
    return Settings(data_dir=demo_output[0])


@pytest.fixture
def own_settings(demo_settings: Settings, tmp_path: Path) -> Settings:
    """Those that see a copy of it, for who changes it: an export does, and a policy."""
    with closing(open_store(demo_settings)) as store, store.snapshot():
        shutil.copytree(demo_settings.data_dir, tmp_path / "data")
    return Settings(data_dir=tmp_path / "data")
