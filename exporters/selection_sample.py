"""Which calls a filter took and which it left, of as many groups as a report needs.

The population is what the filter acts on: conversations of the train and val sides, whatever became
of them. The test side is not looked at, for it is exported whole.

Limits: GROUPS_MAX groups are kept, those whose ids hash lowest, and of each CALLS_MAX calls, those
whose ids hash lowest: 50,000 groups tell a share to within half a point, and the same calls give
the same sample. Memory: 500 bytes for each of them. Reads a row for each call of the project and
two for each of the sampled; no body.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from exporters.slices import Facts, facts_of
from exporters.statistics import CountArray
from exporters.two_samples import BoolArray
from exporters.windows import CONVERSATIONS
from storage.capture import Outcome
from storage.choosing import ChoosableCall, read_choice, read_measured
from storage.reader import StoreReader
from storage.trace import Side

GROUPS_MAX = 50_000
CALLS_MAX = 4

# What the funnel counts, each of what is left of the one before.
STEPS = ("calls", "conversations", "matching", "complete")

Progress = Callable[[int], None]  # calls read so far
_SIDES = (Side.TRAIN, Side.VAL)


@dataclass(frozen=True)
class Counts:
    """The funnel, in calls and in the groups that have such calls."""

    calls: int
    groups: int


@dataclass(frozen=True)
class SelectionSample:
    """The sampled calls, by group, the one that hashes lowest first in each.

    `groups`: for each call the number of its group; `chosen`: whether the filter matched it.
    `funnel`: what is left after each step, of all calls and not of the sample.
    """

    calls: tuple[Facts, ...]
    groups: CountArray
    chosen: BoolArray
    funnel: dict[str, Counts]


def sample_selection(
    reader: StoreReader, project: str, where: str, progress: Progress = lambda done: None
) -> SelectionSample:
    """Read what a filter selects; raise FilterError for one that is none.

    `reader` should be a snapshot: the sample is read in a second look.
    """
    funnel = _Funnel(progress)
    kept: dict[str, list[ChoosableCall]] = {}
    worst: list[tuple[int, str]] = []  # a heap of (-rank, group id)
    calls = read_choice(reader, project, where)
    for group_id, group in groupby(calls, key=lambda call: call.group_id):
        lowest = heapq.nsmallest(CALLS_MAX, funnel.passed(group), key=lambda call: _rank(call.id))
        entry = (-_rank(group_id), group_id)
        if not lowest or (len(worst) == GROUPS_MAX and entry < worst[0]):
            continue
        if len(worst) == GROUPS_MAX:
            del kept[heapq.heapreplace(worst, entry)[1]]
        else:
            heapq.heappush(worst, entry)
        kept[group_id] = lowest
    chosen = {call.id: call.matches for calls in kept.values() for call in calls}
    sampled = [facts_of(call) for call in read_measured(reader, list(chosen))]
    numbers = {call.id: number for number, calls in enumerate(kept.values()) for call in calls}
    groups = np.array([numbers[call.call_id] for call in sampled], dtype=np.int64)
    return SelectionSample(
        calls=tuple(sampled),
        # A call that was never measured is not in the sample: groups are numbered again.
        groups=np.unique(groups, return_inverse=True)[1].astype(np.int64),
        chosen=np.array([chosen[call.call_id] for call in sampled], dtype=np.bool_),
        funnel=funnel.counts(),
    )


class _Funnel:
    """Counts what is left after each step, while the calls of group after group pass."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._calls: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()

    def passed(self, calls: Iterable[ChoosableCall]) -> Iterator[ChoosableCall]:
        """Count the calls of one group; yield those that are of the population."""
        before = self._calls.copy()
        for call in calls:
            if call.side not in _SIDES:
                continue
            self._calls["calls"] += 1
            if call.endpoint in CONVERSATIONS:
                self._calls["conversations"] += 1
                self._calls["matching"] += call.matches
                self._calls["complete"] += call.matches and call.outcome is Outcome.COMPLETE
                yield call
        self._groups.update(step for step in STEPS if self._calls[step] > before[step])
        self._progress(self._calls["calls"])

    def counts(self) -> dict[str, Counts]:
        return {step: Counts(self._calls[step], self._groups[step]) for step in STEPS}


def _rank(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])
