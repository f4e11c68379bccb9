"""Ranges of call ids, which are ranges of time: an id begins with the millisecond of its call.

An id is minted in the moment its call starts. CLOCK_MILLISECONDS are allowed, on either side, for
a clock that is set between the two and for ids made elsewhere.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, false

from storage.column_types import least_id

CLOCK_MILLISECONDS = 60_000
MILLISECONDS_MAX = 2**48 - 1
_TIME = re.compile("[0-9a-f]{1,12}")


class IdRange(NamedTuple):
    """Ids from `first` to below `before`; None where there is no end.

    An end need not be a whole id: a beginning of one sorts before all ids that begin so.
    """

    first: str | None = None
    before: str | None = None

    def has(self, id: str) -> bool:
        """Tell whether an id lies within."""
        return id >= (self.first or "") and (self.before is None or id < self.before)

    def conditions(self, id: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
        """Say in SQL that a column lies within."""
        if self.first is not None:
            least = least_id(self.first)
            yield false() if least is None else id >= least
        if self.before is not None and (least := least_id(self.before)) is not None:
            yield id < least

    def meeting(self, other: "IdRange") -> "IdRange":
        """Return what lies within both."""
        firsts = [end for end in (self.first, other.first) if end is not None]
        befores = [end for end in (self.before, other.before) if end is not None]
        return IdRange(max(firsts, default=None), min(befores, default=None))

    def milliseconds(self) -> tuple[int, int]:
        """Say between which milliseconds since 1970, both included, such ids were minted.

        An end that is not the beginning of an id is taken for none.
        """
        first, before = ((end or "")[:12] for end in self)
        low = int(first.ljust(12, "0"), 16) if _TIME.fullmatch(first) else 0
        high = int(before.ljust(12, "0"), 16) if _TIME.fullmatch(before) else MILLISECONDS_MAX
        return low, high


ALL_IDS = IdRange()
NO_IDS = IdRange("", "")


def after(id: str) -> str:
    """Return the least text that is greater than an id, as an end of a range."""
    return f"{id}0"


def ids_between(first: int | None, last: int | None) -> IdRange:
    """Return the range in which lie the ids of all calls that started between two times.

    Both are microseconds since 1970 and included; None stands for no end.
    """
    return IdRange(
        None if first is None else _id_at(first // 1000 - CLOCK_MILLISECONDS),
        None if last is None else _id_at(last // 1000 + CLOCK_MILLISECONDS + 1),
    )


def _id_at(milliseconds: int) -> str:
    return f"{min(max(milliseconds, 0), MILLISECONDS_MAX):012x}"
