"""The ids of a writer's open calls and of those it left out, in a file that survives it.

The ledger counts calls that have no row; this says which they were, so that `shalt why` can answer
for them: those that were dropped, and those that were not to be recorded. The file `calls` stands
beside the writer's counters, mapped into its memory:

    magic    8 bytes   SHALTIDS
    version  u32       1
    places   u32       PLACES, of each of the two tables; integers are little-endian
    dropped  u64       how many calls were dropped so far
    open     PLACES x 16 bytes   the id of an accepted call that is not on the disk yet, or zeros
    drops    PLACES x 17 bytes   a ring: number of the reason, in DropReason and on in LeftOut,
                                 then the id

A call's place is freed when the write that holds its end has returned: what stands there when the
writer is dead was not recorded whole. Limits: PLACES open calls and the last PLACES drops; those
beyond have no id here, only their counts. It costs a call 0.3 microseconds.
"""

import struct
from pathlib import Path
from typing import Final, NamedTuple

from storage.capture import DropReason, LeftOut
from storage.mapped import MappedFile

FILE_NAME: Final = "calls"
PLACES: Final = 4096

NoRowReason = DropReason | LeftOut

_HEADER = b"SHALTIDS" + struct.pack("<II", 1, PLACES)
_COUNT = struct.Struct("<Q")
_ID_BYTES = 16
_DROP_BYTES = 1 + _ID_BYTES
_OPEN_AT = len(_HEADER) + _COUNT.size
_DROPS_AT = _OPEN_AT + PLACES * _ID_BYTES
_FILE_BYTES = _DROPS_AT + PLACES * _DROP_BYTES
_FREE = bytes(_ID_BYTES)
_REASONS: tuple[NoRowReason, ...] = (*DropReason, *LeftOut)


class Roster:
    """The writer's side. In memory only until `move_to` names a directory."""

    def __init__(self) -> None:
        self._mapped = MappedFile(_FILE_BYTES)
        self._mapped.view[: len(_HEADER)] = _HEADER
        self._free = list(range(_DROPS_AT - _ID_BYTES, _OPEN_AT - 1, -_ID_BYTES))
        self._places: dict[str, int] = {}
        self._dropped_count = 0

    def enter(self, call_id: str) -> None:
        """Note a call that was accepted."""
        if self._free:
            place = self._places[call_id] = self._free.pop()
            self._mapped.view[place : place + _ID_BYTES] = bytes.fromhex(call_id)

    def leave(self, call_id: str) -> None:
        """The call is on the disk, or not to be there: it can no longer be lost."""
        place = self._places.pop(call_id, None)
        if place is not None:
            self._mapped.view[place : place + _ID_BYTES] = _FREE
            self._free.append(place)

    def drop(self, call_id: str, reason: NoRowReason) -> None:
        """Note a call that is not recorded, and why."""
        view = self._mapped.view
        place = _DROPS_AT + self._dropped_count % PLACES * _DROP_BYTES
        drop = bytes((_REASONS.index(reason),)) + bytes.fromhex(call_id)
        view[place : place + _DROP_BYTES] = drop
        self._dropped_count += 1
        _COUNT.pack_into(view, len(_HEADER), self._dropped_count)
        self.leave(call_id)

    def move_to(self, directory: Path) -> None:
        """Go on in a new file in `directory`. Raise OSError if that cannot be."""
        self._mapped.move_to(directory / FILE_NAME)

    def close(self) -> None:
        """Let go of the file."""
        self._mapped.close()


class CallIds(NamedTuple):
    """A reading of a roster: open calls, and those without a row with their reasons."""

    open: set[str]
    dropped: dict[str, NoRowReason]


def read_roster(directory: Path) -> CallIds:
    """Read the ids that the writer in `directory` noted; none where there is no such file."""
    try:
        raw = (directory / FILE_NAME).read_bytes()
    except FileNotFoundError:
        raw = b""
    if len(raw) != _FILE_BYTES or not raw.startswith(_HEADER):
        return CallIds(set(), {})
    places = range(_OPEN_AT, _DROPS_AT, _ID_BYTES)
    still_open = {raw[at : at + _ID_BYTES] for at in places} - {_FREE}
    (dropped_count,) = _COUNT.unpack_from(raw, len(_HEADER))
    dropped = {}
    for place in range(min(dropped_count, PLACES)):
        at = _DROPS_AT + place * _DROP_BYTES
        dropped[raw[at + 1 : at + _DROP_BYTES].hex()] = _REASONS[raw[at] % len(_REASONS)]
    return CallIds({id.hex() for id in still_open}, dropped)
