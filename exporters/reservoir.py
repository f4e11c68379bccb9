"""One call of each group, and of many groups those that hash lowest.

The call is of the slot of the clock in which the group's first call started, of those the one
whose id hashes lowest (exporters.windows). Which are chosen depends only on the set of calls,
not on their order nor on how they were divided: choices of parts add up to that of the whole (a
bottom-k sketch: Cohen and Kaplan, "Summarizing Data using Bottom-k Sketches", PODC 2007).
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from exporters.windows import rank_of, slot_of

_NEVER = -1  # before every slot

Candidate = tuple[str, str, int]  # call id, group id and start
Chosen = tuple[int, str]  # the slot that a call started in, and its id


def choose_calls(
    pages: Iterable[Iterable[Candidate]],
    groups_max: int,
    passed_over: Callable[[Sequence[str]], Set[str]] = lambda _: frozenset(),
) -> tuple[list[str], int]:
    """Choose calls of pages; return their ids in order, and count all. See Reservoir."""
    reservoir = Reservoir(groups_max, passed_over)
    for page in pages:
        reservoir.add(page)
    return sorted(call_id for _, call_id in reservoir.chosen().values()), reservoir.call_count


def lowest(parts: Iterable[Mapping[str, Chosen]], groups_max: int) -> list[str]:
    """Choose among what was chosen of parts, each by as many groups; return ids in order.

    A group may have calls in several parts: among the lowest of all, it is so in each of these.
    """
    chosen: dict[str, Chosen] = {}
    for part in parts:
        for group_id, found in part.items():
            other = chosen.get(group_id)
            if other is None or _order(found) < _order(other):
                chosen[group_id] = found
    groups = heapq.nsmallest(groups_max, chosen, key=lambda each: (rank_of(each), each))
    return sorted(chosen[group_id][1] for group_id in groups)


class Reservoir:
    """The calls chosen so far, of at most `groups_max` groups.

    `passed_over` says which of some groups are not to be chosen: it is asked once for each that may
    get in. Memory: 0.4 KB for each of half as many groups more, and for each that was passed over.
    Cost: two microseconds a call.
    """

    def __init__(
        self,
        groups_max: int,
        passed_over: Callable[[Sequence[str]], Set[str]] = lambda _: frozenset(),
    ) -> None:
        self.call_count = 0
        self._groups_max = groups_max
        self._passed_over = passed_over
        self._kept: dict[str, Chosen] = {}
        self._ranks: dict[str, int] = {}
        self._rank_max = 1 << 64

    def add(self, page: Iterable[Candidate]) -> None:
        """Take in some calls."""
        kept, ranks, rank_max = self._kept, self._ranks, self._rank_max
        count = 0
        fresh: list[str] = []
        for call_id, group_id, started_at in page:
            count += 1
            other = kept.get(group_id)
            if other is None:
                rank = rank_of(group_id)
                if rank <= rank_max:
                    kept[group_id] = slot_of(started_at), call_id
                    ranks[group_id] = rank
                    fresh.append(group_id)
                continue
            slot = slot_of(started_at)
            if slot < other[0] or slot == other[0] and _order((slot, call_id)) < _order(other):
                kept[group_id] = slot, call_id
        self.call_count += count
        for group_id in self._passed_over(fresh):
            kept[group_id] = _NEVER, ""  # stays, so that nobody asks again
            del ranks[group_id]
        if len(ranks) > self._groups_max + self._groups_max // 2:
            self._evict()

    def chosen(self) -> dict[str, Chosen]:
        """Return the call of each group that is chosen."""
        if len(self._ranks) > self._groups_max:
            self._evict()
        return {group_id: self._kept[group_id] for group_id in self._ranks}

    def _evict(self) -> None:
        """Let go of the groups that rank behind the first `groups_max`."""
        ranks = self._ranks
        ordered = sorted(ranks, key=lambda group_id: (ranks[group_id], group_id))
        for group_id in ordered[self._groups_max :]:
            del self._kept[group_id], ranks[group_id]
        self._rank_max = ranks[ordered[self._groups_max - 1]]


def _order(found: Chosen) -> tuple[int, int, str]:
    """Of a group the call that comes first by this is chosen."""
    slot, call_id = found
    return slot, rank_of(call_id), call_id
