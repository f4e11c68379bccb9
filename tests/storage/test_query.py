"""Questions in DuckDB's SQL: what they see, and what they cannot reach."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import query
from storage.filter_syntax import FilterError
from storage.labels import Said
from storage.query import QueryError, answering
from storage.store import TraceStore
from storage.trace import Tool
from tests.postgres import KINDS, fresh_url
from tests.storage.calls import at, new_store, recorded
from tests.storage.saying import label, score


def ask(store: TraceStore, sql: str, project: str | None = "default", where: str = "") -> Any:
    with answering(store.engine, sql, project, where or None) as answer:
        return [tuple(row.values()) for row in answer.read_all().to_pylist()]


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TraceStore]:
    with fresh_url(request, tmp_path_factory.mktemp("query")) as url:
        store = new_store(url)
        calls = [recorded(n, tags={"n": str(n)}, request_model=f"m{n % 2}") for n in range(1, 5)]
        calls.append(recorded(0, request_model="m0"))
        calls.append(recorded(9, project="other", tools=(Tool("find"),), sampled=True))
        store.insert(calls, at(1))
        yield store
        store.close()


def test_a_question_sees_the_columns_it_names(filled: TraceStore) -> None:
    sql = "SELECT request_model, count(*), sum(input_tokens)::int FROM calls GROUP BY 1 ORDER BY 1"
    assert ask(filled, sql) == [("m0", 3, 21), ("m1", 2, 14)]


def test_tools_and_sampled_texts_are_tables(filled: TraceStore) -> None:
    sql = (
        "SELECT tools[3:7], answer_language, octet_length(answer_terms) FROM features"
        " JOIN tool_sets USING (tools_hash) JOIN text_features USING (call_id)"
    )
    assert ask(filled, sql, "other") == [("find@", "", 4)]
    assert ask(filled, sql) == []
    assert ask(filled, "SELECT count(*) FROM tool_sets", "other") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT count(*) FROM calls", [(5,)]),
        ("FROM calls SELECT max(duration_ms)", [(12.5,)]),
        ("SELECT count(*) FROM (SELECT * FROM calls)", [(5,)]),
        ("SELECT tags['n'] FROM calls WHERE tags['n'] > '2' ORDER BY 1", [("3",), ("4",)]),
        ("SELECT count(*) FROM calls WHERE cardinality(tags) = 0", [(1,)]),
        ("SELECT sum(turn_count)::int FROM features", [(5,)]),
        ("SELECT count(*) FROM calls c JOIN features f ON c.id = f.call_id", [(5,)]),
        (
            "SELECT DATE_TRUNC('day', STARTED_AT)::text FROM CALLS LIMIT 1",
            [("2026-09-21 00:00:00",)],
        ),
        ("WITH a AS (SELECT id FROM calls) SELECT count(*) FROM a JOIN a AS b USING (id)", [(5,)]),
        ("SELECT 1 AS one", [(1,)]),
        ("SELECT COLUMNS('.*_model') FROM calls WHERE tags['n'] = '1'", [("m1", "small-1-0613")]),
    ],
)
def test_a_question_is_answered(filled: TraceStore, sql: str, answer: object) -> None:
    assert ask(filled, sql) == answer


def test_a_description_names_every_column(filled: TraceStore) -> None:
    names = [row[0] for row in ask(filled, "DESCRIBE calls")]
    assert {"id", "cost_usd", "tags"} <= set(names)


def test_calls_are_of_the_project_and_the_filter(filled: TraceStore) -> None:
    assert ask(filled, "SELECT count(*) FROM calls", None) == [(6,)]
    assert ask(filled, "SELECT count(*) FROM calls", where="request_model = 'm0'") == [(3,)]
    with pytest.raises(FilterError):
        ask(filled, "SELECT count(*) FROM calls", where="nothing = 1")


def test_an_empty_store_has_its_tables(store: TraceStore) -> None:
    assert ask(store, "SELECT count(*), count(tags) FROM calls") == [(0, 0)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "COPY calls TO '{file}'",
        "ATTACH '{file}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "PRAGMA enable_external_access",
        "DROP TABLE calls",
        "CREATE TABLE more AS SELECT 1",
        "DELETE FROM calls",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM batch",
        "SELECT * FROM connection",
    ],
)
def test_a_question_reaches_nothing_else(filled: TraceStore, tmp_path: Path, sql: str) -> None:
    file = tmp_path / "file.csv"
    file.write_text("secret\n1\n")
    with pytest.raises(QueryError) as raised:
        ask(filled, sql.format(file=file))
    assert "secret" not in str(raised.value)
    assert file.read_text() == "secret\n1\n"


def test_an_error_shows_the_place(filled: TraceStore) -> None:
    with pytest.raises(QueryError, match=r"modle(.|\n)*LINE 1: SELECT modle FROM calls\n *\^"):
        ask(filled, "SELECT modle FROM calls")
    with pytest.raises(QueryError, match=r'"request_model"(.|\n)*LINE 2: +request_modle'):
        ask(filled, "SELECT\n  request_modle FROM calls")


@pytest.mark.parametrize(
    ("table", "said"),
    [("nosuch", "There are calls, features, "), ("featurs", 'Did you mean "features"?')],
)
def test_a_table_that_is_not_there_leads_to_ours(filled: TraceStore, table: str, said: str) -> None:
    with pytest.raises(QueryError) as refused, answering(filled.engine, f"FROM {table}", "default"):
        pass
    assert said in str(refused.value)


def test_an_error_on_the_way_is_ours_too(filled: TraceStore) -> None:
    with pytest.raises(QueryError, match="Could not convert"):
        ask(filled, "SELECT request_model::int FROM calls")


def test_what_does_not_fit_into_memory_goes_to_disk_that_is_freed(
    filled: TraceStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(query, "MEMORY_LIMIT", "64MB")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sql = "SELECT count(*) FROM (SELECT DISTINCT md5(range::text) FROM range(2_000_000))"
    assert ask(filled, sql) == [(2_000_000,)]
    assert list(tmp_path.glob("shalt-query-*")) == []


def test_a_question_of_any_length_is_not_read(filled: TraceStore) -> None:
    with pytest.raises(QueryError, match="at most"):
        ask(filled, f"SELECT '{'x' * query.SQL_CHARS_MAX}'")


def test_scores_and_labels_are_tables(store: TraceStore) -> None:
    said: list[Said] = [score(2, 1, 4.5), score(3, 1, True, name="thumbs"), label(4, 1, "Better.")]
    store.insert([recorded(1), recorded(5, project="other")], at(1), said=[*said, score(6, 5)])
    sql = "SELECT name, kind, number FROM calls JOIN scores ON call_id = calls.id ORDER BY number"
    assert ask(store, sql) == [("thumbs", "boolean", 1.0), ("good", "number", 4.5)]
    sql = "SELECT author, json_extract_string(message, '$.content') FROM labels"
    assert ask(store, sql) == [("ada", "Better.")]
    assert [column for column, *_ in ask(store, "DESCRIBE scores")][:2] == ["call_id", "id"]
    assert ask(store, "SELECT count(created_at) FROM scores WHERE created_at > '2026-01-01'") == [
        (2,)
    ]
