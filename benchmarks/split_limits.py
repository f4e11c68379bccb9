"""Which side a conversation is on, whatever the order, the batches and the growth: real dialogues.

    python -m benchmarks.split_limits [--rows 100] [--data DIR]

Every assistant turn of `sgd`, `taskmaster4`, `glaive_toolcall_*` and `tau_bench_airline` is a call.
Half of the dialogues begin with a system prompt that holds the time of the call.

Orders: three shuffles through a running shalt each, which is stopped and started again half-way;
all with one salt. The sides, and the groups, must be the same. Batches: the same calls inserted by
1 to 500, in a fourth order. Recall: of pairs of calls of one dialogue, those in one group; limit
0.999. Precision: of pairs in one group, those of one dialogue; limits 0.94 for sgd and 0.99 for
taskmaster4 (glaive has many that open with the same words). Shares: of groups on test and val,
within the 99.9 % band of a binomial. Growth: 1, 10 and 100 conversations at a time, an export
after each; groups that were in a train file and are on test: none.

Regenerations: one in twenty last turns of sgd sent again; precision and recall, limit 0.99; and the
recorder's CPU time for marking, as a share of what deriving takes.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from scipy.stats import binom
from sqlalchemy import insert

from storage import database
from storage.capture import SystemClock
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.retakes import NO_RETAKE, Retakes, is_named
from storage.rows import Checkpoint, DatasetItem, Recorded
from storage.schema import split_policy
from storage.sides import TRAINED
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import chat
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt

DATA: Final = Path(__file__).parents[2] / "shared" / "data" / "datasets"
# The field that tells dialogues apart: of tau_bench_airline, `group` is the task.
SETS: Final = {
    "sgd": "group",
    "taskmaster4": "group",
    "glaive_toolcall_en": "group",
    "glaive_toolcall_zh": "group",
    "tau_bench_airline": "id",
}
PRECISION_MIN: Final = {"sgd": 0.94, "taskmaster4": 0.99}
RECALL_MIN: Final = 0.999
SALT: Final = "5eed" * 8
CLIENTS: Final = 8
BATCHES: Final = (1, 2, 7, 50, 500)
SECOND_NS: Final = 10**9

Message = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A turn to send. `dialogue` is the truth; `key` names the call whatever the order."""

    key: str
    source: str
    dialogue: str
    messages: tuple[Message, ...]
    answer: Message


@dataclass(frozen=True)
class Placed:
    """Where a call has ended."""

    group: str
    side: str


def read_calls(data: Path, rows: int, names: Sequence[str] = tuple(SETS)) -> list[Call]:
    """Read the turns of the first `rows` dialogues of each set."""
    calls: list[Call] = []
    for name in names:
        with (data / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for number, line in zip(range(rows), lines, strict=False):
                row = json.loads(line)
                dialogue = f"{name}/{row[SETS[name]]}"
                for turn, (messages, answer) in enumerate(_turns(row["messages"])):
                    key = f"{name}/{number}/{turn}"
                    told = _with_clock(messages, number, turn) if number % 2 else messages
                    calls.append(Call(key, name, dialogue, tuple(told), answer))
    return calls


def _turns(messages: Sequence[Message]) -> Iterator[tuple[list[Message], Message]]:
    for index, message in enumerate(messages):
        before = messages[:index]
        if message["role"] == "assistant" and any(each["role"] == "user" for each in before):
            yield list(before), message


def _with_clock(messages: list[Message], number: int, turn: int) -> list[Message]:
    """Put the time of the call into the system prompt; a dialogue takes a while."""
    minutes = number * 37 + turn
    clock = f"{minutes // 60 % 24:02d}:{minutes % 60:02d}:{turn * 7 % 60:02d}"
    told = f"You are a helpful assistant. It is {clock} on 2026-10-{1 + number % 28:02d}."
    if messages and messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n{told}"}, *messages[1:]]
    return [{"role": "system", "content": told}, *messages]


@contextmanager
def answering() -> Iterator[int]:
    """Run an upstream that says the same to everybody; yield its port."""
    message = {"role": "assistant", "content": "Certainly."}
    body = json.dumps(
        {"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}
    ).encode()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def new_store(directory: Path) -> TraceStore:
    """Make a store in a data directory, with the one salt."""
    directory.mkdir(parents=True, exist_ok=True)
    store = TraceStore(f"sqlite:///{directory / 'shalt.sqlite'}", clock=SystemClock())
    store.upgrade()
    with database.writing(store.engine) as connection:
        connection.execute(
            insert(split_policy).values(
                project="default",
                version=1,
                salt=SALT,
                test_ratio=0.10,
                val_ratio=0.05,
                created_at=0,
            )
        )
    return store


def through_proxy(calls: Sequence[Call], directory: Path, upstream: int) -> dict[str, Placed]:
    """Send calls through a running shalt that is restarted half-way; say where they ended."""
    new_store(directory).close()
    half = len(calls) // 2
    for part in (calls[:half], calls[half:]):
        with running_shalt(directory, f"http://127.0.0.1:{upstream}/v1") as shalt:
            _send(shalt, part)
            wait_until(shalt.settled)
            assert shalt.stop() == 0, "shalt ended badly"
    store = TraceStore(f"sqlite:///{directory / 'shalt.sqlite'}", clock=SystemClock())
    with closing(store):
        found = {
            row.tags["key"]: Placed(row.group_id, row.side.value)
            for row in store.list("default", limit=len(calls) + 1)
        }
    assert len(found) == len(calls), f"{len(calls)} sent, {len(found)} stored"
    return found


def _send(shalt: Shalt, calls: Sequence[Call]) -> None:
    def send(part: Sequence[Call]) -> None:
        connection = HTTPConnection("127.0.0.1", shalt.port, timeout=60)
        for call in part:
            body = {"model": "m", "messages": call.messages, "metadata": {"key": call.key}}
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(body),
                {"content-type": "application/json", "authorization": "Bearer none"},
            )
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, [calls[start::CLIENTS] for start in range(CLIENTS)]))


def recorded_of(number: int, call: Call, seconds: int | None = None) -> Recorded:
    """Understand a call as the recorder does, as the `number`th of all."""
    started = (number if seconds is None else seconds) * SECOND_NS
    capture = chat(number, call.messages, call.answer, started_at_ns=started)
    span = derive(capture)
    return Recorded(capture, span, group_of(span, capture), features_of(span))


def in_batches(calls: Sequence[Call], directory: Path, size: int) -> dict[str, Placed]:
    """Insert calls `size` at a time; say where they ended."""
    with closing(new_store(directory)) as store:
        for start in range(0, len(calls), size):
            part = calls[start : start + size]
            batch = [recorded_of(start + at, call) for at, call in enumerate(part)]
            store.insert(batch, Checkpoint("f" * 32, 0, start))
        rows = store.list("default", limit=len(calls) + 1)
    return {calls[int(row.id, 16)].key: Placed(row.group_id, row.side.value) for row in rows}


def pair_scores(calls: Sequence[Call], placed: dict[str, Placed]) -> tuple[float, float]:
    """Give recall and precision of pairs of calls: one dialogue, one group."""

    def pairs(sizes: Counter[Any]) -> int:
        return sum(size * (size - 1) // 2 for size in sizes.values())

    together = pairs(Counter((call.dialogue, placed[call.key].group) for call in calls))
    true = pairs(Counter(call.dialogue for call in calls))
    found = pairs(Counter(placed[call.key].group for call in calls))
    return together / true if true else 1.0, together / found if found else 1.0


def shares(placed: dict[str, Placed]) -> dict[str, tuple[int, int, int, int]]:
    """Give for test and val: groups, the bounds of the 99.9 % band, groups in all."""
    sides = {each.group: each.side for each in placed.values()}
    counts = Counter(sides.values())
    result = {}
    for side, ratio in (("test", 0.10), ("val", 0.05)):
        low, high = binom.interval(0.999, len(sides), ratio)
        result[side] = (counts[side], int(low), int(high), len(sides))
    return result


def grow(calls: Sequence[Call], directory: Path, steps: Sequence[int]) -> tuple[int, int]:
    """Add conversations step by step, all of train leaving after each; count what leaks.

    Return how many groups on test had ever left in a train or val file, and of how many on test.
    """
    dialogues: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        dialogues[call.dialogue].append(call)
    names = sorted(dialogues)
    trained: set[str] = set()
    leaked: set[str] = set()
    tested: set[str] = set()
    done = number = 0
    with closing(new_store(directory)) as store:
        for step in steps:
            batch = []
            for name in names[done : done + step]:
                for call in dialogues[name]:
                    number += 1
                    batch.append(recorded_of(number, call))
            done += step
            store.insert(batch, Checkpoint("f" * 32, 0, number))
            rows = store.list("default", limit=number)
            items = [DatasetItem(row.id, row.group_id, row.side) for row in rows]
            store.record_dataset("default", str(directory), "0" * 64, items)
            trained |= {row.group_id for row in rows if row.side in TRAINED}
            tested |= {row.group_id for row in rows if row.side is Side.TEST}
            leaked |= tested & trained
    return len(leaked), len(tested)


def regenerations(calls: Sequence[Call], seed: int) -> tuple[float, float, float]:
    """Send one in twenty last turns again; give precision, recall, and the cost of marking.

    Dialogues run side by side, forty at a time. The cost is CPU time a call, as a share of that of
    deriving, grouping and measuring it.
    """
    chance = random.Random(seed)
    dialogues: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        dialogues[call.key.rpartition("/")[0]].append(call)
    queue = list(dialogues.values())
    planted: set[str] = set()
    for turns in queue:
        if chance.random() < 0.05:
            again = {"role": "assistant", "content": "Let me put it otherwise."}
            turns.append(replace(turns[-1], key=f"{turns[-1].key}/again", answer=again))
            planted.add(turns[-1].key)
    chance.shuffle(queue)
    order: list[Call] = []
    running: list[list[Call]] = []
    while queue or running:
        while queue and len(running) < 40:
            running.append(list(reversed(queue.pop())))
        turns = chance.choice(running)
        order.append(turns.pop())
        if not turns:
            running.remove(turns)
    started = time.process_time()
    recorded = [recorded_of(number, call) for number, call in enumerate(order)]
    deriving = time.process_time() - started
    retakes = Retakes()
    started = time.process_time()
    marks = [
        retakes.add(each, each.group.id, named=is_named(each.group.source)) for each in recorded
    ]
    marking = time.process_time() - started
    found = {
        call.key
        for call, mark in zip(order, marks, strict=True)
        if mark != NO_RETAKE and mark.regenerated_from
    }
    hits = len(found & planted)
    return hits / len(found) if found else 1.0, hits / len(planted), marking / deriving


def _print_orders(calls: list[Call], folder: Path) -> None:
    found = []
    with answering() as upstream:
        for seed in (1, 2, 3):
            shuffled = list(calls)
            random.Random(seed).shuffle(shuffled)
            found.append(through_proxy(shuffled, folder / f"order{seed}", upstream))
            print(f"  order {seed}: {len(shuffled):,} calls through the proxy, restarted half-way")
    for size in BATCHES:
        shuffled = list(calls)
        random.Random(100 + size).shuffle(shuffled)
        found.append(in_batches(shuffled, folder / f"batch{size}", size))
    differ = sum(found[0][call.key] != each[call.key] for each in found[1:] for call in calls)
    print(f"calls placed otherwise in another order or batch: {differ} (limit 0)")
    for name in SETS:
        of_set = [call for call in calls if call.source == name]
        if not of_set:
            continue
        recall, precision = pair_scores(of_set, found[0])
        limit = f", limit {PRECISION_MIN[name]}" if name in PRECISION_MIN else ""
        print(
            f"{name}: {len(of_set):,} calls, recall {recall:.4f} (limit {RECALL_MIN}), "
            f"precision {precision:.4f}{limit}"
        )
    for side, (count, low, high, total) in shares(found[0]).items():
        print(f"{side}: {count} of {total} groups, band {low} to {high}")


def main() -> None:
    """Measure, and print one line for each claim."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=10**6, help="dialogues of each set")
    arguments = parser.parse_args()
    calls = read_calls(arguments.data, arguments.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _print_orders(calls, folder)
        leaked, tested = grow(calls, folder / "grow", [300, 1, 10, 100, 1, 10, 100])
        print(f"growth by 1, 10, 100: {leaked} of {tested} test groups ever trained on (limit 0)")
    of_sgd = [call for call in calls if call.source == "sgd"]
    precision, recall, share = regenerations(of_sgd, seed=5)
    print(f"regenerations in sgd: precision {precision:.4f}, recall {recall:.4f} (limits 0.99)")
    print(f"marking takes {share:.1%} of the CPU time that deriving does")


if __name__ == "__main__":
    main()
