"""Kill the recorder and the workers at random under load, and count what was lost or doubled.

    python -m benchmarks.durability [--kills 10] [--rate 100]

A call is acknowledged when its last byte was sent more than 50 ms before the kill. After the run
every acknowledged call must have exactly one row, no call two, and the ledger must add up. The
seed is printed; the limit to compare with is 0 lost, 0 doubled.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

ACKNOWLEDGED_SECONDS: Final = 0.05
CLIENTS: Final = 8
PATHS: Final = ("plain", "plain", "plain", "stream", "chunked")


@dataclass
class Load:
    """Calls sent, each with a marker of its own, and when its answer was whole."""

    answered: dict[str, float] = field(default_factory=dict)
    kills: list[float] = field(default_factory=list)
    sent: int = 0

    def acknowledged(self, worker_kills: bool) -> set[str]:
        """The markers of calls that must be in the store."""
        if not worker_kills:
            return set(self.answered)
        return {
            marker
            for marker, at in self.answered.items()
            if not any(0 <= kill - at <= ACKNOWLEDGED_SECONDS for kill in self.kills)
        }


@dataclass(frozen=True)
class Result:
    """What a run found: numbers of calls."""

    sent: int
    acknowledged: int
    lost: int
    doubled: int
    interrupted: int
    ledger_error: int


def run(victim: str, *, kills: int, rate: float, seed: int, data_dir: Path) -> Result:
    """Kill the child that runs module `victim` so many times, at `rate` calls a second."""
    chance = random.Random(seed)
    with running_upstream() as upstream, running_shalt(data_dir, f"{upstream.url}/v1") as shalt:
        load = Load()
        stop = threading.Event()
        clients = [
            threading.Thread(target=_call, args=(shalt.port, rate / CLIENTS, load, stop, number))
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for _ in range(kills):
            shalt.get("/healthz")  # calls are answered again, however long the restart took
            time.sleep(chance.uniform(0.3, 1.2))
            shalt.kill(victim)
            load.kills.append(time.monotonic())
        time.sleep(0.5)
        stop.set()
        for client in clients:
            client.join()
        wait_until(shalt.settled)
        result = _judge(shalt, load, worker_kills=victim == "shalt.worker")
        assert shalt.stop() == 0
    return result


def _call(port: int, rate: float, load: Load, stop: threading.Event, number: int) -> None:
    count = 0
    while not stop.is_set():
        marker = f"marker-{number}-{count}"
        path = f"/v1/{PATHS[count % len(PATHS)]}"
        count += 1
        load.sent += 1
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": marker}]})
        try:
            whole = request(port, path, body.encode(), headers={"x-shalt-session": marker}).whole
        except OSError:
            whole = False  # its worker was killed; the client is told so by the broken connection
        if whole:
            load.answered[marker] = time.monotonic()
        time.sleep(1 / rate)


def _judge(shalt: Shalt, load: Load, *, worker_kills: bool) -> Result:
    rows = [str(row[0]) for row in shalt.rows("select session_id from call")]
    interrupted = shalt.rows("select count(*) from call where outcome = 'interrupted'")[0][0]
    acknowledged = load.acknowledged(worker_kills)
    status = shalt.status()
    dropped = status["dropped"]
    assert isinstance(dropped, dict)
    accounted = status["stored"] + status["sampled_out"] + status["opted_out"]
    accounted += sum(dropped.values()) + status["backlog"] + status["in_flight"]
    assert isinstance(interrupted, int)
    return Result(
        sent=load.sent,
        acknowledged=len(acknowledged),
        lost=len(acknowledged - set(rows)),
        doubled=len(rows) - len(set(rows)),
        interrupted=interrupted,
        ledger_error=abs(status["accepted"] - accounted) + abs(status["stored"] - len(rows)),
    )


def main() -> None:
    """Run both and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    for victim in ("shalt.recording", "shalt.worker"):
        with tempfile.TemporaryDirectory() as folder:
            result = run(
                victim, kills=given.kills, rate=given.rate, seed=given.seed,
                data_dir=Path(folder, "data"),
            )  # fmt: skip
        print(f"{given.kills} x kill -9 of {victim} at {given.rate:g}/s: {result}")


if __name__ == "__main__":
    main()
