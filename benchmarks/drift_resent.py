"""Conversations whose calls were sent five times: one call of each group, and every call.

The calls of a conversation resemble each other, so counting them as independent alarms where
nothing changed. `one_each` is what the product does; counting every call is here for contrast.
"""

import random
from typing import Final

import msgspec
import numpy as np

from benchmarks.drift_calls import Call
from benchmarks.drift_pools import measured
from exporters.columns import window_of
from exporters.drift import compare
from exporters.reservoir import choose_calls
from exporters.windows import WINDOW_GROUPS_MAX, Measured, Window

RESENDS: Final = 5
CONVERSATIONS: Final = 1_000
ALPHA: Final = 0.05


def run_resent(calls: tuple[Call, ...], seed: int, repeats: range) -> list[tuple[bool, bool]]:
    """Say of each repeat whether one call of each group alarmed, and whether every call did."""
    chance = random.Random(0)
    rows = [measured(call, f"{number:032x}", chance) for number, call in enumerate(calls)]
    alarms = []
    for repeat in repeats:
        drawn = np.random.default_rng([seed, repeat]).permutation(len(rows))
        sides = [
            [rows[each] for each in drawn[start : start + CONVERSATIONS]]
            for start in (0, CONVERSATIONS)
        ]
        verdicts = [
            compare(_window(sides[0], each), _window(sides[1], each), alpha=ALPHA).verdict
            for each in (True, False)
        ]
        alarms.append((verdicts[0] == "drift", verdicts[1] == "drift"))
    return alarms


def _window(rows: list[Measured], one_each: bool) -> Window:
    """Offer every call of every conversation to a window; each is its own group, or all are one."""
    calls: dict[str, Measured] = {}
    for row in rows:
        for sent in range(RESENDS):
            call_id = f"{row.call_id[1:]}{sent}"
            group_id = row.call_id if one_each else call_id
            calls[call_id] = msgspec.structs.replace(row, call_id=call_id, group_id=group_id)
    offered = [(each.call_id, each.group_id, each.started_at) for each in calls.values()]
    chosen, call_count = choose_calls([offered], WINDOW_GROUPS_MAX)
    return window_of([calls[call_id] for call_id in chosen], "", call_count)
