"""Rows that are the same, answers and tools included: how many there are, which of them may stay.

Equal rows are left as they are unless one asks: how often a thing was said belongs to it. They are
counted; with a maximum, of each set of equal rows those stay whose calls' ids hash lowest, so
the choice is the same whatever the order, and says nothing of when they were made. Only rows of
train are ever left out.

Rows are compared by hash (exporters.fingerprints): ids and names do not count, all else does.
Memory: 40 bytes for each row.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.fingerprints import read_fingerprints

ROWS_AT_ONCE = 16_384  # 9 MB of fingerprints


class Duplicates(msgspec.Struct, frozen=True):
    """How many rows are equal to others. `rows` = `distinct` + `repeated`.

    `repeated`: rows but for the first of each set of equal ones. `largest`: of the largest set.
    """

    rows: int
    distinct: int
    repeated: int
    largest: int


def duplicates(fingerprints: Path) -> Duplicates:
    """Count the equal rows of a file, by its file of fingerprints. Raises OSError."""
    rows = _hashes(fingerprints)[0]
    counts = np.unique(rows, return_counts=True)[1]
    largest = int(counts.max()) if counts.size else 0
    return Duplicates(rows.size, counts.size, rows.size - counts.size, largest)


def surplus(fingerprints: Path, equal_max: int) -> NDArray[np.intp]:
    """Return the rows to leave out so that at most `equal_max` equal ones stay, in order.

    Raises OSError.
    """
    assert equal_max >= 1, "a maximum of none would leave out every row"
    rows, orders = _hashes(fingerprints)
    order = np.lexsort((orders, rows))
    hashes = rows[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
    place = np.arange(len(hashes)) - np.repeat(starts, np.diff(np.append(starts, len(hashes))))
    return np.sort(order[place >= equal_max])


def _hashes(fingerprints: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Read the hash of each row, and that of its call's id."""
    parts = [
        (part["row"].copy(), part["order"].copy())
        for part in read_fingerprints(fingerprints, ROWS_AT_ONCE)
    ]
    none = np.empty(0, dtype=np.uint64)
    rows, orders = zip((none, none), *parts, strict=True)
    return np.concatenate(rows), np.concatenate(orders)
