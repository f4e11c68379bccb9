"""Rows that are the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from exporters.duplicates import Duplicates, duplicates, surplus
from exporters.fingerprints import fingerprint_of
from exporters.templates import Templates
from storage.trace import Message
from tests.exporters.rows import ANSWER


def written(path: Path, calls: Sequence[tuple[str, str]]) -> Path:
    """Write fingerprints of calls: id and what was asked."""
    rows = [((Message("user", text), ANSWER), call_id) for call_id, text in calls]
    path.write_bytes(b"".join(fingerprint_of(row, (), name, Templates()) for row, name in rows))
    return path


def test_equal_rows_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "rows", [(str(n), text) for n, text in enumerate("aabcaab")])
    assert duplicates(path) == Duplicates(rows=7, distinct=3, repeated=4, largest=4)
    assert duplicates(written(path, [])) == Duplicates(0, 0, 0, 0)


def test_at_most_so_many_equal_rows_stay(tmp_path: Path) -> None:
    path = written(tmp_path / "rows", [(str(n), text) for n, text in enumerate("aabcaab")])
    kept = [text for n, text in enumerate("aabcaab") if n not in surplus(path, 2)]
    assert sorted(kept) == ["a", "a", "b", "b", "c"]
    assert surplus(path, 4).size == 0
    assert surplus(written(path, []), 1).size == 0


@pytest.mark.parametrize("equal_max", [1, 3, 10])
def test_which_of_equal_rows_stay_does_not_depend_on_their_order(
    tmp_path: Path, equal_max: int
) -> None:
    calls = [(f"{n:032x}", "ab"[n % 2]) for n in range(40)]
    turned = calls[::-1]
    first = surplus(written(tmp_path / "first", calls), equal_max)
    second = surplus(written(tmp_path / "second", turned), equal_max)
    assert {calls[n] for n in first} == {turned[n] for n in second}
    assert len(first) == 40 - 2 * equal_max
    assert (np.diff(first) > 0).all()
