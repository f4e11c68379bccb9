"""The parts of a dataset, and into which of them a call goes.

    train, val, test   the sides: a call is counted on its own, wherever else it leaves
    targeted-NAME      the calls of a targeted test set, as they were chosen
    time_holdout       groups of train and val whose first call started in the time held out

Of a group that is withheld (storage.withheld) nothing leaves on train or val. What is held out is
exported whole: filters act on train and val alone. Made-up calls (`synthetic`) are for train alone.
No headline may come from another part than test, for test is the only one drawn at random.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from exporters.selection import Reason
from storage.grouped import GroupedCall
from storage.reservation import Cause
from storage.trace import Apart, Side
from storage.withheld import SYNTHETIC, Withheld

LEAVING: Final = (Side.TRAIN, Side.VAL, Side.TEST)
TRAINED: Final = (Side.TRAIN, Side.VAL)
TIME_HOLDOUT: Final = Apart.TIME_HOLDOUT.value
TARGETED_PREFIX: Final = f"{Apart.TARGETED.value}-"


class Placing(NamedTuple):
    """A part that a call belongs to. `reason`: why it is no row there, whatever is in it."""

    part: str
    reason: Reason | None


class Parts(msgspec.Struct, frozen=True):
    """Who goes where in one export. `targeted`: the call ids of each targeted set, by name."""

    withheld: Withheld
    targeted: Mapping[str, frozenset[str]]
    has_time_holdout: bool

    @property
    def names(self) -> Sequence[str]:
        """The parts that have a file, in the order in which they are written down."""
        sets = [TARGETED_PREFIX + name for name in self.targeted]
        return [*LEAVING, *sets, *([TIME_HOLDOUT] if self.has_time_holdout else [])]

    def cause(self, group_id: str) -> Cause | None:
        """Say why nothing of a group may leave on train or val; None where it may."""
        return self.withheld.of(group_id)

    def of(self, call: GroupedCall, cause: Cause | None) -> Iterator[Placing]:
        """Yield the parts of a call, its side first. `cause` is that of its group."""
        made_up = Reason.SYNTHETIC if call.source == SYNTHETIC else None
        if call.side in TRAINED and cause is not None:
            yield Placing(call.side, Reason(cause.value))
        else:
            yield Placing(call.side, None if call.side is Side.TRAIN else made_up)
        if call.side is Side.QUARANTINE:
            return
        for name, ids in self.targeted.items():
            if call.id in ids:
                yield Placing(TARGETED_PREFIX + name, made_up)
        if call.side in TRAINED and self._is_held_by_time(call.group_id, cause):
            yield Placing(TIME_HOLDOUT, made_up)

    def _is_held_by_time(self, group_id: str, cause: Cause | None) -> bool:
        """Tell whether a group is in the time hold-out of this export.

        One that a model may have been trained on, in an earlier export, tests nothing.
        """
        withheld = self.withheld
        return (
            cause is not None
            and group_id in withheld.held_by_time
            and group_id not in withheld.left_before
        )


def side_of_part(part: str) -> Side | Apart:
    """Name the part in the words of the store's record of what has left."""
    if part.startswith(TARGETED_PREFIX):
        return Apart.TARGETED
    return Apart.TIME_HOLDOUT if part == TIME_HOLDOUT else Side(part)
