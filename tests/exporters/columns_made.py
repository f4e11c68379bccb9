"""Windows of columns made for a test, without calls behind them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from exporters.comparison import Comparison
from exporters.windows import Codes, Sets, Terms, Window

HOUR = 3_600_000_000


def made(
    count: int,
    *,
    numbers: Mapping[str, ArrayLike] | None = None,
    categories: Mapping[str, Sequence[str | None]] | None = None,
    sets: Mapping[str, Sequence[Iterable[str]]] | None = None,
    terms: Mapping[str, Sequence[Iterable[int]]] | None = None,
    started_at: ArrayLike | None = None,
    prefix: str = "a",
) -> Window:
    """Make a window of `count` calls; what is not given it does not have."""
    call_ids = tuple(f"{prefix}{number:031x}" for number in range(count))
    return Window(
        label=prefix,
        call_count=count,
        feature_version=2,
        call_ids=call_ids,
        group_ids=call_ids,
        started_at=np.zeros(count, np.int64) if started_at is None else np.asarray(started_at),
        numbers={name: np.asarray(each, np.float64) for name, each in (numbers or {}).items()},
        categories={name: codes(each) for name, each in (categories or {}).items()},
        sets={name: sets_of(each) for name, each in (sets or {}).items()},
        terms={name: terms_of(each) for name, each in (terms or {}).items()},
    )


def codes(values: Sequence[str | None]) -> Codes:
    """Number the values of a category; None is not measured."""
    names = sorted({value for value in values if value is not None})
    numbered = [-1 if value is None else names.index(value) for value in values]
    return Codes(np.array(numbered, np.int32), tuple(names))


def sets_of(rows: Sequence[Iterable[str]]) -> Sets:
    lists = [sorted(row) for row in rows]
    names = sorted({value for row in lists for value in row})
    flat = np.array([names.index(value) for row in lists for value in row], np.int32)
    return Sets(np.cumsum([0, *map(len, lists)]), flat, tuple(names))


def terms_of(rows: Sequence[Iterable[int]]) -> Terms:
    """Make terms of rows that are all in the sample."""
    lists = [sorted(set(row)) for row in rows]
    flat = np.array([term for row in lists for term in row], np.uint32)
    return Terms(np.arange(len(lists), dtype=np.int32), np.cumsum([0, *map(len, lists)]), flat)


def compared(reference: Window, current: Window, alpha: float = 0.001) -> Comparison:
    return Comparison(reference, current, alpha)
