"""Half an hour under load, the store taken away for a part of it: does anything grow or get lost?

    python -m benchmarks.soak [--minutes 30] [--away 5] [--rate 1000] [--streams 16]

`shalt serve` records `--rate` JSON calls a second, and `--streams` streams of 64 chunks all the
time. A third of the way in the store is locked by another for `--away` minutes. The ledger is read
every second and must add up each time; the memory of each process is compared: the mean of the
minute before the store goes with that of the last minute (limit GROWTH_MB_MAX). In the end the
backlog must be empty and as many calls stored as were answered.

Half of what one core serves with everything on it (benchmarks.gateways) is 2,000 calls a second;
where the load runs on the same two cores, less.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.gateways import running_mock
from benchmarks.recorder_limits import MODULES, resident_bytes, store_away
from benchmarks.relay_cost import UPSTREAM_PORT
from storage.ledger import Ledger, is_balanced
from tests.serving import Shalt, running_shalt

LOOK_SECONDS: Final = 1.0
GROWTH_MB_MAX: Final = 10.0
DRAIN_SECONDS_MAX: Final = 1_800.0


@dataclass
class Seen:
    """What was read while it ran: memory of each process in MB by the second, and the ledger."""

    shalt: Shalt
    began: float = field(default_factory=time.monotonic)
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    readings: int = 0
    unbalanced: int = 0
    backlog_max: int = 0

    def watch(self, until: float) -> None:
        """Look once a second until that many seconds from the beginning."""
        while (now := time.monotonic() - self.began) < until:
            self.look(now)
            time.sleep(LOOK_SECONDS)

    def look(self, now: float) -> Ledger:
        """Read the ledger and the memory of every process."""
        ledger = Ledger(**msgspec.json.decode(self.shalt.get("/api/status")))
        self.readings += 1
        self.unbalanced += not is_balanced(ledger)
        self.backlog_max = max(self.backlog_max, ledger.backlog)
        for module in MODULES:
            used = resident_bytes(self.shalt.child(module)) / 1e6
            self.memory.setdefault(module, []).append((now, used))
        return ledger

    def mean_memory(self, module: str, start: float, end: float) -> float:
        """Give the mean memory of a process between two times, in MB."""
        return statistics.mean(used for at, used in self.memory[module] if start <= at < end)


def main() -> None:
    """Run it, print what was seen, and leave with 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--away", type=float, default=5)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    given = parser.parse_args()
    whole, away = given.minutes * 60, given.away * 60
    upstream = f"http://127.0.0.1:{UPSTREAM_PORT}/v1"
    with (
        running_mock(given.shared) as (work, bench),
        running_shalt(work / "data", upstream) as shalt,
    ):
        url = f"http://127.0.0.1:{shalt.port}/v1/chat/completions"
        loads = [
            load(bench, work, "rate", url, "mock-d20", f"--rate={given.rate}", whole),
            load(bench, work, "stream", url, "mock-n64-g10", f"--conns={given.streams}", whole),
        ]
        seen = Seen(shalt)
        seen.watch(whole / 3)
        with store_away(shalt.data_dir / "shalt.sqlite", "locked"):
            seen.watch(whole / 3 + away)
        seen.watch(whole)
        answers = [json.loads(process.communicate()[0]) for process in loads]
        ended = time.monotonic()
        while (ledger := seen.look(whole)).backlog + ledger.in_flight:
            assert time.monotonic() < ended + DRAIN_SECONDS_MAX, ledger
            time.sleep(0.1)
        drained = time.monotonic() - ended
        stored = shalt.rows("select count(*) from call")[0][0]
        amiss = shalt.rows(
            "select outcome, status_code, error, count(*) from call where outcome <> 'complete' "
            "group by outcome, status_code, error"
        )
    minute = min(60.0, whole / 10)
    growth = {
        module: seen.mean_memory(module, whole - minute, whole)
        - seen.mean_memory(module, whole / 3 - minute, whole / 3)
        for module in MODULES
    }
    answered = sum(answer["requests"] for answer in answers)
    errors = sum(answer["errors"] for answer in answers)
    print(
        f"{given.minutes:g} minutes, {answered:,} calls answered, {errors} not, stored {stored:,}"
    )
    for each in amiss:
        print("stored as", *each)
    print(f"backlog at most {seen.backlog_max:,}, empty {drained:.1f} s after the last call")
    print(f"ledger read {seen.readings:,} times, unbalanced {seen.unbalanced}")
    for answer, name in zip(answers, ("JSON", "streams"), strict=True):
        print(f"{name}: p50 {answer['p50_ms']:.1f} ms, p99 {answer['p99_ms']:.1f} ms")
    for module, grown in growth.items():
        most = max(used for _, used in seen.memory[module])
        print(f"{module}: {grown:+.1f} MB (limit {GROWTH_MB_MAX:g}), at most {most:.0f} MB")
    if errors or seen.unbalanced or stored < answered or max(growth.values()) > GROWTH_MB_MAX:
        raise SystemExit(1)


def load(
    bench: Path, work: Path, kind: str, url: str, model: str, how: str, seconds: float
) -> "subprocess.Popen[str]":
    """Start the load of the harness; it prints what it counted as JSON."""
    messages = [{"role": "user", "content": "Summarise what the team decided. " * 27}]
    asked = {"model": model, "messages": messages, "stream": kind == "stream"}
    body = work / f"{kind}.json"
    body.write_text(json.dumps(asked))
    command = [sys.executable, str(bench / "load.py"), kind, url, str(body), how]
    return subprocess.Popen(
        ["taskset", "-c", "1", *command, f"--seconds={seconds:g}"],
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    main()
