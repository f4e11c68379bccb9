"""Text that many prompts share, learnt from a sample, so that it makes no two of them alike.

Applications put what a user says between sentences of their own: instructions, examples, headings.
Such text is known by its recurring: five words in a row that are found in enough different inputs
of the sample (`inputs_needed`) are common, and a run of at least `RUN_WORDS` words of which every
five are common is a template. It may stand anywhere in a text, in several pieces, and be edited in
one place without the rest being taken for something else. Phrases of everyday language are shorter.
Equal inputs count as one, so a question that many ask is no template for it; and what is a template
by mistake is still compared exactly.

The sample is about `SAMPLE_GROUPS` groups, chosen by a hash of their ids: what is learnt is a
function of the set of groups, whatever their order. Memory: two tables of `TABLE_SIZE` bytes, and
2 MB. Five words that share their place in the table count together: of inputs of 1,000 words one
place in 10^10 is common by that alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporters.inputs import input_of
from exporters.shingles import SHINGLE_WORDS, Hashes, folded, without_space, word_shingles, words_of
from storage.trace import Message

SAMPLE_GROUPS = 10_000
# Of so many inputs one must have a text for it to be a template, and at least ten; of fewer than 40
# inputs a quarter, and at least three, for two are a copy. A template that fewer share makes its
# rows alike, and one that is missed leaves a leak: this is where real templates begin.
INPUTS_PER_TEMPLATE = 400
INPUTS_MIN = 10
FEW_INPUTS_MIN = 3
RUN_WORDS = 8
RUN_SHINGLES = RUN_WORDS - SHINGLE_WORDS + 1
TABLE_BITS = 23
COUNT_MAX = 255
assert SAMPLE_GROUPS // INPUTS_PER_TEMPLATE < COUNT_MAX / 2, "the sample may be a little larger"
TABLE_SIZE = 1 << TABLE_BITS
_SHIFT = np.uint64(64 - TABLE_BITS)

# Far more than any real sample makes common; with more, chance alone would make templates.
COMMON_MAX_RATIO = 0.125
TEMPLATES_FILE = "templates.json"

Mask = NDArray[np.bool_]


class TemplatesError(ValueError):
    """A file of templates is none; the message says why."""


@dataclass(frozen=True)
class Templates:
    """What is template: for each place of the table, whether five words there are common."""

    common: Mask | None = None

    def runs(self, shingles: Hashes) -> Mask:
        """Say of the shingles of a text, or of several in a row, where runs of common ones begin.

        RUN_SHINGLES - 1 fewer values than shingles.
        """
        count = max(len(shingles) - RUN_SHINGLES + 1, 0)
        if self.common is None:
            return np.zeros(count, dtype=np.bool_)
        common = self.common.take(_places(shingles))
        runs = common[:count].copy()
        for shift in range(1, RUN_SHINGLES):
            runs &= common[shift : shift + count]
        return runs

    def words(self, shingles: Hashes) -> Mask | None:
        """Say of each word of a text whether it is of a template; None if none is.

        `shingles`: all of the text's, by five words.
        """
        return words_of_runs(self.runs(shingles))


def words_of_runs(runs: Mask) -> Mask | None:
    """Say of each word of a text whether it is of a template, by its runs; None if none is."""
    if not runs.any():
        return None
    count = len(runs)
    template = np.zeros(count + RUN_WORDS - 1, dtype=np.bool_)
    for shift in range(RUN_WORDS):
        template[shift : shift + count] |= runs
    return template


def templates_json(templates: Templates) -> bytes:
    """Write templates down, for who checks an export: hashes of what is common, and no text."""
    common = templates.common
    places = [] if common is None else np.flatnonzero(common).tolist()
    return msgspec.json.encode(_Written(SHINGLE_WORDS, TABLE_BITS, places))


def read_templates(data: bytes) -> Templates:
    """Read what `templates_json` wrote.

    Raises TemplatesError for anything else, and where nearly everything would be template.
    """
    try:
        written = msgspec.json.decode(data, type=_Written)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise TemplatesError(f"{TEMPLATES_FILE} cannot be read: {error}") from error
    if (written.shingle_words, written.table_bits) != (SHINGLE_WORDS, TABLE_BITS):
        raise TemplatesError(f"{TEMPLATES_FILE} was written by a version of shalt not known here")
    places = np.array(written.places, dtype=np.int64)
    if len(places) > TABLE_SIZE * COMMON_MAX_RATIO:
        raise TemplatesError(f"{TEMPLATES_FILE} makes nearly every text a template")
    if not len(places):
        return Templates()
    if places.min() < 0 or places.max() >= TABLE_SIZE:
        raise TemplatesError(f"{TEMPLATES_FILE} names places that are not in the table")
    common = np.zeros(TABLE_SIZE, dtype=np.bool_)
    common[places] = True
    return Templates(common)


class _Written(msgspec.Struct, frozen=True):
    """`templates.json`."""

    shingle_words: int
    table_bits: int
    places: list[int]


class TemplateSample:
    """Prompts of some groups, to learn from what they share.

    `group_count` is how many groups there are; of those that it `wants`, `add` one prompt each.
    """

    def __init__(self, group_count: int) -> None:
        self._rank_end = (SAMPLE_GROUPS << 64) // max(group_count, 1)
        self._counts = np.zeros(TABLE_SIZE, dtype=np.uint8)
        self._inputs: set[bytes] = set()

    def wants(self, group_id: str) -> bool:
        """Say whether a group is in the sample: by a hash of its id, about SAMPLE_GROUPS are."""
        data = b"template\0" + group_id.encode("utf-8", "surrogatepass")
        rank = hashlib.blake2b(data, digest_size=8).digest()
        return int.from_bytes(rank, "big") < self._rank_end

    def add(self, messages: Sequence[Message]) -> None:
        """Count what stands in the prompt of one more group."""
        self.count(prompt_of(messages))

    def count(self, prompt: "Prompt") -> None:
        """Count the same of a prompt that was read elsewhere."""
        if prompt.key not in self._inputs:
            self._inputs.add(prompt.key)
            places = prompt.places
            self._counts[places] += self._counts[places] < COUNT_MAX

    def templates(self) -> Templates:
        """Return what was learnt so far."""
        common = self._counts >= inputs_needed(len(self._inputs))
        return Templates(common if common.any() else None)

    def shared(self, told: Templates) -> Templates:
        """Return those of other templates that some of these inputs have, too.

        A quarter of what makes a template is enough: the other sample had other inputs.
        """
        if told.common is None:
            return told
        needed = max(FEW_INPUTS_MIN, inputs_needed(len(self._inputs)) // 4)
        common = told.common & (self._counts >= needed)
        return Templates(common if common.any() else None)


class Prompt(NamedTuple):
    """What the sample counts of a prompt: its input, and where in the table its shingles are."""

    key: bytes
    places: NDArray[np.uint32]


def prompt_of(messages: Sequence[Message]) -> Prompt:
    """Say what is counted of the prompt of a group. Pure."""
    text = folded(input_of(messages).text)
    key = hashlib.blake2b(without_space(text), digest_size=16).digest()
    places = np.unique(_places(word_shingles(words_of(text).hashes)))
    return Prompt(key, places.astype(np.uint32))


def inputs_needed(inputs: int) -> int:
    """Say how many of some inputs must share a text for it to be a template."""
    few = min(INPUTS_MIN, inputs // 4)
    return max(FEW_INPUTS_MIN, few, inputs // INPUTS_PER_TEMPLATE)


def _places(shingles: Hashes) -> NDArray[np.intp]:
    return (shingles >> _SHIFT).astype(np.intp)
