"""How many calls each access key has made in the last minute, over all workers.

A file that the workers map: for each key a row, in it for each worker a cell that this worker alone
writes: the minute, its calls in it, its calls in the minute before (three 32-bit integers and one
unused). Nothing is locked. A worker adds the cells of a row up: the calls of the last sixty seconds
are those of this minute and of the minute before as far as it reaches into them, taken as even.

So at most one call for each other worker passes beyond a limit, when several decide at once. The
counts begin anew when shalt is started.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

_CELL: Final = struct.Struct("<IIII")
MINUTE_SECONDS: Final = 60


class Rates:
    """The counts, seen from worker number `worker` of `workers`."""

    def __init__(self, path: Path, *, slots: int, worker: int, workers: int) -> None:
        """Map the file at `path`, making it if it is not there. Raise OSError."""
        size = slots * workers * _CELL.size
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Room for all of it: a hole filled later, on a full disk, would kill the process.
            os.posix_fallocate(file, 0, size)
            self._cells = mmap.mmap(file, size)
        finally:
            os.close(file)
        self._worker = worker
        self._workers = workers

    def wait(self, slot: int, calls_per_minute: int, now: float) -> int:
        """Count a call if the key may make one now and return 0, else seconds until it may.

        `now`: seconds since 1970.
        """
        minute, second = divmod(now, MINUTE_SECONDS)
        rest = 1 - second / MINUTE_SECONDS  # of the minute before, still within the last 60 s
        this = before = 0
        for worker in range(self._workers):
            counted, previous = self._read(slot, worker, int(minute))
            this, before = this + counted, before + previous
        if this + before * rest + 1 > calls_per_minute:
            return max(1, round(MINUTE_SECONDS - second) if this else 1)
        counted, previous = self._read(slot, self._worker, int(minute))
        place = (slot * self._workers + self._worker) * _CELL.size
        _CELL.pack_into(self._cells, place, int(minute), counted + 1, previous, 0)
        return 0

    def close(self) -> None:
        """Let go of the file."""
        self._cells.close()

    def _read(self, slot: int, worker: int, minute: int) -> tuple[int, int]:
        """Read a worker's calls in this minute and the one before."""
        place = (slot * self._workers + worker) * _CELL.size
        at, counted, previous, _ = _CELL.unpack_from(self._cells, place)
        if at == minute:
            return counted, previous
        return (0, counted) if at == minute - 1 else (0, 0)
