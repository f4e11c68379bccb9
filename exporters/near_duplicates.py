"""Which rows have a near-duplicate among those held out: MinHash with locality-sensitive hashing.

The 256 bytes of a sketch are 32 bands of 8, each a number of 64 bits. Two rows are compared if
they have a band in common: of pairs of similarity 0.8, 997 in 1,000 are; of 0.9, all but one in
10^7; of 0.5, one in 8; of 0.3, one in 500. A pair counts as near-duplicate if its estimated
similarity is at least `SIMILARITY_MIN`, one standard error below 0.8, for a leak that is missed is
worse than a row that is looked at twice. So of 2,000 pairs of similarity 0.8 one in 12 was missed,
of 0.85 none; of pairs of 0.75 one in 8 counted, of 0.7 none (benchmarks/guard_limits.py).

Memory: of each row held out that has a sketch, 770 bytes. Time: 2 µs for each candidate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.fingerprints import similarity

SIMILARITY_MIN = 0.775
BANDS = 32
# Of rows held out that have a band in common, so many are compared with a candidate: the first.
# More than a few only have one if they are nearly the same, and then any of them will do.
BAND_ROWS_MAX = 8
PAIRS_AT_ONCE = 1 << 15  # 16 MB of sketches

Sketches = NDArray[np.uint8]  # a row each, of 32 times 8 bytes
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows that have a band in common, as columns.

    `similarity`: the estimated one, from the share of the two sketches that agrees.
    """

    candidates: Rows
    held_out: Rows
    similarity: NDArray[np.float64]


class SketchIndex:
    """The sketches of rows held out, to be found by any of their bands.

    Rows without a sketch (all zeros) are not in it.
    """

    def __init__(self, sketches: Sketches) -> None:
        self._rows = np.flatnonzero(sketches.any(axis=1))
        self._sketches = np.ascontiguousarray(sketches[self._rows])
        bands = self._sketches.view("<u8")
        self._orders = [np.argsort(bands[:, band], kind="stable") for band in range(BANDS)]
        self._keys = [bands[order, band] for band, order in enumerate(self._orders)]

    def find(self, sketches: Sketches) -> Pairs:
        """Find rows that may be near-duplicates of some candidates, and how near they are.

        Rows are counted from 0, as they come here and as they came to the index.
        """
        if not self._rows.size:
            return Pairs(*_NO_PAIRS, np.empty(0))
        rows = np.flatnonzero(sketches.any(axis=1))
        sketches = np.ascontiguousarray(sketches[rows])
        bands = sketches.view("<u8")
        found = [self._sharing(band, bands[:, band]) for band in range(BANDS)]
        width = len(self._rows)
        # A number for each pair, to have each of them once.
        pairs = np.unique(np.concatenate([left * width + right for left, right in found]))
        left, right = np.divmod(pairs, width)
        agreeing = np.empty(len(pairs))
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            same = sketches[left[part]] == self._sketches[right[part]]
            agreeing[part] = same.mean(axis=1)
        return Pairs(rows[left], self._rows[right], similarity(agreeing))

    def _sharing(self, band: int, keys: NDArray[np.uint64]) -> tuple[Rows, Rows]:
        """Return which candidates share a band with which rows of the index."""
        known = self._keys[band]
        # Sorted, for looking up what is near the last look-up is three times faster.
        order = np.argsort(keys)
        keys = keys[order]
        starts = np.searchsorted(known, keys)
        found = (known[np.minimum(starts, len(known) - 1)] == keys).nonzero()[0]
        if not found.size:
            return _NO_PAIRS
        starts = starts[found]
        counts = np.searchsorted(known, keys[found], side="right") - starts
        counts = np.minimum(counts, BAND_ROWS_MAX)
        ends = np.cumsum(counts)
        places = np.arange(ends[-1]) - np.repeat(ends - counts - starts, counts)
        return np.repeat(order[found], counts), self._orders[band][places]


_NO_PAIRS = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
