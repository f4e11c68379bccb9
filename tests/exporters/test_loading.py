"""A window out of a store, or from beside an export: which calls count."""

from pathlib import Path

import pytest
from sqlalchemy import update

from exporters import drift, loading
from exporters.dataset import export
from exporters.loading import load_window
from exporters.periods import Between, parse_window
from exporters.request import ExportRequest
from exporters.windows import Window, WindowError, in_sample
from storage.capture import Capture, Clock, Outcome
from storage.database import insert_rows, writing
from storage.features import FEATURE_VERSION
from storage.filters import FilterError
from storage.rows import time_of
from storage.schema import call, text_feature
from storage.store import TraceStore
from storage.terms import FAMILIES
from tests.exporters.calls import chat, conversation, record, said

DAY_NS = 86_400_000_000_000
FIRST_OF_OCTOBER_NS = 1_790_812_800_000_000_000


def test_so_few_are_too_few_for_a_verdict() -> None:
    assert loading.BEGUN_GROUPS_MIN == drift.GROUPS_MIN


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
    assert [int(call_id[-1]) for call_id in loaded.call_ids] == [0, 1]
    assert loaded.label == "2026-10-01T00:00:00Z..2026-10-03T00:00:00Z"
    # A duration ends now, at noon of the second.
    assert [int(call_id[-1]) for call_id in load(store, "1d", clock).call_ids] == [1]


def test_turns_of_a_conversation_count_once(store: TraceStore, clock: Clock) -> None:
    record(store, [*conversation(1, "hi", 5), *conversation(10, "ho", 3)])
    loaded = load(store, "where:outcome = 'complete'", clock)
    assert (len(loaded), loaded.call_count) == (2, 8)


def in_october(day: float, number: int, session: str, model: str = "tiny-1") -> Capture:
    """A call of a session, so many days after the first of October."""
    started = FIRST_OF_OCTOBER_NS + int(day * DAY_NS)
    return chat(
        (started // 10**6 << 80) + number,
        [said("user", f"{session} {number}")],
        said("assistant", "a"),
        started_at_ns=started,
        session=session,
        model=model,
    )


def test_a_group_counts_in_the_window_in_which_it_began(store: TraceStore, clock: Clock) -> None:
    record(store, [in_october(day / 2, 7, "long") for day in range(6)])
    record(store, [in_october(1.2, 1, "short"), in_october(1.3, 2, "short")], 2)
    groups = [
        load(store, window, clock).group_ids
        for window in ("2026-10-01..2026-10-02", "2026-10-02..2026-10-04", "2026-10-02..")
    ]
    assert groups == [("long",), ("short",), ("short",)]


def test_of_filtered_calls_a_group_begins_with_the_first_that_matches(
    store: TraceStore, clock: Clock
) -> None:
    models = ["tiny-1", "tiny-2", "tiny-2"]
    record(store, [in_october(day, 7, "s", model=model) for day, model in enumerate(models)])
    record(store, [in_october(2.5, 7, "other", model="tiny-2")], 2)
    groups = []
    for day in (1, 2):
        start = time_of((FIRST_OF_OCTOBER_NS + day * DAY_NS) // 1000)
        bounds = Between(start, None, "request_model = 'tiny-2'")
        groups.append(load_window(store, "default", bounds).group_ids)
    assert groups == [("s", "other"), ("other",)]


def test_a_group_that_is_a_user_counts_in_every_window(store: TraceStore, clock: Clock) -> None:
    record(store, [in_october(day, 7, "ada") for day in range(3)])
    record(store, [in_october(2.5, 7, "new")], 2)
    assert load(store, "2026-10-03..2026-10-04", clock).group_ids == ("new",)
    with store.engine.begin() as connection:
        connection.execute(update(call).values(group_source="tag:customer"))
    assert load(store, "2026-10-03..2026-10-04", clock).group_ids == ("ada", "new")


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
    assert len(load(store, "where:1 = 1", clock)) == 1


def test_calls_that_nobody_made_do_not_count(store: TraceStore, clock: Clock) -> None:
    record(store, conversation(1, "made", 1) + conversation(2, "lived", 1))
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE call SET source = 'synthetic' WHERE id = '{1:032x}'")
    window = load_window(store, "default", parse_window("where:id > ''", clock))
    assert list(window.call_ids) == [f"{2:032x}"]


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
    assert loaded.call_ids == of_the_store.call_ids
    assert loaded.call_count == of_the_store.call_count


def test_the_previous_period_alone_is_no_window(store: TraceStore, clock: Clock) -> None:
    with pytest.raises(WindowError, match="can only be the reference"):
        load(store, "previous", clock)


def test_of_more_texts_than_a_window_holds_those_of_more_bits_are_read(
    sqlite_store: TraceStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(
        sqlite_store, [call for n in range(40) for call in conversation(100 * n + 1, f"q {n}", 1)]
    )
    every = load(sqlite_store, "where:id > ''", clock)
    with writing(sqlite_store.engine) as connection:
        connection.execute(text_feature.delete())
        rows = [
            {
                "call_id": call_id,
                "feature_version": FEATURE_VERSION,
                "sample_bits": 0,
                "prompt_language": "en",
                "answer_language": "en",
                **dict.fromkeys(FAMILIES, b"1234"),
            }
            for call_id in every.call_ids
        ]
        insert_rows(connection, text_feature, rows)
    monkeypatch.setattr(loading, "TEXT_ROWS_MAX", 15)
    window = load(sqlite_store, "where:id > ''", clock)
    inside = [row for row, id in enumerate(every.call_ids) if in_sample(id, window.sample_bits)]
    assert 0 < len(inside) <= 15
    assert window.terms["prompt_terms"].rows.tolist() == inside
    assert (window.categories["prompt_language"].codes >= 0).nonzero()[0].tolist() == inside
