"""Which rows for training give away rows that are held out, and what an export says of them.

A candidate (a row of train or val) is contaminated if, of a row held out (test, targeted, time),

    content         it has the input: the same text, system message and images
    last_turn       it has what the user said last, where that is 20 words or more
    earlier_turn    at an earlier turn it had all that was asked there, in two turns or 40
                    characters: one conversation, of which only some calls named their session
    near_duplicate  its input is nearly the same (exporters.near_duplicates): similarity 0.8 of
                    the sets of five words in a row, of short inputs of five characters, unless
                    other numbers stand in the same places: order 17 is not order 18

Inputs are compared without answers, and near-duplicates without what is template
(exporters.inputs, exporters.templates). That no group is on two sides is checked apart, on what
was written (exporters.dataset). Rows of val that are like rows of train are counted, not stopped:
they make val choose later checkpoints, and no headline comes from val.

What passes: the same thing said in other words; one turn of a long conversation, unless it is the
last; documents that stand in system messages only, unless they are equal. Each candidate is
reported once, for the first of these reasons that holds, with the row held out that is nearest.

Memory: 150 MB for 100,000 rows held out, of which so many are looked at in one pass over the
candidates, and 20 bytes for each candidate.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.fingerprints import (
    EARLIER_TURNS,
    FINGERPRINT,
    WORDS_MIN,
    other_numbers,
    read_fingerprints,
)
from exporters.near_duplicates import SIMILARITY_MIN, SketchIndex
from storage.counted import counted, plural

HELD_OUT_AT_ONCE = 100_000
CANDIDATES_AT_ONCE = 4_096  # 2.5 MB of fingerprints, and 6 while they are looked for
SHOWN_MAX = 10  # of all that were found, in a message


class GuardError(Exception):
    """What must be apart would have left together. Nothing was published."""


class MatchKind(StrEnum):
    """How a candidate gives a row away; see the module. The first that holds is reported."""

    CONTENT = "content"
    EARLIER_TURN = "earlier_turn"
    LAST_TURN = "last_turn"
    NEAR_DUPLICATE = "near_duplicate"


class Match(msgspec.Struct, frozen=True):
    """A contaminated row: numbers of rows count from 0, `held_out` counts the files.

    `similarity` is estimated, with a standard error of 0.025, unless it is 1.
    """

    row: int
    held_out: int
    held_out_row: int
    kind: MatchKind
    similarity: float


class Finding(msgspec.Struct, frozen=True):
    """A match in the words of a dataset: files, rows and calls."""

    file: str
    row: int
    call: str
    held_out_file: str
    held_out_row: int
    held_out_call: str
    kind: MatchKind
    similarity: float


def contaminated(candidates: Path, held_out: Sequence[Path]) -> Iterator[Match]:
    """Yield the rows of a file of fingerprints that give away rows of others, in order.

    Reads the candidates once for every HELD_OUT_AT_ONCE rows held out. Raises OSError.
    """
    best = np.zeros(candidates.stat().st_size // FINGERPRINT.itemsize, dtype=_BEST)
    for number, path in enumerate(held_out):
        first = 0
        for others in read_fingerprints(path, HELD_OUT_AT_ONCE):
            block = _Block(number, first, others)
            first += len(others)
            start = 0
            for rows in read_fingerprints(candidates, CANDIDATES_AT_ONCE):
                block.improve(rows, best[start : start + len(rows)])
                start += len(rows)
    for row in np.flatnonzero(best["rank"]):
        yield _match(int(row), best[row])


def refusal(findings: Sequence[Finding], count: int) -> GuardError:
    """Say what was found, and what to do. `findings`: the first of `count`."""
    lines = [
        f"{counted(count, 'row')} for training {plural(count, 'gives', 'give')} away rows that are "
        "held out. Nothing was published.",
        *(
            f"  {found.file} row {found.row} (call {found.call}) and {found.held_out_file} row "
            f"{found.held_out_row} (call {found.held_out_call}): {_IN_WORDS[found.kind]}"
            + (f", similarity {found.similarity:.2f}" if found.similarity < 1 else "")
            for found in findings[:SHOWN_MAX]
        ),
    ]
    if count > len(lines) - 1:
        lines.append(f"  and {count - len(lines) + 1} more")
    lines.append("Leave them out with --drop-contaminated, which counts them in the manifest.")
    return GuardError("\n".join(lines))


_IN_WORDS = {
    MatchKind.CONTENT: "the same input",
    MatchKind.EARLIER_TURN: "all that was asked there, at an earlier turn",
    MatchKind.LAST_TURN: "the same last message of the user",
    MatchKind.NEAR_DUPLICATE: "nearly the same input",
}
# By rank: a higher one is reported in place of a lower one; 0 is none.
_KINDS = (
    MatchKind.NEAR_DUPLICATE,
    MatchKind.LAST_TURN,
    MatchKind.EARLIER_TURN,
    MatchKind.CONTENT,
)
_NEAR, _LAST, _EARLIER, _CONTENT = 1, 2, 3, 4
_BEST = np.dtype([("rank", "u1"), ("similarity", "f4"), ("file", "<u4"), ("row", "<u8")])


class _Block:
    """Rows held out that are looked at together."""

    def __init__(self, file: int, first: int, rows: NDArray[np.void]) -> None:
        self._file = file
        self._first = first
        self._inputs = _Numbers(rows["input"])
        self._lasts = _Numbers(rows["last"])
        self._asked = _Numbers(rows["asked"])
        self._short = rows["words"] < WORDS_MIN
        self._numbers = rows["numbers"]
        self._by_word = SketchIndex(rows["word_sketch"])
        self._by_char = SketchIndex(rows["char_sketch"])

    def improve(self, rows: NDArray[np.void], best: NDArray[np.void]) -> None:
        """Write into `best` what is nearer here than what is known of the rows."""
        for rank, numbers, name in (
            (_CONTENT, self._inputs, "input"),
            (_LAST, self._lasts, "last"),
        ):
            where, found = numbers.find(rows[name])
            self._write(best, where, rank, np.ones(len(where)), found)
        for turn in range(EARLIER_TURNS):
            where, found = self._asked.find(rows["earlier"][:, turn])
            self._write(best, where, _EARLIER, np.ones(len(where)), found)
        # What is equal is found; of hot data, such as ten thousand greetings, that is most.
        left = np.flatnonzero(best["rank"] < _LAST)
        rows = rows[left]
        for index, name in ((self._by_word, "word_sketch"), (self._by_char, "char_sketch")):
            pairs = index.find(rows[name])
            near = pairs.similarity >= SIMILARITY_MIN
            if name == "char_sketch":
                near &= (rows["words"][pairs.candidates] < WORDS_MIN) | self._short[pairs.held_out]
                some, others = rows["numbers"][pairs.candidates], self._numbers[pairs.held_out]
                near &= ~other_numbers(some, others)
            where = left[pairs.candidates[near]]
            self._write(best, where, _NEAR, pairs.similarity[near], pairs.held_out[near])

    def _write(
        self,
        best: NDArray[np.void],
        where: NDArray[np.intp],
        rank: int,
        similarity: NDArray[np.float64],
        found: NDArray[np.intp],
    ) -> None:
        # The nearest last, of those the first: it stays, of several for one candidate.
        order = np.lexsort((-found, similarity))
        where, similarity, found = where[order], similarity[order].astype("f4"), found[order]
        known = best[where]
        better = rank > known["rank"]
        better |= (rank == known["rank"]) & (similarity > known["similarity"])
        where = where[better]
        best["rank"][where] = rank
        best["similarity"][where] = similarity[better]
        best["file"][where] = self._file
        best["row"][where] = found[better] + self._first


class _Numbers:
    """Hashes of rows, to be found; 0 is none."""

    def __init__(self, numbers: NDArray[np.uint64]) -> None:
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]

    def find(self, wanted: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which of the wanted are there, and the first row that has each."""
        places = np.searchsorted(self._sorted, wanted)
        places = np.minimum(places, len(self._sorted) - 1)
        where = np.flatnonzero((self._sorted[places] == wanted) & (wanted != 0))
        return where, self._order[places[where]]


def _match(row: int, best: np.void) -> Match:
    return Match(
        row=row,
        held_out=int(best["file"]),
        held_out_row=int(best["row"]),
        kind=_KINDS[int(best["rank"]) - 1],
        similarity=round(float(best["similarity"]), 3),
    )
