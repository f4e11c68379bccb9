"""Columns of calls as Arrow batches, the same from both databases."""

from datetime import datetime

import pyarrow as pa
import pytest

from storage import arrow, database
from storage.filter_columns import COLUMNS
from storage.store import TraceStore
from tests.storage.calls import at, id_of, recorded


def columns(store: TraceStore, *names: str, project: str | None = "default") -> pa.Table:
    with database.reading(store.engine) as connection:
        return arrow.call_columns(connection, project, None, names).read_all()


def test_every_column_has_a_type_that_can_be_computed_with(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    found = columns(store, *COLUMNS)
    assert found.schema.names == list(COLUMNS)
    types = {field.name: str(field.type) for field in found.schema}
    assert (types["started_at"], types["streamed"]) == ("timestamp[us]", "bool")
    assert (types["duration_ms"], types["input_tokens"], types["id"]) == (
        "double",
        "int64",
        "string",
    )
    row = found.to_pylist()[0]
    assert row["started_at"] == datetime(2026, 9, 21, 14, 13, 21)  # noqa: DTZ001  UTC, as said
    assert (row["streamed"], row["input_tokens"], row["cost_usd"]) == (False, 7, None)


def test_all_rows_come_in_batches(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BATCH_ROWS", 4)
    store.insert([recorded(number) for number in range(10)], at(1))
    with database.reading(store.engine) as connection:
        batches = list(arrow.call_columns(connection, "default", None, ["id"]))
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    ids = [id for batch in batches for id in batch.column(0).to_pylist()]
    assert sorted(ids) == [id_of(number) for number in range(10)]


def test_a_project_is_one_of_all(store: TraceStore) -> None:
    store.insert([recorded(1), recorded(2, project="other")], at(1))
    assert columns(store, "project").num_rows == 1
    assert columns(store, "project", project=None).num_rows == 2


def test_tags_and_features_are_those_of_the_calls_that_are_asked_for(store: TraceStore) -> None:
    calls = [recorded(number, tags={"n": str(number)}) for number in range(3)]
    store.insert(calls, at(1))
    with database.reading(store.engine) as connection:
        tags = arrow.tag_columns(connection, "default", "tags['n'] <> '1'").read_all()
        features = arrow.feature_columns(connection, "default", None, ["turn_count"]).read_all()
    assert sorted(tags.column("value").to_pylist()) == ["0", "2"]
    assert features.schema.names == ["call_id", "turn_count"]
    assert features.column("turn_count").to_pylist() == [1, 1, 1]
