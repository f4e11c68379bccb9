"""What a writer counts, in a file that survives it: the worker's part of the ledger.

The file `counters` stands beside the writer's segments (see storage.spool). It is 16 bytes of
`SHALTCNT`, version and number of counters (u32, little-endian), then one u64 a counter, in the
order of `_COUNTER_NAMES`. The writer maps it into memory and holds a lock on it for as long as it
lives, which is how others know that it does.
"""

import fcntl
import struct
from pathlib import Path
from typing import Final, NamedTuple

from storage.capture import DropReason, LeftOut
from storage.mapped import MappedFile

FILE_NAME: Final = "counters"
_VERSION = 1
_COUNTER_NAMES = ("accepted", "spooled", *LeftOut, *DropReason)
_FILE_BYTES = 16 + 8 * len(_COUNTER_NAMES)
_HEADER = b"SHALTCNT" + struct.pack("<II", _VERSION, len(_COUNTER_NAMES))
# A reading that was overtaken by a call is taken again, so often at most: a reading takes a few
# microseconds, and a worker counts once in some hundred.
_READINGS_MAX: Final = 100


class CountersError(Exception):
    """The counters file is not one this version of shalt can read."""


class Counters:
    """The writer's side: an increment is a write to memory that outlives the process."""

    def __init__(self, directory: Path | None = None) -> None:
        """Count in `directory`, or in memory only until `move_to` names one."""
        self._mapped = MappedFile(_FILE_BYTES)
        self._mapped.view[:16] = _HEADER
        self._values = self._mapped.view[16:].cast("Q")
        self._index = {name: at for at, name in enumerate(_COUNTER_NAMES)}
        if directory is not None:
            self.move_to(directory)

    def add(self, name: str, count: int = 1) -> None:
        """Add to a counter: accepted, spooled, a LeftOut or a DropReason."""
        self._values[self._index[name]] += count

    def move_to(self, directory: Path) -> None:
        """Go on counting in a new file in `directory`, locked. Raise OSError if that cannot be."""
        self._values.release()
        try:
            self._mapped.move_to(directory / FILE_NAME, lock=True)
        finally:
            self._values = self._mapped.view[16:].cast("Q")

    def is_in(self, directory: Path) -> bool:
        """Tell whether others find the counters in `directory`."""
        return self._mapped.is_at(directory / FILE_NAME)

    def close(self) -> None:
        """Let go of the file, and with it of the lock."""
        self._values.release()
        self._mapped.close()


class Tally(NamedTuple):
    """A reading of a writer's counters, all taken at once."""

    accepted: int
    spooled: int
    sampled_out: int
    opted_out: int
    dropped: dict[DropReason, int]

    @property
    def in_flight(self) -> int:
        """Calls accepted of which nothing final is known yet."""
        known = self.spooled + self.sampled_out + self.opted_out + sum(self.dropped.values())
        return self.accepted - known


def read_tally(directory: Path) -> Tally:
    """Read the counters of the writer in `directory`, all of one moment.

    Raises CountersError when the file is not one of ours, FileNotFoundError when it is gone.
    """
    path = directory / FILE_NAME
    raw = path.read_bytes()
    for _ in range(_READINGS_MAX):
        # The writer counts on while the bytes are copied: two equal readings are of one moment.
        before, raw = raw, path.read_bytes()
        if raw == before:
            break
    if len(raw) != _FILE_BYTES or not raw.startswith(_HEADER):
        raise CountersError(f"{path} was not written by this version of shalt")
    values = struct.unpack_from(f"<{len(_COUNTER_NAMES)}Q", raw, 16)
    accepted, spooled, sampled_out, opted_out = values[:4]
    dropped = dict(zip(DropReason, values[4:], strict=True))
    return Tally(accepted, spooled, sampled_out, opted_out, dropped)


def is_alive(directory: Path) -> bool:
    """Tell whether the writer of `directory` still runs. FileNotFoundError when it is gone."""
    with open(directory / FILE_NAME, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
