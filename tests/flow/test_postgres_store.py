"""A store in PostgreSQL, from the first call to the dataset, by the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.client import request
from tests.postgres import Server
from tests.relaying import wait_until
from tests.serving import ROOT, running_shalt
from tests.upstream import running_upstream

CALLS = 12


def test_calls_are_recorded_listed_copied_and_exported(postgres: Server, tmp_path: Path) -> None:
    store = postgres.url(postgres.create())

    def command(*words: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "shalt", *words, "--data-dir", str(tmp_path / "data")],
            env={**os.environ, "PYTHONPATH": str(ROOT), "SHALT_STORE": store},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return run.stdout

    with (
        running_upstream() as upstream,
        running_shalt(tmp_path / "data", f"{upstream.url}/v1", store=store) as shalt,
    ):
        for number in range(CALLS):
            asked = {"model": "m", "messages": [{"role": "user", "content": f"Question {number}?"}]}
            path = "/v1/stream" if number % 3 == 0 else "/v1/plain"
            assert request(shalt.port, path, json.dumps(asked).encode()).whole
        wait_until(lambda: shalt.status()["stored"] == CALLS)
        assert shalt.settled()
        assert len(command("ls", "--json").splitlines()) == CALLS
        assert shalt.stop() == 0
    status = json.loads(command("status", "--json"))
    assert status["ledger"]["balanced"] is True
    assert status["store"]["bytes"] > 1_000_000
    assert "sound" in command("db", "check", "--full")
    command("db", "backup", str(tmp_path / "copy"))
    command("db", "restore", str(tmp_path / "copy"), "--force")
    assert json.loads(command("db", "stats", "--json"))["calls"] == CALLS
    command("export", str(tmp_path / "dataset"))
    assert (tmp_path / "dataset" / "manifest.json").exists()
    assert not (tmp_path / "data" / "shalt.sqlite").exists()
    postgres.drop(store)
