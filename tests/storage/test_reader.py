"""Reading: lists, scans, features, counts; and what each of them does not touch."""

import os
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from storage import reader
from storage.database import StoreNotReady
from storage.filters import FilterError
from storage.rows import CallRow, StoredCall
from storage.store import TraceStore
from storage.trace import Side
from tests.storage.calls import StillClock, ask, at, id_of, recorded, url_of

LS_FIELDS = (
    "id started_at project upstream endpoint request_model response_model outcome status_code "
    "streamed finish_reason input_tokens output_tokens cost_usd duration_ms "
    "time_to_first_token_ms session_id trace_id user_id group_id side tags redacted truncated"
).split()


def test_a_row_begins_with_the_fields_of_the_command_line() -> None:
    assert list(CallRow.__struct_fields__[: len(LS_FIELDS)]) == LS_FIELDS


def test_a_row_is_json_with_times_in_utc(store: TraceStore) -> None:
    store.insert([recorded(0, tags={"task": "intent"})], at(1))
    (row,) = store.list("default", limit=1)
    shown = msgspec.json.decode(msgspec.json.encode(row))
    assert shown["started_at"] == "2026-09-21T14:13:20Z"
    assert (shown["input_tokens"], shown["tags"]) == (7, {"task": "intent"})


def test_lists_go_from_the_newest_back_page_by_page(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(7)], at(1))
    first = store.list("default", limit=3)
    second = store.list("default", limit=9, before=first[-1].id)
    assert [row.id for row in [*first, *second]] == [id_of(number) for number in range(6, -1, -1)]


def test_a_page_after_an_id_holds_the_next_newer_calls_newest_first(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(9)], at(1))
    page = store.list("default", limit=3, after=id_of(2))
    assert [row.id for row in page] == [id_of(5), id_of(4), id_of(3)]


def test_projects_with_calls_are_listed_by_name_up_to_a_limit(store: TraceStore) -> None:
    for number, project in enumerate("cab"):
        store.insert([recorded(number, project=project)], at(number + 1))
    assert store.projects(9) == ["a", "b", "c"]
    assert store.projects(2) == ["a", "b"]


def test_lists_counts_and_features_do_without_bodies(store: TraceStore) -> None:
    store.insert([recorded(number, tags={"n": str(number)}) for number in range(3)], at(1))
    ask(store, "DROP TABLE body")
    assert len(store.list("default", "tags['n'] <> '1'", limit=9)) == 2
    assert store.count("default") == 3
    assert [len(page) for page in store.features("default")] == [3]
    assert sum(count.calls for count in store.sides("default").values()) == 3


def test_the_newest_calls_are_found_by_an_index_without_sorting(
    sqlite_store: TraceStore,
) -> None:
    store = sqlite_store
    store.insert([recorded(number) for number in range(3)], at(1))
    plans = []
    with watched(store) as statements:
        store.list("default", limit=2)
        list(store.scan("default"))
    for sql in statements:
        if "FROM call" in sql:
            plan = ask(store, "EXPLAIN QUERY PLAN " + sql.replace("?", "1"))
            plans.append(" ".join(str(step[3]) for step in plan))
    assert len(plans) == 2
    assert all("ix_call_project_id" in plan and "SORT" not in plan for plan in plans), plans


def test_some_calls_are_read_by_their_ids(store: TraceStore) -> None:
    store.insert([recorded(number, tags={"n": str(number)}) for number in range(5)], at(1))
    rows = store.rows([id_of(3), id_of(1), "0" * 32])
    assert [(row.id, row.tags) for row in rows] == [(id_of(1), {"n": "1"}), (id_of(3), {"n": "3"})]
    assert store.ids("default", "tags['n'] <> '3'", first=id_of(2)) == [id_of(2), id_of(4)]


def test_a_scan_yields_every_call_with_its_bytes_in_order_of_time(store: TraceStore) -> None:
    calls = [recorded(number, tags={"n": str(number)}) for number in range(1203)]
    store.insert(calls, at(1))
    found = list(store.scan("default"))
    assert [each.capture for each in found] == [call.capture for call in calls]
    assert [each.row.tags for each in found] == [call.span.tags for call in calls]


def test_a_scan_by_group_keeps_groups_together(store: TraceStore) -> None:
    store.insert([recorded(number, f"Question {number % 7}?") for number in range(1000)], at(1))
    found = [(each.row.group_id, each.row.id) for each in store.scan("default", by_group=True)]
    assert len(found) == 1000
    assert found == sorted(found)


def test_a_scan_takes_one_side_and_a_filter(store: TraceStore) -> None:
    store.insert([recorded(number) for number in range(200)], at(1))
    found = list(store.scan("default", "substr(id, 32, 1) < '8'", side=Side.TRAIN))
    assert {each.row.side for each in found} == {Side.TRAIN}
    assert all(each.row.id[-1] < "8" for each in found)
    assert len(found) == store.count("default", "substr(id, 32, 1) < '8'", side=Side.TRAIN)


def test_large_bodies_are_read_a_few_at_a_time(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BODIES_BYTES_MAX", 5_000)
    calls = [recorded(number, request=os.urandom(2_000)) for number in range(20)]
    store.insert(calls, at(1))
    with watched(store) as statements:
        found: list[StoredCall] = list(store.scan("default"))
    assert [each.capture for each in found] == [call.capture for call in calls]
    reads = [sql for sql in statements if "body.capture" in sql and "length(body" not in sql]
    assert len(reads) == 10


def test_features_come_with_their_rows(store: TraceStore) -> None:
    calls = [recorded(number) for number in range(700)]
    store.insert(calls, at(1))
    found = [each for page in store.features("default") for each in page]
    assert [each.features for each in found] == [call.features for call in calls]
    assert [each.row.id for each in found] == [id_of(number) for number in range(700)]


def test_a_snapshot_does_not_see_what_comes_after(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    with store.snapshot() as before:
        assert before.count("default") == 1
        store.insert([recorded(2)], at(2))
        assert before.count("default") == 1
        assert [each.row.id for each in before.scan("default")] == [id_of(1)]
        assert before.policy("default") == store.policy("default")
    assert store.count("default") == 2


def test_sides_count_groups_and_calls(store: TraceStore) -> None:
    store.insert([recorded(n, f"Question {n % 50}?") for n in range(100)], at(1))
    sides = store.sides("default")
    assert sum(side.groups for side in sides.values()) == 50
    assert all(side.calls == 2 * side.groups for side in sides.values())


def test_the_largest_groups_come_first(store: TraceStore) -> None:
    store.insert([recorded(n, "Hello" if n < 5 else f"Question {n}?") for n in range(9)], at(1))
    groups = store.largest_groups("default", 2)
    assert [group.calls for group in groups] == [5, 1]
    assert groups[0].group_id == recorded(1, "Hello").group.id


def test_a_wrong_filter_is_named_before_the_database_is_asked(tmp_path: Path) -> None:
    store = TraceStore(url_of(tmp_path), clock=StillClock())
    with pytest.raises(FilterError, match="outcome"):
        store.list("default", "outcom = 'complete'", limit=1)


def test_reading_a_store_that_is_not_there_creates_no_file(tmp_path: Path) -> None:
    store = TraceStore(url_of(tmp_path), clock=StillClock())
    with pytest.raises(StoreNotReady, match="is not there"):
        store.count("default")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_call_is_none(store: TraceStore) -> None:
    assert store.get(id_of(1)) is None


class watched:
    """Collect the SQL that a store sends, with its placeholders."""

    def __init__(self, store: TraceStore) -> None:
        self._engine: Engine = store._engine
        self._statements: list[str] = []

    def _seen(self, _connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        self._statements.append(sql)

    def __enter__(self) -> list[str]:
        event.listen(self._engine, "before_cursor_execute", self._seen)
        return self._statements

    def __exit__(self, *_error: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._seen)
