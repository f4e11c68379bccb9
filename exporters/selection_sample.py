"""Which calls a filter took and which it left, of as many groups as a report needs.

The population is what the filter acts on: conversations of the train and val sides, whatever became
of them. The test side is not looked at, for it is exported whole.

Limits: GROUPS_MAX groups are kept, those whose ids hash lowest, and of each CALLS_MAX calls, those
whose ids hash lowest: 50,000 groups tell a share to within half a point, and the same calls give
the same sample. Memory: 500 bytes for each of them. Reads a row of two tables for each call of the
project, and for each that matches once more; no body.
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
from storage.reader import StoreReader
from storage.rows import MeasuredCall
from storage.trace import Side

GROUPS_MAX = 50_000
CALLS_MAX = 4

# What the funnel counts, each of what is left of the one before.
STEPS = ("calls", "conversations", "matching", "complete")

Progress = Callable[[int], None]  # calls read so far
_Marked = tuple[MeasuredCall, bool]  # a call, and whether the filter matches it


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

    `reader` should be a snapshot: the filter is asked in a scan of its own, beside the other.
    """
    funnel = _Funnel(progress)
    kept: dict[str, list[tuple[Facts, bool]]] = {}
    worst: list[tuple[int, str]] = []  # a heap of (-rank, group id)
    for group_id, calls in _groups(reader, project, where):
        lowest = heapq.nsmallest(CALLS_MAX, funnel.passed(calls), key=_rank_of)
        entry = (-_rank(group_id), group_id)
        if not lowest or (len(worst) == GROUPS_MAX and entry < worst[0]):
            continue
        if len(worst) == GROUPS_MAX:
            del kept[heapq.heapreplace(worst, entry)[1]]
        else:
            heapq.heappush(worst, entry)
        kept[group_id] = [(facts_of(call), chosen) for call, chosen in lowest]
    groups = [number for number, calls in enumerate(kept.values()) for _ in calls]
    pairs = [pair for calls in kept.values() for pair in calls]
    return SelectionSample(
        calls=tuple(facts for facts, _ in pairs),
        groups=np.array(groups, dtype=np.int64),
        chosen=np.array([chosen for _, chosen in pairs], dtype=np.bool_),
        funnel=funnel.counts(),
    )


class _Funnel:
    """Counts what is left after each step, while the calls of group after group pass."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._calls: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()

    def passed(self, calls: Iterable[_Marked]) -> Iterator[_Marked]:
        """Count the calls of one group; yield those that are of the population."""
        before = self._calls.copy()
        for call, chosen in calls:
            self._calls["calls"] += 1
            if call.row.endpoint in CONVERSATIONS:
                self._calls["conversations"] += 1
                self._calls["matching"] += chosen
                self._calls["complete"] += chosen and call.row.outcome is Outcome.COMPLETE
                yield call, chosen
        self._groups.update(step for step in STEPS if self._calls[step] > before[step])
        self._progress(self._calls["calls"])

    def counts(self) -> dict[str, Counts]:
        return {step: Counts(self._calls[step], self._groups[step]) for step in STEPS}


def _groups(
    reader: StoreReader, project: str, where: str
) -> Iterator[tuple[str, Iterator[_Marked]]]:
    """Yield each group with its calls of train and val, and whether the filter matches them."""
    matching = (
        call.row.id for page in reader.features(project, where, by_group=True) for call in page
    )
    following = next(matching, None)

    def marked(calls: Iterable[MeasuredCall]) -> Iterator[_Marked]:
        nonlocal following
        for call in calls:
            matches = following == call.row.id
            if matches:
                following = next(matching, None)
            if call.row.side in (Side.TRAIN, Side.VAL):
                yield call, matches

    every = (call for page in reader.features(project, by_group=True) for call in page)
    for group_id, calls in groupby(every, key=lambda call: call.row.group_id):
        yield group_id, marked(calls)


def _rank_of(marked: _Marked) -> int:
    return _rank(marked[0].row.id)


def _rank(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])
