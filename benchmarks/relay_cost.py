"""CPU that one recorded call costs, beside nginx (the limit) and a hand-written FastAPI + httpx.

    python -m benchmarks.relay_cost [--rounds 3] [--seconds 3] [--naive VENV] [--shared ../shared]

Each proxy runs on core 0, the load (wrk) and the upstream on core 1; a call is 1 KB out, 1.3 KB
back, 16 connections. Figures are medians over interleaved rounds, in CPU microseconds a call: of
the worker, and of the whole process tree (for shalt: with recorder, console and supervisor,
until everything is stored). Needs gcc, wrk, nginx, taskset; `--naive` is an environment with
fastapi, uvicorn and httpx, left out without it.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.client import request
from tests.flow.test_recorded_traffic import is_open
from tests.relaying import wait_until

TICKS: Final = os.sysconf("SC_CLK_TCK")
UPSTREAM_PORT: Final = 9100  # nginx.conf and naive.py of the bench name it
NGINX_PORT: Final = 9201
NAIVE_PORT: Final = 9202
SHALT_PORT: Final = 9230  # of none of the bench's peers
CONNECTIONS: Final = 16


@dataclass(frozen=True)
class Sample:
    """One round of one proxy: CPU microseconds a call of its worker and of all processes."""

    worker_us: float
    tree_us: float
    calls_per_second: float


@contextmanager
def running(command: list[str], port: int, core: int, cwd: Path, **env: str) -> Iterator[int]:
    """Run a server pinned to a core until it listens; yield its process id."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        cwd=cwd, env={**os.environ, **env},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: is_open(port))
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def tree_cpu(root: int) -> dict[int, float]:
    """CPU seconds so far of a process and all below it, by process id."""
    parents, seconds = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(entry.name)] = int(fields[1])
        seconds[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: seconds[pid] for pid in found if pid in seconds}


def worker_cpu(spent: Mapping[int, float]) -> float:
    """Give what shalt's workers spent; of another proxy its busiest process."""
    workers = [pid for pid in spent if is_worker(pid)]
    return sum(spent[pid] for pid in workers) if workers else max(spent.values(), default=0.0)


def is_worker(pid: int) -> bool:
    """Tell a worker of shalt from its recorder and console."""
    try:
        return b"shalt.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def load(port: int, seconds: float, work: Path, bench: Path) -> tuple[int, float]:
    """Send calls for so many seconds; return how many were answered, and the rate."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s"]
    command += ["-s", str(bench / "post.lua")]
    ran = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/chat/completions"],
        env={**os.environ, "BODY": str(work / "body.json"), "HEADERS": "Authorization: Bearer x"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"JSON (\{.*\})", ran.stdout)
    assert found, ran.stdout + ran.stderr
    counted = json.loads(found[1])
    assert counted["errors"] == 0, counted
    return int(counted["requests"]), counted["requests"] / counted["seconds"]


def measure(pid: int, port: int, seconds: float, work: Path, bench: Path) -> Sample:
    """Warm up, load, and let the proxy finish what it has begun."""
    load(port, 1, work, bench)
    settle(port)
    before = tree_cpu(pid)
    calls, rate = load(port, seconds, work, bench)
    settle(port)
    spent = {each: after - before.get(each, 0) for each, after in tree_cpu(pid).items()}
    worker, tree = worker_cpu(spent), sum(spent.values())
    return Sample(worker / calls * 1e6, tree / calls * 1e6, rate)


def settle(port: int) -> None:
    """Wait until shalt has stored everything; other proxies have nothing to wait for."""
    while port == SHALT_PORT:
        status = json.loads(request(port, "/api/status", b"", "GET").body)
        if status["backlog"] == status["in_flight"] == 0:
            return
        time.sleep(0.1)


def write_body(work: Path) -> None:
    """Write a chat request of 1 KB."""
    messages = [{"role": "user", "content": "Summarise what the team decided. " * 27}]
    body = json.dumps({"model": "mock", "messages": messages, "temperature": 0.2})
    (work / "body.json").write_text(body)


def commands(work: Path, bench: Path, naive: Path | None) -> dict[str, tuple[list[str], int]]:
    """How each proxy is started, and its port."""
    serve = [sys.executable, "-m", "shalt", "serve", "--port", str(SHALT_PORT)]
    serve += ["--upstream", f"http://127.0.0.1:{UPSTREAM_PORT}/v1", "--data-dir", str(work / "d")]
    found = {
        "nginx": (["nginx", "-p", str(work), "-c", str(bench / "nginx.conf")], NGINX_PORT),
        "shalt": (serve, SHALT_PORT),
    }
    if naive is not None:
        uvicorn = [str(naive / "bin" / "uvicorn"), "--app-dir", str(bench), "naive:app"]
        uvicorn += ["--port", str(NAIVE_PORT), "--no-access-log", "--log-level", "warning"]
        found["FastAPI + httpx"] = (uvicorn, NAIVE_PORT)
    return found


def main() -> None:
    """Measure all, round by round, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--naive", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    given = parser.parse_args()
    bench = given.shared.resolve() / "bench"
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_body(work)
        mock = work / "mock_upstream"
        subprocess.run(["gcc", "-O2", "-o", mock, bench / "mock_upstream.c"], check=True)
        with running([str(mock), str(UPSTREAM_PORT)], UPSTREAM_PORT, 1, work):
            for _ in range(given.rounds):
                for name, (command, port) in commands(work, bench, given.naive).items():
                    shutil.rmtree(work / "d", ignore_errors=True)
                    with running(command, port, 0, Path.cwd()) as pid:
                        wait_until(lambda port=port: answers(port))  # type: ignore[misc]
                        sample = measure(pid, port, given.seconds, work, bench)
                        samples.setdefault(name, []).append(sample)
    limit = statistics.median(sample.tree_us for sample in samples["nginx"])
    print(f"{'':16} {'worker us':>10} {'tree us':>10} {'x nginx':>8} {'calls/s':>9}")
    for name, found in samples.items():
        worker, tree, rate = (
            statistics.median(getattr(sample, field) for sample in found)
            for field in ("worker_us", "tree_us", "calls_per_second")
        )
        print(f"{name:16} {worker:10.0f} {tree:10.0f} {worker / limit:8.1f} {rate:9.0f}")


def answers(port: int) -> bool:
    """Tell whether calls are answered."""
    try:
        return request(port, "/v1/chat/completions", b'{"model": "mock"}').status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
