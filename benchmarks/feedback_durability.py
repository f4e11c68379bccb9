"""Kill the console and the recorder while feedback comes in; count what was lost or doubled.

    python -m benchmarks.feedback_durability [--kills 10]

Every other piece of feedback has an idempotency key and is sent again until it is answered; the
others are sent once. What was answered 200 or 202 must be there once, and nothing twice. The seed
is printed; the limit to compare with is 0 lost, 0 doubled.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

CLIENTS: Final = 4
PAUSE_SECONDS: Final = 0.01
SETTLED_SECONDS_MAX: Final = 120.0
_JSON: Final = {"content-type": "application/json"}


@dataclass
class Load:
    """Feedback sent, each with a value of its own, and what of it was answered."""

    call_id: str
    acknowledged: set[str] = field(default_factory=set)
    sent: int = 0
    over: bool = False


@dataclass(frozen=True)
class Result:
    """What a run found: numbers of scores."""

    sent: int
    acknowledged: int
    lost: int
    doubled: int
    ledger_error: int


def run(victim: str, *, kills: int, seed: int, data_dir: Path) -> Result:
    """Kill the child that runs module `victim` so many times while feedback is given."""
    chance = random.Random(seed)
    with running_upstream() as upstream, running_shalt(data_dir, f"{upstream.url}/v1") as shalt:
        call_id = request(shalt.port, "/v1/plain").header("x-shalt-call-id")
        load = Load(call_id)
        clients = [threading.Thread(target=_give, args=(shalt, load, n)) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(kills):
            before = len(load.acknowledged)
            wait_until(lambda before=before: len(load.acknowledged) > before + CLIENTS, 60)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.2))
            shalt.kill(victim)
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before, 60)
        load.over = True
        for client in clients:
            client.join()
        # A writer that is left behind is done with when its folder is gone; one lives.
        spool = data_dir / "spool"
        wait_until(lambda: len(list(spool.iterdir())) <= 2 and shalt.settled(), SETTLED_SECONDS_MAX)
        wait_until(lambda: load.acknowledged <= _stored(shalt).keys(), SETTLED_SECONDS_MAX)
        stored = _stored(shalt)
        ledger = shalt.status()
    return Result(
        sent=load.sent,
        acknowledged=len(load.acknowledged),
        lost=len(load.acknowledged - stored.keys()),
        doubled=sum(count > 1 for count in stored.values()),
        ledger_error=ledger["accepted"] - ledger["stored"],
    )


def _give(shalt: Shalt, load: Load, client: int) -> None:
    number = 0
    while not load.over:
        number += 1
        marker = f"{client}-{number}"
        has_key = number % 2 == 0
        given = {"id": load.call_id, "name": "mark", "value": marker}
        if has_key:
            given["idempotency_key"] = marker
        load.sent += 1
        while not _is_taken(shalt, given):
            if not has_key or load.over:
                break
            time.sleep(PAUSE_SECONDS)
        else:
            load.acknowledged.add(marker)
        time.sleep(PAUSE_SECONDS)


def _is_taken(shalt: Shalt, given: dict[str, str]) -> bool:
    try:
        answer = request(shalt.port, "/feedback", json.dumps(given).encode(), headers=_JSON)
    except OSError:
        return False
    return answer.status in (200, 202)


def _stored(shalt: Shalt) -> Counter[str]:
    return Counter(str(text) for (text,) in shalt.rows("SELECT text FROM score"))


def main() -> None:
    """Run with each victim and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    for victim in ("shalt.console", "shalt.recording"):
        with tempfile.TemporaryDirectory() as folder:
            data_dir = Path(folder) / "data"
            result = run(victim, kills=options.kills, seed=options.seed, data_dir=data_dir)
        print(f"{victim}: {options.kills} kills, {result}")


if __name__ == "__main__":
    main()
