"""What a manifest says of the samples that drift is measured against, for who has no store.

Of each feature of the train sample how it is distributed, and of the commonest terms what they
are: a report can name them then without looking a call up.

Limits: `VALUES_MAX` values of a category or a set; `TERMS_MAX` terms of a family, such as at least
`TERM_GROUPS_MIN` groups have; to name them at most `NAMED_CALLS_MAX` calls are read, 2 ms each.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from exporters.windows import FloatArray, HashArray, IntArray, Terms, Window
from storage.derive import derive
from storage.reader import StoreReader
from storage.terms import terms_of

VALUES_MAX = 20
TERMS_MAX = 500
TERM_GROUPS_MIN = 20
NAMED_CALLS_MAX = 500
ROWS_AT_ONCE = 1_000  # some 400,000 terms
LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

TermNames = dict[str, dict[int, str]]


class NumberFacts(msgspec.Struct, frozen=True, tag="number"):
    """How many calls have the number, and its quantiles at LEVELS: none of no calls."""

    calls: int
    quantiles: tuple[float, ...]


class ValueFacts(msgspec.Struct, frozen=True, tag="values"):
    """How many calls were measured, how many values they have, and in how many calls the commonest
    are, most first."""

    calls: int
    values: int
    commonest: dict[str, int]


Facts = NumberFacts | ValueFacts


class ReferenceEntry(msgspec.Struct, frozen=True):
    """What a file is a sample of: complete conversations of one side that match the filter, rows or
    not. `calls` of them, of which `groups` are in it, one call each.
    `started_from`, `started_to`: when the first and last of them all started, ISO 8601 UTC, empty
    if there are none."""

    name: str
    sha256: str
    bytes: int
    calls: int
    groups: int
    started_from: str
    started_to: str


def facts_of(window: Window) -> dict[str, Facts]:
    """Say how each feature of a window is distributed, by its name. Pure."""
    facts: dict[str, Facts] = {}
    for name, numbers in window.numbers.items():
        facts[name] = _number_facts(numbers)
    for name, codes in window.categories.items():
        measured = codes.codes[codes.codes >= 0]
        facts[name] = _value_facts(len(measured), measured.astype(np.int64), codes.values)
    for name, sets in window.sets.items():
        facts[name] = _value_facts(len(window), sets.codes.astype(np.int64), sets.values)
    return dict(sorted(facts.items()))


def name_terms(reader: StoreReader, window: Window) -> TermNames:
    """Name the commonest terms of a window, by family and hash, as its calls have them.

    Reads calls with their bodies, by primary key, until each term was seen. Raises what the store
    raises.
    """
    wanted = {family: commonest(terms) for family, terms in window.terms.items()}
    named: TermNames = {family: {} for family in wanted}
    for call_id in _holders(window, wanted):
        call = reader.get(call_id)
        if call is not None and call.capture is not None:
            found = terms_of(derive(call.capture))
            for family, hashes in wanted.items():
                of_call = found.get(family, {})
                named[family] |= {each: of_call[each] for each in hashes & of_call.keys()}
    return {family: dict(sorted(names.items())) for family, names in sorted(named.items())}


def commonest(terms: Terms) -> set[int]:
    """Return the hashes that most rows have, ties by the hash. Pure."""
    # Millions, of which few are frequent: only of those more is kept than the hashes in order.
    ordered = np.sort(terms.hashes)
    last = ordered[TERM_GROUPS_MIN - 1 :]
    frequent = np.unique(last[last == ordered[: len(last)]])
    ends, starts = (np.searchsorted(ordered, frequent, side) for side in ("right", "left"))
    order = np.lexsort((frequent, starts - ends))
    return set(frequent[order[:TERMS_MAX]].tolist())


def _holders(window: Window, wanted: dict[str, set[int]]) -> Iterator[str]:
    """Yield calls that have every term that is wanted, between them; most of them at first."""
    read = 0
    for family, terms in window.terms.items():
        rows, codes = places_of(terms, np.array(sorted(wanted[family]), dtype=np.uint32))
        while rows.size and read < NAMED_CALLS_MAX:
            richest = int(np.argmax(np.bincount(rows)))
            others = np.isin(codes, codes[rows == richest], invert=True)
            rows, codes = rows[others], codes[others]
            read += 1
            yield window.call_ids[terms.rows[richest]]


def places_of(terms: Terms, wanted: HashArray) -> tuple[IntArray, IntArray]:
    """Say in which rows the terms stand that are wanted, and which of them each is."""
    rows = [np.empty(0, dtype=np.int64)]
    codes = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(terms.rows) if wanted.size else 0, ROWS_AT_ONCE):
        ends = terms.starts[start : start + ROWS_AT_ONCE + 1]
        hashes = terms.hashes[ends[0] : ends[-1]]
        near = np.minimum(np.searchsorted(wanted, hashes), wanted.size - 1)
        found = np.flatnonzero(wanted[near] == hashes)
        rows.append(start + np.searchsorted(ends, found + ends[0], side="right") - 1)
        codes.append(near[found])
    return np.concatenate(rows), np.concatenate(codes)


def _number_facts(numbers: FloatArray) -> NumberFacts:
    known = numbers[~np.isnan(numbers)]
    quantiles = np.quantile(known, LEVELS).tolist() if len(known) else []
    return NumberFacts(len(known), tuple(quantiles))


def _value_facts(calls: int, codes: IntArray, values: Sequence[str]) -> ValueFacts:
    counts = np.bincount(codes, minlength=len(values)).tolist()
    had = {value: count for value, count in zip(values, counts, strict=True) if count}
    commonest = sorted(had, key=lambda value: (-had[value], value))[:VALUES_MAX]
    return ValueFacts(calls, len(had), {value: had[value] for value in commonest})
