"""A store in PostgreSQL, from the first call to the dataset, by the command line."""

import json
from pathlib import Path

from tests.client import request
from tests.postgres import Server
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

CALLS = 12


def output(shalt: Shalt, *words: str) -> str:
    """Run a command that must succeed; return what it prints."""
    run = shalt.run(*words)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_calls_are_recorded_listed_copied_and_exported(postgres: Server, tmp_path: Path) -> None:
    store = postgres.url(postgres.create())
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
        assert len(output(shalt, "ls", "--json").splitlines()) == CALLS
        assert shalt.stop() == 0
    status = json.loads(output(shalt, "status", "--json"))
    assert status["ledger"]["balanced"] is True
    assert status["store"]["bytes"] > 1_000_000
    assert "sound" in output(shalt, "db", "check", "--full")
    output(shalt, "db", "backup", str(tmp_path / "copy"))
    output(shalt, "db", "restore", str(tmp_path / "copy"), "--force")
    assert json.loads(output(shalt, "db", "stats", "--json"))["calls"] == CALLS
    output(shalt, "export", str(tmp_path / "dataset"))
    assert (tmp_path / "dataset" / "manifest.json").exists()
    assert not (tmp_path / "data" / "shalt.sqlite").exists()
    postgres.drop(store)
