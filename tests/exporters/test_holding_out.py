"""A row that gives away one that is held out stops the export, or is dropped and counted."""

from pathlib import Path

import pytest

from exporters.dataset import export
from exporters.guard import GuardError
from exporters.merging import read_ids
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE
from exporters.selection import Reason
from storage.reservation import side_of, u_of
from storage.store import TraceStore
from storage.trace import Side
from tests.exporters.calls import chat, opening, record, said
from tests.stores import SALT

COPIES = 5


def session_on(side: Side, number: int) -> str:
    """Find a session whose group falls on a side."""
    names = (f"{number}-{attempt}" for attempt in range(10_000))
    return next(name for name in names if side_of(u_of(SALT, "default", name), 0.1, 0.05) is side)


def leak(store: TraceStore, question: str = "{}") -> None:
    """Ask the same of a model in sessions of train and of test, beside much else."""
    asked = [question.format(opening(1_000 + number)) for number in range(COPIES)]
    calls = [
        chat(
            100 * number + place,
            [said("user", asked[number])],
            said("assistant", "yes"),
            session=session_on(side, 10 * number + place),
        )
        for number in range(COPIES)
        for place, side in enumerate((Side.TRAIN, Side.TEST))
    ]
    calls += [
        chat(10_000 + n, [said("user", opening(n))], said("assistant", "no")) for n in range(100)
    ]
    record(store, calls)


def test_an_equal_input_on_two_sides_stops_the_export(store: TraceStore, tmp_path: Path) -> None:
    leak(store)
    with pytest.raises(GuardError, match=f"{COPIES} rows for training give away") as raised:
        export(store, ExportRequest(), tmp_path / "out")
    assert f"(call {0:032x}) and test.jsonl" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_contaminated_rows_are_dropped_and_counted_where_that_is_asked_for(
    store: TraceStore, tmp_path: Path
) -> None:
    leak(store)
    manifest = export(store, ExportRequest(drop_contaminated=True), tmp_path / "out")
    train = manifest.sides[Side.TRAIN]
    assert train.reasons[Reason.CONTAMINATED] == COPIES
    assert train.calls == train.rows + sum(train.reasons.values())
    assert manifest.guard.dropped == {"train.jsonl": {"content": COPIES}}
    assert list(manifest.overrides) == ["drop_contaminated"]
    left = {line.call for line in read_ids(tmp_path / "out" / IDS_FILE)}
    assert left.isdisjoint({f"{100 * number:032x}" for number in range(COPIES)})
    rows = (tmp_path / "out" / "train.jsonl").read_bytes().splitlines()
    assert len(rows) == train.rows


def test_equal_rows_are_counted_and_those_of_train_left_out_beyond_a_maximum(
    store: TraceStore, tmp_path: Path
) -> None:
    same = [said("user", "How do I return a parcel that came broken?")]
    calls = [
        chat(n, same, said("assistant", "Like this."), session=session_on(Side.TRAIN, n))
        for n in range(10)
    ]
    calls += [chat(100 + n, [said("user", opening(n))], said("assistant", "ok")) for n in range(50)]
    record(store, calls)
    every = export(store, ExportRequest(), tmp_path / "every")
    assert every.duplicates["train.jsonl"].repeated == 9
    some = export(store, ExportRequest(max_duplicates=3), tmp_path / "some")
    assert some.sides[Side.TRAIN].reasons[Reason.DUPLICATE] == 7
    assert some.sides[Side.TRAIN].rows == every.sides[Side.TRAIN].rows - 7
    assert some.max_duplicates == 3


def test_nothing_of_the_comparison_is_left_beside_the_rows(
    store: TraceStore, tmp_path: Path
) -> None:
    record(store, [chat(n, [said("user", opening(n))], said("assistant", "ok")) for n in range(9)])
    manifest = export(store, ExportRequest(), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"manifest.json", *(file.name for file in manifest.files)}
