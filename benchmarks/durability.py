"""Kill the recorder, the workers and PostgreSQL under load; count what was lost or doubled.

    python -m benchmarks.durability [--kills 10] [--rate 100] [--store postgresql]

With `--store postgresql` two hosts, each with a data directory of its own, record into one store,
and the server is a victim, too: all its processes at once.

A call is acknowledged when the worker's loop has turned once since its last byte was sent: when a
request that was sent after that has been answered before the kill. On an idle machine that is a
millisecond or two; a clock would blame a worker that the machine had stopped in between. After the
run every acknowledged call must have exactly one row, no call two, and the ledger must add up. The
seed is printed; the limit to compare with is 0 lost, 0 doubled.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.client import request
from tests.postgres import TEMPLATE, Server, running_postgres
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

CLIENTS: Final = 8
SETTLED_SECONDS_MAX: Final = 300.0  # after a hundred kills the recorder has some catching up to do
_SESSIONS: Final = "SELECT CASE session_id WHEN '=' THEN group_id ELSE session_id END FROM call"
PATHS: Final = ("plain", "plain", "plain", "stream", "chunked")


class Answered(NamedTuple):
    """A call whose answer was whole: of which host, and when, by the monotonic clock."""

    host: str
    sent: float
    ended: float


class Kill(NamedTuple):
    """A process of this host died between two times."""

    host: str
    begun: float
    over: float


@dataclass
class Load:
    """Calls sent, each with a marker of its own, and what was killed meanwhile."""

    answered: dict[str, Answered] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    sent: int = 0

    def acknowledged(self, worker_kills: bool) -> set[str]:
        """The markers of calls that must be in the store."""
        unsure: set[str] = set()
        for kill in self.kills if worker_kills else ():
            calls = [call for call in self.answered.values() if call.host == kill.host]
            turned = max((call.sent for call in calls if call.ended <= kill.begun), default=0.0)
            unsure.update(
                marker
                for marker, call in self.answered.items()
                if call.host == kill.host and call.ended > turned and call.sent <= kill.over
            )
        return set(self.answered) - unsure


@dataclass(frozen=True)
class Result:
    """What a run found: numbers of calls."""

    sent: int
    acknowledged: int
    lost: int
    doubled: int
    interrupted: int
    ledger_error: int


def run(
    victim: str, *, kills: int, rate: float, seed: int, data_dir: Path, server: Server | None = None
) -> Result:
    """Kill the child that runs module `victim` so many times, at `rate` calls a second.

    With a `server` two hosts share the calls, a store in it, and the fate of their children; the
    victim `postgres` is the server itself.
    """
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        store = server.url(server.create(TEMPLATE)) if server is not None else ""
        hosts = [
            stack.enter_context(running_shalt(data_dir / name, f"{upstream.url}/v1", store=store))
            for name in (("one", "two") if store else ("one",))
        ]
        load = _load(hosts, victim, kills, rate / len(hosts), random.Random(seed), server)
        for host in hosts:
            wait_until(host.settled, SETTLED_SECONDS_MAX)
        result = _judge(hosts, load, worker_kills=victim == "shalt.worker")
        assert [host.stop() for host in hosts] == [0] * len(hosts)
    return result


def _load(
    hosts: Sequence[Shalt],
    victim: str,
    kills: int,
    rate: float,
    chance: random.Random,
    server: Server | None,
) -> Load:
    """Call every host at `rate`, and kill meanwhile."""
    load = Load()
    stop = threading.Event()
    clients = [
        threading.Thread(target=_call, args=(host, rate / CLIENTS, load, stop, number))
        for host in hosts
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for number in range(kills):
        host = hosts[number % len(hosts)]
        host.get("/healthz")  # calls are answered again, however long the restart took
        time.sleep(chance.uniform(0.3, 1.2))
        if victim == "postgres":
            assert server is not None
            server.kill()
            server.start()
        else:
            begun = time.monotonic()
            host.kill(victim)
            load.kills.append(Kill(host.data_dir.name, begun, time.monotonic()))
    time.sleep(0.5)
    stop.set()
    for client in clients:
        client.join()
    return load


def _call(host: Shalt, rate: float, load: Load, stop: threading.Event, number: int) -> None:
    count = 0
    while not stop.is_set():
        marker = f"{host.data_dir.name}-{number}-{count}"
        path = f"/v1/{PATHS[count % len(PATHS)]}"
        count += 1
        load.sent += 1
        sent = time.monotonic()
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": marker}]})
        try:
            whole = request(
                host.port, path, body.encode(), headers={"x-shalt-session": marker}
            ).whole
        except OSError:
            whole = False  # its worker was killed; the client is told so by the broken connection
        if whole:
            load.answered[marker] = Answered(host.data_dir.name, sent, time.monotonic())
        time.sleep(1 / rate)


def _judge(hosts: Sequence[Shalt], load: Load, *, worker_kills: bool) -> Result:
    first = hosts[0]
    rows = [str(row[0]) for row in first.rows(_SESSIONS)]
    interrupted = first.rows("select count(*) from call where outcome = 'interrupted'")[0][0]
    acknowledged = load.acknowledged(worker_kills)
    ledger_error = 0
    for host in hosts:
        status = host.status()
        dropped = status["dropped"]
        assert isinstance(dropped, dict)
        accounted = status["stored"] + status["sampled_out"] + status["opted_out"]
        accounted += sum(dropped.values()) + status["backlog"] + status["in_flight"]
        ledger_error += abs(status["accepted"] - accounted) + abs(status["stored"] - len(rows))
    assert isinstance(interrupted, int)
    return Result(
        sent=load.sent,
        acknowledged=len(acknowledged),
        lost=len(acknowledged - set(rows)),
        doubled=len(rows) - len(set(rows)),
        interrupted=interrupted,
        ledger_error=ledger_error,
    )


def main() -> None:
    """Run every victim and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    victims = ["shalt.recording", "shalt.worker"]
    with ExitStack() as stack:
        server = None
        if given.store == "postgresql":
            victims.append("postgres")
            server = stack.enter_context(running_postgres(sync=True))
            server.prepare_template()
        for victim in victims:
            with tempfile.TemporaryDirectory() as folder:
                result = run(
                    victim, kills=given.kills, rate=given.rate, seed=given.seed,
                    data_dir=Path(folder), server=server,
                )  # fmt: skip
            print(f"{given.kills} x kill -9 of {victim} at {given.rate:g}/s: {result}", flush=True)


if __name__ == "__main__":
    main()
