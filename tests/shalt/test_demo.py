"""`shalt demo` from its start to its end, and what it tells people to try."""

import shlex
import socket
from contextlib import closing
from pathlib import Path

import pytest

from shalt.demo_calls import PERIODS, conversations
from shalt.recording import open_store
from shalt.settings import Settings
from tests.serving import run_shalt

EXIT_CODES = {"no drift: two random halves": 0, "drift: the callers of 2024": 3}


def test_every_call_of_the_demo_is_stored_once(demo_settings: Settings) -> None:
    sent = sum(len(calls) for period in PERIODS for calls in conversations(period))
    with closing(open_store(demo_settings)) as store:
        assert store.count("default") == sent
        assert store.ledger_totals().stored == sent


def test_the_demo_says_where_to_point_an_application(demo_output: tuple[Path, str]) -> None:
    assert "shalt listens on http://127.0.0.1:" in demo_output[1]
    assert 'OpenAI(base_url="http://127.0.0.1:' in demo_output[1]


def test_everything_it_tells_to_try_works(
    demo_output: tuple[Path, str], own_settings: Settings, tmp_path: Path
) -> None:
    printed = demo_output[1].replace(str(demo_output[0]), str(own_settings.data_dir))
    lines = [line.strip() for line in printed.splitlines()]
    tried = 0
    for title, command in zip(lines, lines[1:], strict=False):
        if title.startswith("# "):
            program, *words = shlex.split(command)
            assert program == "shalt"
            run = run_shalt(*words, folder=tmp_path)
            expected = next((EXIT_CODES[key] for key in EXIT_CODES if key in title), 0)
            assert run.returncode == expected, (command, run.stdout, run.stderr)
            tried += 1
    assert tried == 7
    assert (tmp_path / "demo-dataset" / "manifest.json").exists()


@pytest.fixture(scope="module")
def elsewhere(demo_output: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo again, where settings of the product name a store; return its path."""
    path = tmp_path_factory.mktemp("elsewhere") / "shalt.sqlite"
    variables = dict.fromkeys(("SHALT_STORE", "SHALT_UPSTREAM"), f"sqlite:///{path}")
    words = ("demo", "--once", "--port=0", "--data-dir", demo_output[0])
    run = run_shalt(*words, variables=variables)
    assert run.returncode == 0, run.stderr
    return path


@pytest.mark.usefixtures("elsewhere")
def test_traffic_is_sent_once_and_an_old_directory_is_served_as_it_is(
    demo_settings: Settings,
) -> None:
    sent = sum(len(calls) for period in PERIODS for calls in conversations(period))
    with closing(open_store(demo_settings)) as store:
        assert store.count("default") == sent


def test_a_port_in_use_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = run_shalt("demo", "--port", str(port), "--data-dir", tmp_path)
    assert run.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in run.stderr


def test_the_demo_minds_no_settings_of_the_product(elsewhere: Path) -> None:
    assert not elsewhere.exists()
