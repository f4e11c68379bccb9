"""What a selection is looked at by: structural features of calls, and slices made of them.

A feature is read from the columns of a call, never from its body; but the language, which is
detected (exporters.languages) in a sample. A slice is the calls that have one value of a feature,
or a number within one range. Tags are features too, and so are scores: what a filter was about is
often only there.

Limits: of a feature the VALUES_MAX commonest values are slices; of tags and of scores the KEYS_MAX
commonest keys are features, and only such as have at most VALUES_MAX values (an order's number is
no slice). A number with more than RANGES_MAX values is cut into ranges of about as many calls each.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np

from exporters.findings import shown
from exporters.statistics import FloatArray
from exporters.two_samples import BoolArray
from storage.capture import Outcome
from storage.rows import MeasuredCall

VALUES_MAX = 30
KEYS_MAX = 20
RANGES_MAX = 8

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Facts(msgspec.Struct, frozen=True):
    """What is kept of a call: the numbers of `NUMBERS`, the values of `CATEGORIES`, its tags."""

    call_id: str
    numbers: tuple[int, ...]
    values: tuple[tuple[str, ...], ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Number:
    """A feature that counts: "calls with 61 to 80 words in the prompt"."""

    name: str
    unit: str
    read: Callable[[MeasuredCall], int]


@dataclass(frozen=True)
class Category:
    """A feature with any number of values for a call: "calls that ask for gpt-4o"."""

    name: str
    says: str
    read: Callable[[MeasuredCall], tuple[str, ...]]


@dataclass(frozen=True)
class Numbers:
    """One number for each call. `unit`: what it counts."""

    name: str
    unit: str
    values: FloatArray


@dataclass(frozen=True)
class Values:
    """Any number of values for each call; `known`: for which calls they are known at all."""

    name: str
    says: str
    values: Sequence[tuple[str, ...]]
    known: BoolArray | None = None


@dataclass(frozen=True)
class Slice:
    """The calls `has` is true of, as a sentence names them. Of a range, `value` is "61-80"."""

    feature: str
    value: str
    says: str
    has: BoolArray
    known: BoolArray | None


def _finish_reason(call: MeasuredCall) -> str:
    """A failed call has none, which is the business of `outcome`."""
    return call.row.finish_reason if call.row.outcome is Outcome.COMPLETE else "failed"


@lru_cache(maxsize=4_096)
def _items(text: str) -> tuple[str, ...]:
    """Read a list that is stored as JSON; most calls of a project share a few such texts."""
    return tuple(str(item) for item in json.loads(text or "[]"))


NUMBERS = (
    Number("turn_count", "user messages", lambda call: call.features.turn_count),
    Number("message_count", "messages", lambda call: call.features.message_count),
    Number("prompt_words", "words in the prompt", lambda call: call.features.prompt_words),
    Number("prompt_chars", "characters in the prompt", lambda call: call.features.prompt_chars),
    Number("answer_words", "words in the answer", lambda call: call.features.answer_words),
    Number("answer_chars", "characters in the answer", lambda call: call.features.answer_chars),
    Number("tool_count", "tools offered", lambda call: call.features.tool_count),
    Number("tool_call_count", "tool calls", lambda call: call.features.tool_call_count),
)

CATEGORIES = (
    Category("request_model", "ask for", lambda call: (call.row.request_model,)),
    Category("response_model", "are answered by", lambda call: (call.row.response_model,)),
    Category("endpoint", "go to", lambda call: (call.row.endpoint.value,)),
    Category("outcome", "end as", lambda call: (call.row.outcome.value,)),
    Category("finish_reason", "finish with", lambda call: (_finish_reason(call),)),
    Category("template_hash", "have template", lambda call: (call.features.template_hash,)),
    Category("tools_hash", "offer tool set", lambda call: (call.features.tools_hash,)),
    Category("tools_called", "call", lambda call: _items(call.features.tools_called)),
    Category("weekday", "are of a", lambda call: (_DAYS[call.row.started_at.weekday()],)),
    Category("source", "come from", lambda call: (call.row.source,)),
)


def facts_of(call: MeasuredCall) -> Facts:
    """Read what is kept of a call."""
    return Facts(
        call.row.id,
        tuple(number.read(call) for number in NUMBERS),
        tuple(category.read(call) for category in CATEGORIES),
        call.row.tags,
    )


def numbers_of(calls: Sequence[Facts]) -> list[Numbers]:
    """Give every number that is not the same for all calls."""
    table = np.array([call.numbers for call in calls], dtype=np.float64)
    return [
        Numbers(number.name, number.unit, table[:, column])
        for column, number in enumerate(NUMBERS)
        if table[:, column].min() < table[:, column].max()
    ]


def values_of(calls: Sequence[Facts]) -> list[Values]:
    """Give every feature that has values, tags included."""
    columns = [
        Values(category.name, category.says, [call.values[column] for call in calls])
        for column, category in enumerate(CATEGORIES)
    ]
    return columns + list(keyed("tag", [call.tags for call in calls]))


def keyed(kind: str, mappings: Sequence[Mapping[str, str]]) -> Iterator[Values]:
    """Give a feature for each key that few values are under; a call without it has the value ""."""
    keys = Counter(key for mapping in mappings for key in mapping)
    for key in sorted(keys, key=lambda key: (-keys[key], key))[:KEYS_MAX]:
        values = [(mapping.get(key, ""),) for mapping in mappings]
        if len(set(values)) <= VALUES_MAX:
            yield Values(f"{kind}:{key}", f"have {kind} {shown(key)}", values)


def ranged(texts: Sequence[Mapping[str, str | float]]) -> list[dict[str, str]]:
    """Write each key's values as texts; where they are numbers, and many, as ranges of them."""
    written: list[dict[str, str]] = [{} for _ in texts]
    for key in {key for mapping in texts for key in mapping}:
        numbers = [value for each in texts if isinstance(value := each.get(key), int | float)]
        many = len(set(numbers)) > RANGES_MAX
        cuts = np.arange(1, RANGES_MAX) / RANGES_MAX
        edges = (
            np.unique(np.quantile(numbers, cuts, method="inverted_cdf")) if many else np.empty(0)
        )
        for place, mapping in enumerate(texts):
            value = mapping.get(key, "")
            if isinstance(value, int | float) and many:
                written[place][key] = _range(float(value), edges)
            elif key in mapping:
                written[place][key] = value if isinstance(value, str) else f"{value:g}"
    return written


def slices_of_values(column: Values) -> Iterator[Slice]:
    """Yield a slice for each of the commonest values."""
    calls: dict[str, list[int]] = {}
    for index, values in enumerate(column.values):
        for value in values:
            calls.setdefault(value, []).append(index)
    commonest = sorted(calls, key=lambda value: (-len(calls[value]), value))[:VALUES_MAX]
    for value in commonest:
        has = np.zeros(len(column.values), dtype=np.bool_)
        has[calls[value]] = True
        says = f"calls that {column.says} {shown(value)}"
        yield Slice(column.name, value, says, has, column.known)


def slices_of_numbers(column: Numbers) -> Iterator[Slice]:
    """Yield a slice for each value if there are few, else for each range."""
    lowest = np.unique(column.values)
    if len(lowest) > RANGES_MAX:
        cuts = np.arange(1, RANGES_MAX) / RANGES_MAX
        edges = np.quantile(column.values, cuts, method="inverted_cdf")
        lowest = np.unique(np.concatenate([lowest[:1], edges]))
    number = np.searchsorted(lowest, column.values, side="right") - 1
    for index in range(len(lowest)):
        has = number == index
        within = column.values[has]
        low, high = int(within.min()), int(within.max())
        value = f"{low}" if low == high else f"{low}-{high}"
        spoken = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        yield Slice(column.name, value, f"calls with {spoken} {column.unit}", has, None)


def _range(value: float, edges: FloatArray) -> str:
    place = int(np.searchsorted(edges, value, side="right"))
    if place == 0:
        return f"below {edges[0]:g}"
    if place == len(edges):
        return f"{edges[-1]:g} or more"
    return f"{edges[place - 1]:g} to below {edges[place]:g}"
