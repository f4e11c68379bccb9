"""Turns to rows: what is found again, what it saves, what it costs.

    python -m benchmarks.turns_limits --data ../shared/data/datasets [--dialogues 2000]

The dialogues of `sgd` and `taskmaster4` are taken apart into the calls that an application would
have made, one for each answer, mixed up, and grouped by what they begin with, as recorded calls
are. Then every group is made rows of with `--turns auto`. A dialogue is found again if the call of
its last answer is a row that holds all its others and trains every answer of the dialogue, and no
other call of it is a row. Where two dialogues begin with the same words and answers, their common
turns may go into either; those are counted apart.

Limits: 99.9 % of dialogues found again; making turns costs, in processor time, no more than
deriving the same calls does (groups of one cost next to nothing, so this is the worst case).
"""

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from exporters.selection import Example, Turns, reason_against
from exporters.turns import Conversations
from storage.capture import Capture
from storage.derive import derive
from storage.grouping import group_of
from storage.trace import Json, Side, Span
from tests.captures import plain_capture

FOUND_RATIO_MIN = 0.999
COST_RATIO_MAX = 1.0
REPEATS = 5  # the machine is shared
SEED = 20261123

Made = TypeVar("Made")
Groups = dict[str, list[tuple[Capture, Span]]]


@dataclass(frozen=True)
class Dialogue:
    """What a dialogue's calls were: their ids, in order."""

    call_ids: tuple[str, ...]


def main() -> int:
    """Measure and print a table; exit 1 if a limit is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder with sgd.jsonl, …")
    parser.add_argument("--dialogues", type=int, default=2_000)
    options = parser.parse_args()
    missed = False
    print("set              calls  dialogues   found   words  turns µs  /derive")
    for name in ("sgd", "taskmaster4"):
        missed |= measure(name, options.data / f"{name}.jsonl", options.dialogues)
    return int(missed)


def measure(name: str, path: Path, count: int) -> bool:
    """Print the line of one set; return whether a limit is missed."""
    captures, dialogues = calls_of(path, count)
    random.Random(SEED).shuffle(captures)
    spans, derive_us = timed(lambda: [derive(capture) for capture in captures], len(captures))
    groups: Groups = defaultdict(list)
    for capture, span in zip(captures, spans, strict=True):
        groups[group_of(span, capture).id].append((capture, span))
    made, turns_us = timed(lambda: rows_of_all(groups, Turns.AUTO), len(captures))
    rows = {row.call_id: row for row in made}
    found = sum(is_found(dialogue, rows) for dialogue in dialogues)
    saved = words(rows_of_all(groups, Turns.LAST)) / words(list(rows.values()))
    found_ratio, cost_ratio = found / len(dialogues), turns_us / derive_us
    print(
        f"{name:<14}{len(spans):>8}{len(dialogues):>11}{found_ratio:>8.4f}{saved:>7.1f}×"
        f"{turns_us:>10.1f}{cost_ratio:>9.2f}"
    )
    return found_ratio < FOUND_RATIO_MIN or cost_ratio > COST_RATIO_MAX


def timed(run: Callable[[], Made], calls: int) -> tuple[Made, float]:
    """Run several times; return what it made, and the least processor time for a call, in µs."""
    spent: list[float] = []
    for _ in range(REPEATS):
        started = time.process_time()
        made = run()
        spent.append(time.process_time() - started)
    return made, min(spent) / calls * 1e6


def rows_of(group: list[tuple[Capture, Span]], turns: Turns) -> list[Example]:
    """Make rows of one group, its calls in the order of their ids."""
    by_id = {span.id: span for _, span in group}
    conversations = Conversations(turns, by_id.__getitem__)
    for call_id in sorted(by_id):
        span = by_id[call_id]
        conversations.add(span, reason_against(span, Side.TRAIN, True))
    return list(conversations.examples())


def rows_of_all(groups: Groups, turns: Turns) -> list[Example]:
    """Make rows of every group."""
    return [row for group in groups.values() for row in rows_of(group, turns)]


def is_found(dialogue: Dialogue, rows: dict[str, Example]) -> bool:
    """Tell whether a dialogue is one row that trains all its answers.

    Equal beginnings of several dialogues are equal calls: a row may hold another's.
    """
    *earlier, last = dialogue.call_ids
    row = rows.get(last)
    return row is not None and not row.untrained and len(row.continued) >= len(earlier)


def words(rows: list[Example]) -> int:
    """Count the words of all messages."""
    return sum(len(message.text.split()) for row in rows for message in row.messages)


def calls_of(path: Path, count: int) -> tuple[list[Capture], list[Dialogue]]:
    """Take dialogues apart into calls: every answer was a call that sent all before it."""
    captures: list[Capture] = []
    dialogues: list[Dialogue] = []
    for line in path.read_bytes().splitlines()[:count]:
        row = msgspec.json.decode(line)
        ids: list[str] = []
        for index, message in enumerate(row["messages"]):
            if message["role"] == "assistant":
                request = {"model": "tiny-1", "messages": row["messages"][:index]}
                if row.get("tools"):
                    request["tools"] = row["tools"]
                captures.append(call_of(len(captures), request, message))
                ids.append(captures[-1].id)
        if ids:
            dialogues.append(Dialogue(tuple(ids)))
    return captures, dialogues


def call_of(number: int, request: Json, answer: Json) -> Capture:
    """Capture a chat call as it would have passed."""
    sent = msgspec.json.encode(request)
    choice = {"index": 0, "message": answer, "finish_reason": "stop"}
    received = msgspec.json.encode({"id": f"chatcmpl-{number}", "choices": [choice]})
    return plain_capture(sent, received, id=f"{number:032x}", started_at_ns=number)


if __name__ == "__main__":
    sys.exit(main())
