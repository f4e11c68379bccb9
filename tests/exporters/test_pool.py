"""Several processes write what one would have written; one that is killed ends the run."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporters import planning
from exporters.dataset import Stage, export
from exporters.pool import ProcessDied
from exporters.request import ExportRequest
from storage.store import TraceStore
from tests.exporters.calls import conversation, opening, record

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SEGMENT_CALLS", 20)


def fill(store: TraceStore) -> None:
    record(
        store, [call for g in range(60) for call in conversation(100 * g, opening(g), 1 + g % 3)]
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_the_bytes_do_not_depend_on_the_number_of_processes(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)
    for processes in (1, 3):  # and two: the next test
        export(sqlite_store, ExportRequest(), tmp_path / f"out{processes}", processes=processes)
    assert contents(tmp_path / "out3") == contents(tmp_path / "out1")
    assert multiprocessing.active_children() == []


def test_what_is_recorded_meanwhile_is_seen_by_none_of_the_processes(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store)
    export(store, ExportRequest(), tmp_path / "before", processes=1)

    def record_more(stage: Stage, done: int, total: int) -> None:
        if stage is Stage.PLAN and done:
            record(store, [c for g in range(60) for c in conversation(10**6 + g, opening(g), 1)], 2)

    export(store, ExportRequest(), tmp_path / "out", processes=2, progress=record_more)
    assert store.count("default") == 180
    assert contents(tmp_path / "out") == contents(tmp_path / "before")


def test_a_process_that_is_killed_ends_the_run_and_nothing_is_published(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)

    def kill(stage: Stage, done: int, total: int) -> None:
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(ProcessDied, match="was it killed"):
        export(sqlite_store, ExportRequest(), tmp_path / "out", processes=2, progress=kill)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    assert multiprocessing.active_children() == []


def test_what_goes_wrong_in_a_process_is_raised_here(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)

    def take_away(stage: Stage, done: int, total: int) -> None:
        if stage is Stage.PLAN and done:
            (tmp_path / ".out.partial" / "scratch").rmdir()

    with pytest.raises(FileNotFoundError):
        export(sqlite_store, ExportRequest(), tmp_path / "out", processes=2, progress=take_away)
    assert multiprocessing.active_children() == []


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from exporters import planning
from exporters.dataset import Stage, export
from exporters.request import ExportRequest
from storage.capture import SystemClock
from storage.store import TraceStore

def interrupt(stage, done, total):
    if stage is Stage.READ:
        os.killpg(0, signal.SIGINT)  # as a terminal does: to all of them

if __name__ == "__main__":
    planning.SEGMENT_CALLS = 20
    store = TraceStore(sys.argv[1], clock=SystemClock())
    export(store, ExportRequest(), Path(sys.argv[2]), processes=2, progress=interrupt)
"""


def test_ctrl_c_at_the_terminal_reaches_all_and_leaves_nothing(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    fill(sqlite_store)
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    url = sqlite_store.engine.url.render_as_string()
    run = subprocess.run(
        [sys.executable, script, url, tmp_path / "out"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # It ends when all who hold its pipes have, so none of its processes is left.
    assert run.returncode == -signal.SIGINT
    assert run.stderr.count("Traceback") == 1, run.stderr
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
