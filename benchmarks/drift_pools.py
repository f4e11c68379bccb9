"""Pools of measured calls, and windows drawn from them.

A pool is every call of one kind of traffic (benchmarks.drift_calls), measured by the product's own
code and kept as one large window; windows are taken from it without replacement, so two draws of
the same mix are exactly the null hypothesis. Measuring the 270,000 calls takes two minutes, so
pools are cached in a scratch directory, under a hash of the code that measures them.
"""

import functools
import gc
import hashlib
import os
import pickle
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from benchmarks.drift_calls import Call, Kind, kinds, timed_span
from exporters.columns import table_of, window_of_table
from exporters.windows import Measured, Window, take
from storage.features import features_of
from storage.terms import text_features_of
from storage.tool_sets import tool_set_of

ROOT: Final = Path(__file__).parents[1]
MEASURED_BY: Final = (
    *("features", "terms", "texts", "words", "characters", "languages", "years", "refusals"),
    *("json_texts", "parameters", "tool_sets"),
)

IntArray = NDArray[np.int64]
T = TypeVar("T")
Mix = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Pool:
    """Calls of one kind. `members`: the rows of a population, in order of their subjects.

    `calls` are those of the rows, in order.
    """

    name: str
    window: Window
    strands: tuple[tuple[str, ...], ...]
    members: Mapping[str, IntArray]
    calls: tuple[Call, ...]

    def windows(self, drawn: tuple[IntArray, IntArray]) -> tuple[Window, Window]:
        reference, current = drawn
        return take(self.window, reference, "reference"), take(self.window, current, "current")


def draw(
    pool: Pool, mixes: tuple[Mix, Mix], counts: tuple[int, int], chance: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Draw the rows of two windows. Each call is of a population with the odds of its mix.

    No subject is drawn twice, in either window, whatever the population it is drawn for.
    """
    drawn: tuple[list[IntArray], list[IntArray]] = ([], [])
    wanted = [
        dict(zip(mix, chance.multinomial(count, list(mix.values())).tolist(), strict=True))
        for mix, count in zip(mixes, counts, strict=True)
    ]
    for strand in pool.strands:
        total = sum(each.get(name, 0) for each in wanted for name in strand)
        subjects = chance.permutation(len(pool.members[strand[0]]))
        assert total <= len(subjects), f"{pool.name}: {total} of {len(subjects)} {strand[0]}"
        at = 0
        for rows, each in zip(drawn, wanted, strict=True):
            for name in strand:
                count = each.get(name, 0)
                rows.append(pool.members[name][subjects[at : at + count]])
                at += count
    return np.sort(np.concatenate(drawn[0])), np.sort(np.concatenate(drawn[1]))


@functools.lru_cache(maxsize=4)
def pool_of(kind: str, scratch: Path) -> Pool:
    """Return the pool of a kind of traffic, measured now if it has not been."""
    return cached(f"pool-{kind}", scratch, lambda: measure(kinds()[kind]))


def cached(name: str, scratch: Path, make: Callable[[], T]) -> T:
    """Return what was made before by the same code, else make it and keep it."""
    path = scratch / f"{name}-{code_hash()}.pickle"
    if path.exists():
        gc.disable()  # looking for garbage among a million new objects takes most of the time
        try:
            kept: T = pickle.loads(path.read_bytes())
        finally:
            gc.enable()
        return kept
    made = make()
    written = path.with_suffix(f".{os.getpid()}")
    with written.open("wb") as file:
        pickle.dump(made, file, protocol=pickle.HIGHEST_PROTOCOL)
    written.replace(path)
    return made


def measure(kind: Kind) -> Pool:
    """Measure every call of a kind. Ids are hashes, so populations lie mixed in the window."""
    listed = sorted(
        (hashlib.sha256(f"{kind.name} {number}".encode()).hexdigest()[:32], call)
        for number, call in enumerate(kind.calls())
    )
    chance = random.Random(kind.name)
    rows = (measured(call, call_id, chance) for call_id, call in listed)
    window = whole_window(rows, kind.name)
    members: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, (_, call) in enumerate(listed):
        members[call.population].append((call.subject, row))
    return Pool(
        kind.name,
        window,
        kind.strands,
        {name: np.array([row for _, row in sorted(rows)]) for name, rows in members.items()},
        tuple(call for _, call in listed),
    )


def whole_window(rows: Iterable[Measured], label: str) -> Window:
    """Make a window of calls, all of them in the sample, however many there are.

    The product cuts the sample of a window so large; here windows of any size are taken from it.
    """
    table = table_of(rows)
    at = table.column_names.index("sample_bits")
    table = table.set_column(at, table.schema.field(at), arrow.nulls(len(table), arrow.int32()))
    return window_of_table(table, label)


def measured(call: Call, call_id: str, chance: random.Random, group_id: str = "") -> Measured:
    """Measure a call as the recorder would, as one of the sample; its group is its own."""
    span = timed_span(call.understood, call_id, chance)
    usage = call.understood.usage
    return Measured(
        call_id,
        group_id or call_id,
        call.understood.request_model,
        call.understood.response_model,
        span.finish_reason,
        features_of(span),
        started_at=span.started_at_ns // 1_000,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        duration_ms=span.duration_ms,
        time_to_first_token_ms=span.time_to_first_token_ms,
        tools=tool_set_of(call.understood.tools).tools,
        text=text_features_of(span),
    )


def write_columns(pool: Pool, path: Path) -> None:
    """Write what the rival is given of a pool: texts, numbers, categories; a row for each call."""
    columns: dict[str, object] = {
        "prompt": [
            "\n".join(each.text for each in call.understood.messages) for call in pool.calls
        ],
        "answer": [call.understood.choices[0].message.text for call in pool.calls],
    }
    columns |= pool.window.numbers
    for name, codes in pool.window.categories.items():
        columns[name] = [codes.values[code] if code >= 0 else "" for code in codes.codes]
    parquet.write_table(arrow.table(columns), path)


def code_hash() -> str:
    """Hash the code that measures calls, and that which makes them."""
    files = [
        *(ROOT / "storage" / f"{name}.py" for name in MEASURED_BY),
        ROOT / "exporters" / "columns.py",
        *(ROOT / "benchmarks" / f"{name}.py" for name in ("drift_calls", "drift_pools")),
    ]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
