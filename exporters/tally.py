"""What became of the calls of an export, part by part; counts of several segments add up.

Every call is counted once in each part that it belongs to: calls = rows + all reasons.
"""

from collections import Counter
from typing import TypeVar

import msgspec

from exporters.row_shape import LeftOut
from exporters.selection import Reason
from exporters.versions import Versions

Key = TypeVar("Key", bound=str)


class Tally(msgspec.Struct):
    """Counts by part (exporters.parts).

    `rows` were made, before any was dropped, of so many `groups`. `withheld`: groups of train and
    val, by cause. `left_out`: rows that go without something. `synthetic`: rows of made-up calls.
    `labels`: rows whose answer is a label, by its source. `longest`: bytes of the longest row.
    """

    calls: Counter[str] = msgspec.field(default_factory=Counter)
    rows: Counter[str] = msgspec.field(default_factory=Counter)
    groups: Counter[str] = msgspec.field(default_factory=Counter)
    withheld: Counter[str] = msgspec.field(default_factory=Counter)
    reasons: Counter[tuple[str, Reason]] = msgspec.field(default_factory=Counter)
    left_out: Counter[tuple[str, LeftOut]] = msgspec.field(default_factory=Counter)
    synthetic: Counter[str] = msgspec.field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    longest: Counter[str] = msgspec.field(default_factory=Counter)
    versions: Versions = msgspec.field(default_factory=Versions)

    def add(self, other: "Tally") -> None:
        """Add the counts of other calls."""
        self.longest |= other.longest  # the larger of each
        for name in self.__struct_fields__:
            mine: Counter[object] | Versions = getattr(self, name)
            if isinstance(mine, Versions):
                mine.add(other.versions)
            elif name != "longest":
                mine.update(getattr(other, name))


def of_part(counts: Counter[tuple[str, Key]], part: str) -> dict[Key, int]:
    """Take the counts of one part, the largest first."""
    found = [(key, count) for (name, key), count in counts.items() if name == part and count]
    return dict(sorted(found, key=lambda each: (-each[1], each[0])))
