"""The last few things that took long to make, each made once, and one at a time.

Limits: `count_max` of them; the one that was asked for longest ago goes first. What could not be
made is not remembered, so it is tried again.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class Remembered(Generic[Key, Made]):
    """What was made, by what it was made of."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._made: OrderedDict[Key, Made] = OrderedDict()
        self._making = threading.Lock()

    def get(self, key: Key, make: Callable[[], Made]) -> Made:
        """Return what was made of a key, or make it now. Raise what `make` raises."""
        with self._making:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
            made = self._made[key] = make()
            if len(self._made) > self._count_max:
                self._made.popitem(last=False)
            return made
