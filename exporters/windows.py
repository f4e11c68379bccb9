"""The two sides of a drift comparison, in columns: one call of each group.

The calls that count are conversations with a complete answer: errors have counters of their own,
a failed call has no answer to measure, and made-up calls (`synthetic`) are no traffic. Of each
group one call counts: turns of one conversation resemble each other, and counting them as
independent raised a false alarm in 34 to 100 % of comparisons of unchanged traffic (docs/drift.md).

Which one must be known before the conversation is over, or short windows would hold other turns
than long ones: it is one of the calls that started in the same SLOT_SECONDS of the clock as the
group's first, the one whose id hashes lowest. So an answer that takes some steps is seen at each
of them, and what comes an hour later is not. Of more groups than a window holds those count whose
ids hash lowest. So what a window holds depends on the calls alone: not on their order, nor on who
read which of them where.

Text features are of a sample of calls: those whose id's SHA-256 begins with `sample_bits` zero
bits. Samples of different bits nest, and windows are compared at the larger of the two
(`with_sample_bits`). How columns are made: exporters.columns; read from a store: exporters.loading.

Limits: `WINDOW_GROUPS_MAX` groups, of which `TEXT_ROWS_MAX` have text features: 150 MB, mostly
hashes of terms. No content but names, years and parameters that calls set.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from storage.capture import Endpoint, Outcome
from storage.features import Features
from storage.rows import CallRow
from storage.terms import TextFeatures
from storage.trace import Span
from storage.withheld import SYNTHETIC

REFERENCE_FILE = "reference.parquet"
REFERENCE_TEST_FILE = "reference_test.parquet"
# A share is known to 0.3 points at 100,000 groups; more would sharpen nothing above the floors.
WINDOW_GROUPS_MAX = 100_000
# One export's sample. Its own error is shared by every later comparison with it: 0.7 points.
REFERENCE_GROUPS_MAX = 20_000
TEXT_ROWS_MAX = 20_000  # some 4 KB of hashes each
assert REFERENCE_GROUPS_MAX <= WINDOW_GROUPS_MAX
assert TEXT_ROWS_MAX <= WINDOW_GROUPS_MAX

# Long enough for the steps of most runs of an agent. Short enough: a window that ends in the middle
# of one, as those that end now do, lacks calls of 2.5 minutes of beginnings, of an hour 4 %.
SLOT_SECONDS = 300
SLOT_MICROSECONDS = SLOT_SECONDS * 1_000_000
assert 3_600 % SLOT_SECONDS == 0, "an hour that is rolled up by itself has whole slots"

CONVERSATIONS = frozenset(
    {
        Endpoint.CHAT_COMPLETIONS,
        Endpoint.RESPONSES,
        Endpoint.MESSAGES,
        Endpoint.GENERATE_CONTENT,
    }
)

LANGUAGES = ("prompt_language", "answer_language")  # of calls in the sample, as terms are

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CodeArray = NDArray[np.int32]
HashArray = NDArray[np.uint32]

_HOUR_MICROSECONDS: Final = 3_600_000_000
_WEEK_HOURS: Final = 168
_MONDAY_HOURS: Final = 96  # 1970 began on a Thursday; so many hours later it was Monday
_RANK_BITS: Final = 64


class WindowError(Exception):
    """A window was written in a way that means nothing, or what it names cannot be read."""


class Measured(msgspec.Struct, frozen=True):
    """One call as a window takes it in. `scores`: numbers (a boolean is 0 or 1) and texts by name.

    `tools`: the JSON list of the tools offered, `name@hash` each. `text`: None where the call is
    not in the sample. Times are microseconds since 1970 UTC.
    """

    call_id: str
    group_id: str
    request_model: str
    response_model: str
    finish_reason: str
    features: Features
    started_at: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    duration_ms: float | None = None
    time_to_first_token_ms: float | None = None
    tools: str = ""
    scores: dict[str, float | str] = {}
    text: TextFeatures | None = None


@dataclass(frozen=True, eq=False)
class Codes:
    """A value for each row: `values[codes[row]]`; code -1 where it was not measured."""

    codes: CodeArray
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sets:
    """Any number of values for each row: `values[code]` of `codes[starts[row]:starts[row + 1]]`."""

    starts: IntArray
    codes: CodeArray
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Terms:
    """Hashes of terms of the rows in the sample: `rows`, ascending, are their numbers.

    Those of `rows[each]` are `hashes[starts[each]:starts[each + 1]]`, sorted, without repeats.
    """

    rows: CodeArray
    starts: IntArray
    hashes: HashArray


@dataclass(frozen=True, eq=False)
class Window:
    """One call of each group, in the order of call ids; `call_count`: calls chosen from.

    A number that a call does not have is NaN. `started_at` is microseconds since 1970 UTC.
    `sample_bits`: rows whose call is in the sample of so many bits have terms and languages.
    `notes`: what is to be known of which groups are in it, a sentence each.
    """

    label: str
    call_count: int
    feature_version: int
    call_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    started_at: IntArray
    numbers: Mapping[str, FloatArray]
    categories: Mapping[str, Codes]
    sets: Mapping[str, Sets]
    terms: Mapping[str, Terms]
    sample_bits: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.call_ids)


def hour_of_week(window: Window) -> IntArray:
    """Number the hour of the week, UTC, that each call started in: 0 is Monday's first, to 167."""
    hours = window.started_at // _HOUR_MICROSECONDS
    return (hours - _MONDAY_HOURS) % _WEEK_HOURS


def take(window: Window, rows: Iterable[int] | IntArray, label: str | None = None) -> Window:
    """Return some rows of a window, each once, as a window of their own. Values stay as they are.

    `call_count` becomes the number of rows: what they were chosen from is not known any more.
    """
    chosen = np.unique(np.fromiter(rows, dtype=np.int64))
    ids = np.array(window.call_ids, dtype=object)[chosen]
    groups = np.array(window.group_ids, dtype=object)[chosen]
    return replace(
        window,
        label=window.label if label is None else label,
        call_count=len(chosen),
        call_ids=tuple(ids.tolist()),
        group_ids=tuple(groups.tolist()),
        started_at=window.started_at[chosen],
        numbers={name: values[chosen] for name, values in window.numbers.items()},
        categories={
            name: Codes(each.codes[chosen], each.values) for name, each in window.categories.items()
        },
        sets={name: _take_sets(each, chosen) for name, each in window.sets.items()},
        terms={name: _take_terms(each, chosen) for name, each in window.terms.items()},
    )


def with_sample_bits(window: Window, bits: int) -> Window:
    """Cut the text features of a window to the sample of so many bits; the rows all stay.

    A window whose sample has as many bits or more is returned as it is.
    """
    if bits <= window.sample_bits:
        return window
    stays = np.fromiter((in_sample(id, bits) for id in window.call_ids), bool, len(window))
    categories = dict(window.categories)
    for name in LANGUAGES:
        if name in categories:
            codes, values = categories[name].codes, categories[name].values
            categories[name] = Codes(np.where(stays, codes, np.int32(-1)), values)
    terms = {}
    for name, each in window.terms.items():
        kept = np.flatnonzero(stays[each.rows])
        if len(kept) == len(each.rows):
            terms[name] = each
            continue
        starts, taken = _slices(each.starts, kept)
        terms[name] = Terms(each.rows[kept], starts, each.hashes[taken])
    return replace(window, categories=categories, terms=terms, sample_bits=bits)


def rank_of(text: str) -> int:
    """Hash an id to 64 bits, by which calls and groups are chosen: lowest first.

    The first eight bytes of SHA-256 of its UTF-8.
    """
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def slot_of(started_at: int) -> int:
    """Number the slot of the clock that a call started in, at so many microseconds since 1970."""
    return started_at // SLOT_MICROSECONDS


def in_sample(call_id: str, bits: int) -> bool:
    """Say whether a call is in the sample of so many bits."""
    return rank_of(call_id) >> (_RANK_BITS - bits) == 0


def counts_for_drift(row: CallRow | Span) -> bool:
    """Say whether a call is a conversation with a whole answer, which is what windows hold.

    One that nobody made (`synthetic`) is no traffic.
    """
    is_whole = row.outcome is Outcome.COMPLETE and row.endpoint in CONVERSATIONS
    return is_whole and row.source != SYNTHETIC


def _take_sets(sets: Sets, rows: IntArray) -> Sets:
    starts, taken = _slices(sets.starts, rows)
    return Sets(starts, sets.codes[taken], sets.values)


def _take_terms(terms: Terms, rows: IntArray) -> Terms:
    chosen = np.flatnonzero(np.isin(terms.rows, rows))
    starts, taken = _slices(terms.starts, chosen)
    numbers = np.searchsorted(rows, terms.rows[chosen]).astype(np.int32)
    return Terms(numbers, starts, terms.hashes[taken])


def _slices(starts: IntArray, rows: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return the starts of some rows' items, put one after the other, and which items they are.

    `rows` ascend. A byte for each item, where their numbers would take eight.
    """
    lengths = np.diff(starts)
    is_taken = np.zeros(len(lengths), dtype=bool)
    is_taken[rows] = True
    new_starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths[rows])))
    return new_starts, np.repeat(is_taken, lengths)
