"""Which columns a window has, where each is from, and how rows become a window.

Adding a feature to what drift can look at is a row of `COLUMNS`. In between, columns are an Arrow
table (`SCHEMA`, and a column for each score): what is read from a store, or put together from many
files, is one, and a Parquet file is one too. Lists stay JSON there and are read once for each text
that differs.

A window is of one version of the features: calls measured by two do not compare.

Limits: `SCORE_NAMES_MAX` names of scores, the commonest; of further ones nothing is kept. Cost: a
window of 100,000 calls from a table takes 0.3 s.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from exporters.windows import (
    TEXT_ROWS_MAX,
    Codes,
    FloatArray,
    HashArray,
    IntArray,
    Measured,
    Sets,
    Terms,
    Window,
    WindowError,
    rank_of,
    with_sample_bits,
)
from storage.features import items_of

# Arrow's own allocator keeps what it was once given: 38 MB after a table of 20,000 calls.
pa.set_memory_pool(pa.system_memory_pool())

SCORE_NAMES_MAX = 20
SCORE_PREFIX = "score:"
SAID_PREFIX = "said:"  # in a table only: a score that is a text, for a name may have both

Kind = Literal["number", "category", "set", "term"]
Source = Literal["call", "feature", "tool_set", "text"]


class Column(NamedTuple):
    """A column of a window: its name, what it holds, and the table it is from."""

    name: str
    kind: Kind
    source: Source


def _of_texts(kind: Kind, *names: str) -> list[Column]:
    return [Column(f"{side}_{name}", kind, "feature") for side in _SIDES for name in names]


_SIDES: Final = ("prompt", "answer")
_SHAPE: Final = (
    "chars",
    "words",
    "sentences",
    "lines",
    "word_length",
    "digits_permille",
    "punctuation_permille",
    "uppercase_permille",
    "non_ascii_permille",
    "unique_words_permille",
)

COLUMNS: tuple[Column, ...] = (
    *_of_texts("number", *_SHAPE),
    *_of_texts("set", "years", "dates", "scripts", "marks"),
    *_of_texts("category", "json"),
    Column("answer_new_years", "set", "feature"),
    Column("answer_keys", "category", "feature"),
    Column("refusal", "category", "feature"),
    Column("turn_count", "number", "feature"),
    Column("message_count", "number", "feature"),
    Column("tool_count", "number", "feature"),
    Column("tool_call_count", "number", "feature"),
    Column("roles", "category", "feature"),
    Column("tools_hash", "category", "feature"),
    Column("template_hash", "category", "feature"),
    Column("tools_called", "set", "feature"),
    Column("system_fingerprint", "category", "feature"),
    Column("parameters", "set", "feature"),  # name=value
    Column("tools", "set", "tool_set"),  # name@hash
    Column("request_model", "category", "call"),
    Column("response_model", "category", "call"),
    Column("finish_reason", "category", "call"),
    Column("input_tokens", "number", "call"),
    Column("output_tokens", "number", "call"),
    Column("cost_usd", "number", "call"),
    Column("duration_ms", "number", "call"),
    Column("time_to_first_token_ms", "number", "call"),
    Column("prompt_language", "category", "text"),
    Column("answer_language", "category", "text"),
    Column("prompt_terms", "term", "text"),
    Column("answer_terms", "term", "text"),
    Column("answer_fields", "term", "text"),
)
_FLOATS: Final = frozenset({"cost_usd", "duration_ms", "time_to_first_token_ms"})


def names_of(source: Source) -> tuple[str, ...]:
    """Name the columns that are from one table."""
    return tuple(column.name for column in COLUMNS if column.source == source)


def _type(column: Column) -> pa.DataType:
    if column.name == "refusal":
        return pa.int32()
    if column.kind == "number":
        return pa.float64() if column.name in _FLOATS else pa.int32()
    return pa.binary() if column.kind == "term" else pa.string()


SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("call_id", pa.string()),
        pa.field("group_id", pa.string()),
        pa.field("started_at", pa.int64()),
        pa.field("feature_version", pa.int32()),
        pa.field("sample_bits", pa.int32()),  # null: not in the sample
        *(pa.field(column.name, _type(column)) for column in COLUMNS),
    ]
)


def window_of(rows: Iterable[Measured], label: str, call_count: int | None = None) -> Window:
    """Make a window of calls, of which no two are of one group.

    `call_count` is how many they were chosen from; their number, unless given. Raises WindowError
    where they were measured by different versions of the features.
    """
    return window_of_table(table_of(rows), label, call_count)


def table_of(rows: Iterable[Measured]) -> pa.Table:
    """Put calls into a table, in the order of their ids."""
    ordered = sorted(rows, key=lambda row: row.call_id)
    texts = [row.text for row in ordered]
    columns: dict[str, list[object]] = {
        "call_id": [row.call_id for row in ordered],
        "group_id": [row.group_id for row in ordered],
        "started_at": [row.started_at for row in ordered],
        "feature_version": [row.features.feature_version for row in ordered],
        "sample_bits": [text and text.sample_bits for text in texts],
        "tools": [row.tools for row in ordered],
    }
    for name in names_of("call"):
        columns[name] = [getattr(row, name) for row in ordered]
    for name in names_of("feature"):
        columns[name] = [getattr(row.features, name) for row in ordered]
    for name in names_of("text"):
        columns[name] = [text and getattr(text, name) for text in texts]
    table = pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], SCHEMA)
    return with_scores(table, {row.call_id: row.scores for row in ordered if row.scores})


def with_scores(table: pa.Table, scores: Mapping[str, Mapping[str, float | str]]) -> pa.Table:
    """Add a column for each name of a score: null for the calls that have none of it."""
    said = Counter(
        (SAID_PREFIX if isinstance(value, str) else SCORE_PREFIX) + name
        for of_call in scores.values()
        for name, value in of_call.items()
    )
    commonest = sorted(said, key=lambda name: (-said[name], name))[:SCORE_NAMES_MAX]
    for column in sorted(commonest):
        prefix, _, name = column.partition(":")
        is_text = f"{prefix}:" == SAID_PREFIX
        values = [
            value if isinstance(value, str) is is_text else None
            for value in (
                scores[call_id].get(name) if call_id in scores else None
                for call_id in table["call_id"].to_pylist()
            )
        ]
        values_type = pa.string() if is_text else pa.float64()
        table = table.append_column(column, pa.array(values, values_type))
    return table


def without_terms(table: pa.Table) -> pa.Table:
    """Take what was measured of texts out of a table: terms, languages, and who was in the sample.

    As if no call had been in it.
    """
    for name in ("sample_bits", *names_of("text")):
        number = table.schema.get_field_index(name)
        field = table.schema.field(number)
        table = table.set_column(number, field, pa.nulls(table.num_rows, field.type))
    return table


def window_of_table(table: pa.Table, label: str, call_count: int | None = None) -> Window:
    """Make a window of a table, whose rows are in the order of call ids. As `window_of`."""
    call_ids = tuple(table["call_id"].to_pylist())
    numbers: dict[str, FloatArray] = {}
    categories: dict[str, Codes] = {}
    for name in table.column_names:
        if name.startswith(SCORE_PREFIX):
            numbers[name] = _numbers(table[name])
        elif name.startswith(SAID_PREFIX):
            categories[SCORE_PREFIX + name.removeprefix(SAID_PREFIX)] = _codes(table[name])
    for column in COLUMNS:
        if column.kind == "number":
            numbers[column.name] = _numbers(table[column.name])
        elif column.kind == "category":
            categories[column.name] = _codes(table[column.name])
    window = Window(
        label=label,
        call_count=len(call_ids) if call_count is None else call_count,
        feature_version=_version(table["feature_version"]),
        call_ids=call_ids,
        group_ids=tuple(table["group_id"].to_pylist()),
        started_at=table["started_at"].to_numpy(),
        numbers=numbers,
        categories=categories,
        sets={name: _sets(table[name]) for name in _names("set")},
        terms={name: _terms(table[name]) for name in _names("term")},
    )
    return with_sample_bits(window, sample_bits(table))


def sample_bits(table: pa.Table, rows_max: int = TEXT_ROWS_MAX) -> int:
    """Say of how many bits the sample of a table is: the most of any call, and more bits if so
    many are needed to keep at most `rows_max` calls in it."""
    sampled = table.filter(table["sample_bits"].is_valid()).select(["call_id", "sample_bits"])
    bits = max(sampled["sample_bits"].to_pylist(), default=0)
    if len(sampled) > rows_max:
        ranks = sorted(rank_of(call_id) for call_id in sampled["call_id"].to_pylist())
        bits = max(bits, 64 - ranks[rows_max].bit_length() + 1)
    return bits


def _names(kind: Kind) -> list[str]:
    return [column.name for column in COLUMNS if column.kind == kind]


def _version(column: pa.ChunkedArray) -> int:
    versions: list[int] = sorted(column.unique().to_pylist())
    if len(versions) > 1:
        raise WindowError(
            f"calls of a window were measured by versions {versions} of the features, which do "
            "not compare: run `shalt db rederive`, or choose a window of one version"
        )
    return versions[0] if versions else 0


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    values: FloatArray = np.asarray(column.to_numpy(), dtype=np.float64)
    return values


def _codes(column: pa.ChunkedArray) -> Codes:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Codes(codes.astype(np.int32), tuple(encoded.dictionary.to_pylist()))


def _sets(column: pa.ChunkedArray) -> Sets:
    """Read the JSON of each text that differs, and put the values in the place of the texts."""
    texts = _codes(column)
    numbers: dict[str, int] = {}
    lists = [
        [numbers.setdefault(item, len(numbers)) for item in items_of(text)] for text in texts.values
    ]
    lists.append([])  # that of code -1
    lengths = np.array([len(each) for each in lists], dtype=np.int64)
    flat = np.array([code for each in lists for code in each], dtype=np.int32)
    first = np.cumsum(lengths) - lengths
    of_rows = lengths[texts.codes]
    starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(of_rows)))
    at = np.arange(starts[-1]) + np.repeat(first[texts.codes] - starts[:-1], of_rows)
    return Sets(starts, flat[at], tuple(numbers))


def _terms(column: pa.ChunkedArray) -> Terms:
    rows = np.flatnonzero(column.is_valid().to_numpy())
    lengths = [np.zeros(1, dtype=np.int64)]
    hashes: list[HashArray] = []
    for chunk in column.chunks:
        # As it lies in memory: where each text begins, and all of them, one after the other.
        _, ends, values = chunk.buffers()
        ends = np.frombuffer(ends, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        lengths.append(np.diff(ends)[chunk.is_valid().to_numpy(zero_copy_only=False)] // 4)
        if ends[-1] > ends[0]:
            hashes.append(np.frombuffer(values, "<u4", (ends[-1] - ends[0]) // 4, ends[0]))
    joined = np.concatenate(hashes) if hashes else np.empty(0, np.uint32)
    starts: IntArray = np.cumsum(np.concatenate(lengths), dtype=np.int64)
    return Terms(rows.astype(np.int32), starts, joined.astype(np.uint32, copy=False))
