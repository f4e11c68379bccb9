"""What a call through shalt costs beside nginx (the limit) and the gateways people use.

    python -m benchmarks.gateways [NAME ...] [--peers DIR] [--rounds 3] [--seconds 4]

NAMEs are those of ../shared/bench/peers.toml; without any, nginx and shalt. Shalt records every
call, and after each cell its ledger must hold as many stored calls as were answered. `shalt_off`
is the same with `x-shalt-record: none`; `shalt_alone` is shalt with its recorder stopped while the
load lasts: what recording costs the worker itself, and not what a recorder does to the caches and
the turns of a core that both have to share here. Every proxy runs on core 0 with one worker; load
and upstream run on core 1; all are started before the first cell and measured in turn.

    cell       load
    plain_c1   wrk, 1 KB request, 1.2 KB answer, one connection
    plain_c64  the same, 64 connections
    plain20k   a request of 20 KB, 16 connections
    spaced_c1  streams of 8 chunks, 10 ms apart, one after the other
    spaced_c64 streams of 64 chunks, 10 ms apart, 64 at once

Figures are medians over the rounds: CPU milliseconds a call of the worker (of another proxy its
busiest process) and of the whole tree until everything is stored, latency and time to the first
token at the 50th percentile, and what both are above nginx's. Needs gcc, wrk, nginx, taskset, and
node for portkey.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.relay_cost import SHALT_PORT, UPSTREAM_PORT, settle, tree_cpu, worker_cpu
from tests.client import request
from tests.flow.test_recorded_traffic import is_open
from tests.relaying import wait_until

START_SECONDS: Final = 90.0  # LiteLLM takes 20
LIMIT: Final = "nginx"
OURS: Final = ("shalt", "shalt_off", "shalt_alone")
# The harness's configurations name the streams of its own cells only.
STREAM_MODELS: Final = {"mock-n32-g20": "mock-n64-g10"}


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    name: str
    kind: Literal["wrk", "stream"]
    model: str
    request_kb: int
    connections: int


CELLS: Final = (
    Cell("plain_c1", "wrk", "mock", 1, 1),
    Cell("plain_c64", "wrk", "mock", 1, 64),
    Cell("plain20k", "wrk", "mock", 20, 16),
    Cell("spaced_c1", "stream", "mock-n8-g10", 1, 1),
    Cell("spaced_c64", "stream", "mock-n64-g10", 1, 64),
)


@dataclass(frozen=True)
class Peer:
    """A proxy under measurement: `command` empty is the upstream itself."""

    name: str
    command: tuple[str, ...]
    url: str
    url_file: Path | None = None
    headers: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    model_prefix: str = ""

    def address(self) -> str:
        """Where it takes chat completions; a few choose the port themselves."""
        if self.url_file is not None:
            return self.url_file.read_text() + "/chat/completions"
        return self.url


@dataclass(frozen=True)
class Sample:
    """One cell of one round."""

    calls: int
    worker_ms: float
    tree_ms: float
    p50_ms: float
    first_token_ms: float | None


def main() -> None:
    """Measure all, round by round, and print medians and what lies above nginx."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[LIMIT, *OURS])
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="their environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--cells", nargs="+", default=[cell.name for cell in CELLS])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    given = parser.parse_args()
    cells = [cell for cell in CELLS if cell.name in given.cells]
    found: dict[tuple[str, str], list[Sample]] = {}
    with running_mock(given.shared) as (work, bench), ExitStack() as stack:
        peers = listed(given.names, bench, work, given.peers.resolve())
        pids: dict[str, int | None] = {}
        for peer in peers:
            try:
                running = stack.enter_context(started(peer, pids.get("shalt"), work))
            except AssertionError:
                print(f"{peer.name} gave no good answer in {START_SECONDS:g} s, left out")
                continue
            pids[peer.name] = running
        for _ in range(given.rounds):
            for peer in (peer for peer in peers if peer.name in pids):
                for cell in cells:
                    sample = measure(peer, cell, pids[peer.name], given.seconds, work, bench)
                    if sample is not None:
                        found.setdefault((cell.name, peer.name), []).append(sample)
    for cell in cells:
        report(cell, {name: samples for (of, name), samples in found.items() if of == cell.name})


@contextmanager
def running_mock(shared: Path) -> Iterator[tuple[Path, Path]]:
    """Run the harness's upstream on core 1; yield a scratch directory and a copy of the harness."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bench = copied(shared.resolve() / "bench", work / "bench")
        mock = [str(work / "mock"), str(UPSTREAM_PORT)]
        subprocess.run(["gcc", "-O2", "-o", mock[0], bench / "mock_upstream.c"], check=True)
        with pinned(mock, 1, work):
            wait_until(lambda: is_open(UPSTREAM_PORT))
            yield work, bench


def copied(bench: Path, to: Path) -> Path:
    """Copy the harness, its configurations naming the streams of our cells."""
    shutil.copytree(bench, to)
    for path in to.iterdir():
        path.chmod(0o644)
        if path.suffix in (".toml", ".yaml"):
            text = path.read_text()
            for theirs, ours in STREAM_MODELS.items():
                text = text.replace(theirs, ours)
            path.write_text(text)
    return to


def listed(names: Sequence[str], bench: Path, work: Path, peers: Path) -> list[Peer]:
    """Read how each is started; shalt is ours to say."""
    known = tomllib.loads((bench / "peers.toml").read_text())
    places = {"BENCH": str(bench), "WORK": str(work), "PEERS": str(peers)}

    def filled(text: str) -> str:
        return re.sub(r"\$(BENCH|WORK|PEERS)", lambda match: places[match[1]], text)

    serve = f"{sys.executable} -m shalt serve --port {SHALT_PORT} --data-dir {work}/data"
    serve += f" --upstream http://127.0.0.1:{UPSTREAM_PORT}/v1"
    url = f"http://127.0.0.1:{SHALT_PORT}/v1/chat/completions"
    ours = {
        "shalt": Peer("shalt", tuple(serve.split()), url),
        "shalt_off": Peer("shalt_off", (), url, headers=("x-shalt-record: none",)),
        "shalt_alone": Peer("shalt_alone", (), url),
    }
    return [
        ours.get(name)
        or Peer(
            name,
            tuple(shlex.split(filled(known[name].get("cmd", "")))),
            known[name].get("url", ""),
            Path(filled(known[name]["url_file"])) if "url_file" in known[name] else None,
            tuple(known[name].get("headers", ())),
            {key: filled(value) for key, value in known[name].get("env", {}).items()},
            known[name].get("model_prefix", ""),
        )
        for name in names
    ]


@contextmanager
def pinned(command: Sequence[str], core: int, cwd: Path, **environment: str) -> Iterator[int]:
    """Run a process on one core; yield its id."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        cwd=cwd, env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def started(peer: Peer, shalt_pid: int | None, work: Path) -> Iterator[int | None]:
    """Start a proxy and wait for its first good answer; our other names are the shalt that runs."""
    if not peer.command:
        yield shalt_pid
        return
    here = Path.cwd() if peer.name == "shalt" else work
    with pinned(peer.command, 0, here, **dict(peer.environment or {})) as pid:
        wait_until(lambda: answers(peer), START_SECONDS)
        yield pid


def answers(peer: Peer) -> bool:
    """Tell whether calls are answered."""
    body = {"model": peer.model_prefix + "mock", "messages": [{"role": "user", "content": "hi"}]}
    try:
        asked = Request(peer.address(), json.dumps(body).encode(), headers_of(peer))
        with urlopen(asked, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def headers_of(peer: Peer) -> dict[str, str]:
    """Give the headers of its calls by name."""
    pairs = (header.split(": ", 1) for header in peer.headers)
    return {"Content-Type": "application/json", **{name: value for name, value in pairs}}


def measure(
    peer: Peer, cell: Cell, pid: int | None, seconds: int, work: Path, bench: Path
) -> Sample | None:
    """Load one cell and count CPU until the proxy has finished what it has begun."""
    body = written_body(work, cell, peer.model_prefix)
    ours = peer.name in OURS
    if ours:
        settle(SHALT_PORT)
    before = ledger() if ours else {}
    cpu = tree_cpu(pid) if pid else {}
    with recorder_stopped(cpu if peer.name == "shalt_alone" else ()):
        counted = load(peer, cell, body, seconds, bench)
    if counted is None:
        return None
    if ours:
        settle(SHALT_PORT)
        check_ledger(before, ledger(), int(counted["requests"]), peer.name)
    spent = {each: now - cpu.get(each, 0) for each, now in (tree_cpu(pid) if pid else {}).items()}
    calls = int(counted["requests"])
    per_call = 1e3 / calls
    return Sample(
        calls,
        worker_cpu(spent) * per_call,
        sum(spent.values()) * per_call,
        counted["p50_ms"],
        counted.get("ttft_p50_ms"),
    )


@contextmanager
def recorder_stopped(processes: Iterable[int]) -> Iterator[None]:
    """Stop shalt's recorder, if it is among these processes, and let it go on afterwards."""
    found = [
        pid for pid in processes if b"shalt.recording" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


def load(peer: Peer, cell: Cell, body: Path, seconds: int, bench: Path) -> dict[str, float] | None:
    """Send calls for so many seconds; None where the proxy answered none of them well."""
    environment = {**os.environ, "BODY": str(body), "HEADERS": "\n".join(peer.headers)}
    if cell.kind == "wrk":
        command = ["wrk", "-t1", f"-c{cell.connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", str(bench / "post.lua"), peer.address()]
    else:
        command = [sys.executable, str(bench / "load.py"), "stream", peer.address(), str(body)]
        command += ["--conns", str(cell.connections), "--seconds", str(seconds)]
        for header in peer.headers:
            command += ["--header", header]
    ran = subprocess.run(
        ["taskset", "-c", "1", *command], env=environment, capture_output=True, text=True
    )
    lines = [line.removeprefix("JSON ") for line in ran.stdout.splitlines()]
    said = [json.loads(line) for line in lines if line.startswith("{")]
    if not said or not said[-1]["requests"] or said[-1]["errors"] > said[-1]["requests"] / 100:
        print(f"{peer.name} {cell.name}: no good answers: {said or ran.stderr[-300:]}", flush=True)
        return None
    counted: dict[str, float] = said[-1]
    return counted


def written_body(work: Path, cell: Cell, prefix: str) -> Path:
    """Write a chat request of the cell's size."""
    turn = "Summarise what the team decided about the release, with owners and open risks. "
    content = (turn * (cell.request_kb * 1000 // len(turn) + 1))[: cell.request_kb * 1000 - 120]
    messages = [{"role": "user", "content": content}]
    asked: dict[str, object] = {"model": prefix + cell.model, "messages": messages}
    asked |= {"stream": True} if cell.kind == "stream" else {"temperature": 0.2}
    path = work / f"{cell.name}-{len(prefix)}.json"
    path.write_text(json.dumps(asked))
    return path


def ledger() -> dict[str, int]:
    """What became of every call so far."""
    status = json.loads(request(SHALT_PORT, "/api/status", b"", "GET").body)
    return {name: count for name, count in status.items() if isinstance(count, int)}


def check_ledger(
    before: Mapping[str, int], after: Mapping[str, int], calls: int, name: str
) -> None:
    """Fail unless every answered call is stored, or opted out, and none is unaccounted for."""
    kept = "opted_out" if name == "shalt_off" else "stored"
    grown = {each: after[each] - before[each] for each in ("accepted", kept)}
    assert grown["accepted"] == grown[kept] >= calls, (grown, calls)


def report(cell: Cell, found: Mapping[str, Sequence[Sample]]) -> None:
    """Print a cell: a line for each proxy."""

    def median(name: str, field: str) -> float:
        values = [getattr(sample, field) for sample in found.get(name, ())]
        return statistics.median(values) if values and None not in values else float("nan")

    print(f"\n{cell.name:<20}{'worker ms':>11}{'tree ms':>9}{'x nginx':>9}{'p50 ms':>9}", end="")
    print(f"{'above':>8}{'token ms':>10}{'above':>8}{'calls':>9}")
    limit = {field: median(LIMIT, field) for field in ("tree_ms", "p50_ms", "first_token_ms")}
    for name in found:
        p50, token = median(name, "p50_ms"), median(name, "first_token_ms")
        print(
            f"{name:<20}{median(name, 'worker_ms'):>11.4f}{median(name, 'tree_ms'):>9.4f}"
            f"{median(name, 'worker_ms') / limit['tree_ms']:>9.1f}"
            f"{p50:>9.3f}{p50 - limit['p50_ms']:>8.3f}"
            f"{token:>10.3f}{token - limit['first_token_ms']:>8.3f}"
            f"{sum(sample.calls for sample in found[name]):>9,}"
        )


if __name__ == "__main__":
    main()
