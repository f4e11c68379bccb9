"""One call of each group, and of many groups those that hash lowest.

The call is of the slot of the clock in which the group's first call started, of those the one
whose id hashes lowest (exporters.windows). What is kept depends only on the set of calls offered,
not on their order nor on how they were divided: sketches of parts add up to that of the whole (a
bottom-k sketch: Cohen and Kaplan, "Summarizing Data using Bottom-k Sketches", PODC 2007).

Limits: memory is that of `groups_max` rows, some 2 KB each, and 4 KB more with text features.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial

from exporters.windows import Measured, rank_of, slot_of

_NEVER = -1  # before every slot


def choose_calls(
    pages: Iterable[Iterable[tuple[str, str, int]]],
    groups_max: int,
    passed_over: Callable[[Sequence[str]], Set[str]] = lambda _: frozenset(),
) -> tuple[list[str], int]:
    """Choose calls as a Reservoir does, of pages of call id, group id and start; count all of them.

    `passed_over` says which of some groups are not to be chosen: it is asked once for each that may
    get in. Returns the ids in their order. Memory: 0.4 KB for each of half as many groups more, and
    for each that was passed over. Cost: two microseconds a call.
    """
    kept: dict[str, tuple[int, str]] = {}
    ranks: dict[str, int] = {}
    rank_max = 1 << 64
    call_count = 0
    for page in pages:
        fresh: list[str] = []
        for call_id, group_id, started_at in page:
            call_count += 1
            other = kept.get(group_id)
            slot = slot_of(started_at)
            if other is None:
                rank = rank_of(group_id)
                if rank <= rank_max:
                    kept[group_id] = slot, call_id
                    ranks[group_id] = rank
                    fresh.append(group_id)
            elif slot < other[0] or (
                slot == other[0] and (rank_of(call_id), call_id) < (rank_of(other[1]), other[1])
            ):
                kept[group_id] = slot, call_id
        for group_id in passed_over(fresh):
            kept[group_id] = _NEVER, ""  # stays, so that nobody asks again
            del ranks[group_id]
        if len(ranks) > groups_max + groups_max // 2:
            rank_max = _evict(kept, ranks, groups_max)
    if len(ranks) > groups_max:
        _evict(kept, ranks, groups_max)
    return sorted(kept[group_id][1] for group_id in ranks), call_count


class Reservoir:
    """Keep one call of each group, and of many groups those that hash lowest.

    Of the calls of a group's first slot the one whose id hashes lowest, and the `groups_max` groups
    whose ids hash lowest. `rank_max`: groups that rank behind are passed over, for another
    reservoir has no room for them.
    """

    def __init__(self, groups_max: int, rank_max: int | None = None) -> None:
        self.call_count = 0
        self._groups_max = groups_max
        self._rank_max = rank_max
        self._kept: dict[str, tuple[tuple[int, int, str], Measured]] = {}
        self._worst: list[tuple[int, str]] = []  # a heap of (-rank, group id)

    def offer(
        self, group_id: str, call_id: str, started_at: int, measure: Callable[[], Measured]
    ) -> None:
        """Count a call that started at so many microseconds since 1970, and keep it if it ranks.

        Only then is it measured.
        """
        self.call_count += 1
        kept = self._kept.get(group_id)
        if kept is None and not self._admit(group_id):
            return
        rank = (slot_of(started_at), rank_of(call_id), call_id)
        if kept is None or rank < kept[0]:
            self._kept[group_id] = (rank, measure())

    def rows(self) -> tuple[Measured, ...]:
        return tuple(sorted((row for _, row in self._kept.values()), key=lambda row: row.call_id))

    def add(self, rows: Iterable[Measured], call_count: int) -> None:
        """Take in what another reservoir of other groups has kept."""
        for row in rows:
            self.offer(row.group_id, row.call_id, row.started_at, partial(_same, row))
            self.call_count -= 1
        self.call_count += call_count

    @property
    def rank_max(self) -> int | None:
        """The rank behind which no group gets in any more, None while there is room."""
        return -self._worst[0][0] if len(self._worst) == self._groups_max else None

    def _admit(self, group_id: str) -> bool:
        rank = rank_of(group_id)
        if self._rank_max is not None and rank > self._rank_max:
            return False
        entry = (-rank, group_id)
        if len(self._worst) < self._groups_max:
            heapq.heappush(self._worst, entry)
            return True
        if entry <= self._worst[0]:
            return False
        _, evicted = heapq.heapreplace(self._worst, entry)
        del self._kept[evicted]
        return True


def _evict(kept: dict[str, tuple[int, str]], ranks: dict[str, int], groups_max: int) -> int:
    """Let go of the groups that rank behind the first `groups_max`; return the last one's rank."""
    ordered = sorted(ranks, key=lambda group_id: (ranks[group_id], group_id))
    for group_id in ordered[groups_max:]:
        del kept[group_id], ranks[group_id]
    return ranks[ordered[groups_max - 1]]


def _same(row: Measured) -> Measured:
    return row
