"""What a window is, how it is written, and that one call of each group counts."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters.dataset import export
from exporters.request import ExportRequest
from exporters.windows import (
    MANIFEST_FILE,
    REFERENCE_FILE,
    Between,
    Exported,
    Matching,
    Measured,
    Reservoir,
    Window,
    WindowError,
    load_window,
    parse_window,
)
from storage.capture import Clock, Outcome
from storage.filters import FilterError
from storage.store import TraceStore
from storage.trace import Understood
from tests.exporters.calls import chat, conversation, measured_of, record, said

DAY_NS = 86_400_000_000_000
FIRST_OF_OCTOBER_NS = 1_790_812_800_000_000_000


def at(*date: int) -> datetime:
    return datetime(*date, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("2026-10-01..2026-11-01", Between(at(2026, 10, 1), at(2026, 11, 1))),
        ("2026-10-01T06:30:00Z..", Between(at(2026, 10, 1, 6, 30), None)),
        ("..2026-10-01T02:00:00+02:00", Between(None, at(2026, 10, 1))),
        ("36h", Between(at(2026, 10, 1), at(2026, 10, 2, 12))),
        ("7d", Between(at(2026, 9, 25, 12), at(2026, 10, 2, 12))),
        ("2w", Between(at(2026, 9, 18, 12), at(2026, 10, 2, 12))),
        ("where:outcome = 'complete'", Matching("outcome = 'complete'")),
    ],
)
def test_a_window_is_written_in_one_of_four_ways(text: str, spec: object, clock: Clock) -> None:
    assert parse_window(text, clock) == spec


def test_a_directory_with_a_manifest_is_a_window(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / MANIFEST_FILE).write_text("{}")
    assert parse_window(str(tmp_path), clock) == Exported(tmp_path)
    crooked = f"{tmp_path}/../{tmp_path.name}"
    assert parse_window(crooked, clock) == Exported(Path(crooked))


@pytest.mark.parametrize(
    "text", ["", "..", "yesterday", "7m", "2026-13-01..", "no/such/directory", "1d..2d"]
)
def test_anything_else_is_refused_with_the_four_ways(text: str, clock: Clock) -> None:
    with pytest.raises(WindowError, match=r"FROM\.\.TO .* 7d.* where:SQL"):
        parse_window(text, clock)


def test_a_range_that_ends_before_it_begins_is_refused(clock: Clock) -> None:
    with pytest.raises(WindowError, match="ends before it begins"):
        parse_window("2026-11-01..2026-10-01", clock)


def offered(rows: list[Measured], groups_max: int) -> Reservoir:
    reservoir = Reservoir(groups_max)
    for row in rows:
        reservoir.offer(row.group_id, row.call_id, lambda row=row: row)  # type: ignore[misc]
    return reservoir


def test_a_reservoir_keeps_the_same_calls_in_any_order() -> None:
    rows = [
        measured_of(Understood(), f"{number:032x}", f"group {number % 40}") for number in range(400)
    ]
    kept = offered(rows, 10).rows()
    assert len({row.group_id for row in kept}) == len(kept) == 10
    for seed in range(20):
        random.Random(seed).shuffle(rows)
        assert offered(rows, 10).rows() == kept
    assert offered(rows, 10).call_count == 400


def test_a_reservoir_with_room_keeps_one_call_of_every_group() -> None:
    rows = [measured_of(Understood(), f"{n:032x}", f"group {n % 7}") for n in range(70)]
    kept = offered(rows, 100).rows()
    assert {row.group_id for row in kept} == {f"group {n}" for n in range(7)}


def load(store: TraceStore, text: str, clock: Clock) -> Window:
    return load_window(store, "default", parse_window(text, clock))


def test_a_range_is_half_open(store: TraceStore, clock: Clock) -> None:
    for day in range(3):
        started = FIRST_OF_OCTOBER_NS + day * DAY_NS
        number = (started // 10**6 << 80) + day  # ids begin with the millisecond of their call
        record(
            store,
            [
                chat(
                    number,
                    [said("user", str(day))],
                    said("assistant", "a"),
                    started_at_ns=started,
                )
            ],
        )
    loaded = load(store, "2026-10-01..2026-10-03", clock)
    assert [int(row.call_id[-1]) for row in loaded.rows] == [0, 1]
    assert loaded.label == "2026-10-01T00:00:00Z..2026-10-03T00:00:00Z"
    # A duration ends now, at noon of the second.
    assert [int(row.call_id[-1]) for row in load(store, "1d", clock).rows] == [1]


def test_turns_of_a_conversation_count_once(store: TraceStore, clock: Clock) -> None:
    record(store, [*conversation(1, "hi", 5), *conversation(10, "ho", 3)])
    loaded = load(store, "where:outcome = 'complete'", clock)
    assert (len(loaded.rows), loaded.call_count) == (2, 8)


def test_errors_and_other_endpoints_do_not_count(store: TraceStore, clock: Clock) -> None:
    user, answer = said("user", "x"), said("assistant", "a")
    record(
        store,
        [
            chat(1, [user], answer),
            chat(2, [said("user", "y")], None, outcome=Outcome.UPSTREAM_ERROR),
            chat(3, [said("user", "z")], answer, path="/v1/embeddings"),
        ],
    )
    assert len(load(store, "where:1 = 1", clock).rows) == 1


def test_calls_that_nobody_made_do_not_count(store: TraceStore, clock: Clock) -> None:
    record(store, conversation(1, "made", 1) + conversation(2, "lived", 1))
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE call SET source = 'synthetic' WHERE id = '{1:032x}'")
    window = load_window(store, "default", parse_window("where:id > ''", clock))
    assert [row.call_id for row in window.rows] == [f"{2:032x}"]


def test_a_bad_filter_is_the_filters_own_error(store: TraceStore, clock: Clock) -> None:
    with pytest.raises(FilterError):
        load(store, "where:no_such_column = 1", clock)


def exported(store: TraceStore, tmp_path: Path) -> Path:
    for number in range(40):
        record(store, conversation(100 * number, f"q {number}", 2), number + 1)
    export(store, ExportRequest(), tmp_path / "out")
    return tmp_path / "out"


def test_an_export_is_the_window_of_its_train_side(
    store: TraceStore, tmp_path: Path, clock: Clock
) -> None:
    loaded = load(store, str(exported(store, tmp_path)), clock)
    of_the_store = load(store, "where:side = 'train'", clock)
    assert loaded.rows == of_the_store.rows
    assert loaded.call_count == of_the_store.call_count


def test_a_reference_that_was_changed_is_refused(
    store: TraceStore, tmp_path: Path, clock: Clock
) -> None:
    directory = exported(store, tmp_path)
    path = directory / REFERENCE_FILE
    path.write_bytes(path.read_bytes().replace(b"tiny-1", b"tiny-9"))
    with pytest.raises(WindowError, match="changed since the export"):
        load(store, str(directory), clock)


@pytest.mark.parametrize("manifest", [b"{}", b"", b"[]"])
def test_a_manifest_of_something_else_is_refused(
    manifest: bytes, store: TraceStore, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / REFERENCE_FILE).write_bytes(b"")
    (tmp_path / MANIFEST_FILE).write_bytes(manifest)
    with pytest.raises(WindowError, match="not written by this version"):
        load(store, str(tmp_path), clock)
