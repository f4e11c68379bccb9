"""Sketches of parts, pooled, are the sketch of the whole: any cut, any order, any repetition."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters import window_files
from exporters.columns import table_of
from exporters.loading import Sketch
from exporters.pooling import Filed, Held, pool, write_sketch
from exporters.reservoir import choose_calls
from exporters.windows import SLOT_MICROSECONDS, WindowError
from storage.trace import Understood
from tests.exporters.calls import measured_of

CALLS = [
    msgspec.structs.replace(
        measured_of(
            Understood(request_model=f"m{number % 5}"), f"{number:032x}", f"g{number % 37}"
        ),
        started_at=number % 4 * SLOT_MICROSECONDS,
    )
    for number in range(150)
]


def sketch_of(numbers: list[int], groups_max: int) -> Sketch:
    """Choose calls as a look at the store does."""
    calls = [CALLS[number] for number in numbers]
    page = [(call.call_id, call.group_id, call.started_at) for call in calls]
    chosen, call_count = choose_calls([page], groups_max)
    return Sketch(table_of(CALLS[int(call_id, 16)] for call_id in chosen), call_count)


@given(
    cuts=st.lists(st.integers(0, 150), max_size=6),
    order=st.randoms(use_true_random=False),
    again=st.lists(st.integers(0, 6), max_size=3),
    groups_max=st.sampled_from([1, 5, 36, 37, 100]),
)
@settings(max_examples=60)
def test_pooled_is_what_one_look_at_all_calls_would_have_chosen(
    cuts: list[int], order: object, again: list[int], groups_max: int
) -> None:
    numbers = list(range(150))
    order.shuffle(numbers)  # type: ignore[attr-defined]
    ends = [0, *sorted(cuts), 150]
    parts = [numbers[low:high] for low, high in zip(ends, ends[1:], strict=False)]
    sketches = [sketch_of(part, groups_max) for part in parts]
    whole = sketch_of(numbers, groups_max)
    assert pool([Held(each) for each in sketches], groups_max).call_count == 150
    sketches += [sketches[each] for each in again if each < len(sketches)]
    order.shuffle(sketches)  # type: ignore[attr-defined]
    assert pool([Held(each) for each in sketches], groups_max).table.equals(whole.table)


def test_what_was_pooled_may_be_pooled_again() -> None:
    parts = [Held(sketch_of(list(range(start, 150, 3)), 20)) for start in range(3)]
    of_two = Held(pool(parts[:2], 20))
    assert pool([parts[2], of_two], 20).table.equals(pool(parts, 20).table)


def test_nothing_pooled_is_nothing() -> None:
    assert pool([], 10).table.num_rows == 0
    assert pool([Held(sketch_of([], 10))], 10) == (table_of([]), 0, ())


def test_a_file_is_pooled_as_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_files, "GROUP_ROWS", 4)
    monkeypatch.setattr("exporters.pooling.GROUP_ROWS", 4)
    held = [sketch_of(list(range(start, 150, 2)), 30) for start in range(2)]
    for number, each in enumerate(held):
        write_sketch(tmp_path / f"{number}.parquet", each, {"stored": number})
    filed = [Filed(tmp_path / f"{number}.parquet") for number in range(2)]
    for groups_max in (1, 7, 30):
        pooled = pool(filed, groups_max)
        assert pooled == pool([Held(each) for each in held], groups_max)
    assert [each.notes for each in filed] == [{"stored": 0}, {"stored": 1}]
    assert sorted(filed[0].call_ids()) == held[0].table["call_id"].to_pylist()
    assert filed[0].row_count == held[0].table.num_rows


@pytest.mark.parametrize("written", [b"", b"PAR1 no more"])
def test_a_file_of_something_else_is_no_part(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "hour.parquet"
    path.write_bytes(written)
    with pytest.raises(WindowError, match="no file of a sketch"):
        Filed(path)


def test_a_window_without_ranks_is_no_part(tmp_path: Path) -> None:
    path = tmp_path / "hour.parquet"
    window_files.write_window_file(path, table_of(CALLS[:3]))
    with pytest.raises(WindowError, match="no file of a sketch"):
        Filed(path)
