"""The whole of shalt as a user starts it: real processes, a real port, a data directory."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg

from tests.relaying import wait_until
from tests.stores import lay_file

ROOT = Path(__file__).parent.parent
COMMAND_SECONDS_MAX = 100


def run_shalt(
    *words: str | Path, folder: Path = ROOT, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of shalt in a folder, with these SHALT_* variables and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SHALT_")}
    return subprocess.run(
        [sys.executable, "-m", "shalt", *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
    )


@dataclass
class Shalt:
    """A running `shalt serve`."""

    process: subprocess.Popen[str]
    port: int
    data_dir: Path
    store: str = ""  # the URL of a PostgreSQL database, empty for the file in the data directory

    def get(self, path: str) -> bytes:
        """Fetch a page of it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            data: bytes = answer.read()
        return data

    def status(self) -> dict[str, int]:
        """The ledger."""
        ledger: dict[str, int] = json.loads(self.get("/api/status"))
        return ledger

    def settled(self) -> bool:
        """Whether everything accepted has been stored or accounted for."""
        status = self.status()
        return bool(status["store_ready"]) and status["backlog"] == status["in_flight"] == 0

    def child(self, module: str) -> int:
        """The process id of the child that runs a module, 0 if there is none."""
        return next(iter(self.children(module)), 0)

    def children(self, module: str) -> list[int]:
        """The process ids of the children that run a module."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid and module.encode() in command:
                found.append(int(entry.name))
        return found

    def kill(self, module: str) -> int:
        """Kill the child that runs a module, as soon as there is one; return its process id."""
        # One look decides: a second one may find none, where the first found one that was dying.
        victim = wait_until(lambda: self.child(module))
        assert victim > 0, "0 would be ourselves"
        os.kill(victim, signal.SIGKILL)
        return victim

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the store, past shalt."""
        if self.store:
            with psycopg.connect(self.store) as connection:
                return connection.execute(sql.encode()).fetchall()
        with closing(sqlite3.connect(self.data_dir / "shalt.sqlite")) as database:
            return database.execute(sql).fetchall()

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command on its data directory and its store."""
        variables = {"SHALT_STORE": self.store} if self.store else {}
        return run_shalt(*words, "--data-dir", self.data_dir, variables=variables)

    def stop(self) -> int:
        """Ask it to end; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def running_shalt(
    data_dir: Path, upstream: str, *options: str, store: str = "", log: IO[str] | None = None
) -> Iterator[Shalt]:
    """Start `shalt serve` on a free port; end it, if the test has not. `log`: for what it logs.

    Where it has no store yet, it finds an empty one.
    """
    if not store:
        lay_file(data_dir / "shalt.sqlite")
    command = [sys.executable, "-m", "shalt", "serve", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(
        [*command, *(("--upstream", upstream) if upstream else ()), *options],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=data_dir.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **({"SHALT_STORE": store} if store else {})},
    )
    assert process.stdout is not None
    try:
        found = None
        while found is None:
            line = process.stdout.readline()
            assert line, f"shalt ended with {process.wait()}"
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        shalt = Shalt(process, int(found[1]), data_dir, store)
        wait_until(lambda: b"ok" in shalt.get("/healthz"))
        yield shalt
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        process.stdout.close()
