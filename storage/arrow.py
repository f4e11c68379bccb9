"""Columns of calls as Arrow batches: for those who compute over many calls, in constant memory.

Only the columns asked for are read. Times are microseconds without a zone, UTC. A batch has up to
BATCH_ROWS rows, in no order. What is to be forgotten is not in it.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    Select,
    String,
    Table,
    select,
)

from storage.erasure import visible
from storage.features import Features
from storage.filter_columns import COLUMNS
from storage.lists import conditions
from storage.rows import IS_MEASURED
from storage.schema import call, label, score, tag, text_feature, tool_set
from storage.short_columns import read_column

BATCH_ROWS = 20_000
FEATURES = Features.__struct_fields__
TEXT_FEATURES = tuple(name for name in text_feature.c.keys() if name != "call_id")
TOOL_SETS = tuple(tool_set.c.keys())

SCORES = tuple(name for name in score.c.keys() if name not in ("call_id", "joined_at"))
LABELS = tuple(name for name in label.c.keys() if name not in ("call_id", "joined_at"))

_TIMES = ("started_at", "created_at")


def call_columns(
    connection: Connection, project: str | None, where: str | None, names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read columns of COLUMNS, of the calls of a project or, for None, of all.

    Index (project, id) for a time, else a scan.
    """
    assert set(names) <= COLUMNS.keys()
    return _read(connection, _of(connection, project, where, [read_column(name) for name in names]))


def feature_columns(
    connection: Connection, project: str | None, where: str | None, names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read columns of FEATURES, with the call's id as `call_id` before them. As `call_columns`."""
    columns = [call.c.id.label("call_id"), *(call.c[name] for name in names)]
    return _read(connection, _of(connection, project, where, columns).where(IS_MEASURED))


def text_feature_columns(
    connection: Connection, project: str | None, where: str | None, names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read columns of TEXT_FEATURES, with the call's id as `call_id` before. As `call_columns`."""
    columns = [text_feature.c.call_id, *(text_feature.c[name] for name in names)]
    query = _of(connection, project, where, columns)
    of_calls = text_feature.c.call_id == call.c.id
    return _read(connection, query.join_from(call, text_feature, of_calls))


def tool_set_columns(
    connection: Connection, project: str | None, where: str | None, names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read columns of TOOL_SETS: of the sets that the calls offer, once each. As `call_columns`."""
    columns = [tool_set.c[name] for name in names or TOOL_SETS]
    query = _of(connection, project, where, columns).distinct()
    offered = tool_set.c.tools_hash == call.c.tools_hash
    return _read(connection, query.join_from(call, tool_set, offered))


def tag_columns(
    connection: Connection, project: str | None, where: str | None
) -> pa.RecordBatchReader:
    """Read `call_id`, `key` and `value` of every tag. As `call_columns`."""
    query = _of(connection, project, where, [tag.c.call_id, tag.c.key, tag.c.value])
    return _read(connection, query.join_from(call, tag, tag.c.call_id == call.c.id))


def score_columns(
    connection: Connection, project: str | None, where: str | None, names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read columns of SCORES, with the call's id as `call_id` before them. As `call_columns`."""
    return _said_columns(connection, project, where, score, names)


def label_columns(
    connection: Connection, project: str | None, where: str | None, names: Sequence[str]
) -> pa.RecordBatchReader:
    """Read columns of LABELS, with the call's id as `call_id` before them. As `call_columns`.

    Verdicts are rows too: `label_id` says on which label.
    """
    return _said_columns(connection, project, where, label, names)


def _said_columns(
    connection: Connection,
    project: str | None,
    where: str | None,
    table: Table,
    names: Sequence[str],
) -> pa.RecordBatchReader:
    columns = [table.c.call_id, *(table.c[name] for name in names)]
    query = _of(connection, project, where, columns)
    return _read(connection, query.join_from(call, table, table.c.call_id == call.c.id))


def _of(
    connection: Connection,
    project: str | None,
    where: str | None,
    columns: Sequence[ColumnElement[Any]],
) -> Select[*tuple[Any, ...]]:
    matching = conditions(project, where, has_order=False)
    return select(*columns).where(*matching, *visible(connection))


def _read(connection: Connection, query: Select[*tuple[Any, ...]]) -> pa.RecordBatchReader:
    schema = _schema(query.selected_columns)

    def batches() -> Generator[pa.RecordBatch]:
        result = connection.execute(query, execution_options={"yield_per": BATCH_ROWS})
        for rows in result.partitions():
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _schema(columns: Iterable[ColumnElement[Any]]) -> pa.Schema:
    return pa.schema([pa.field(column.key, _type(column)) for column in columns])


def _type(column: ColumnElement[Any]) -> pa.DataType:
    if column.key in _TIMES:
        return pa.timestamp("us")
    if isinstance(column.type, String):
        return pa.string()
    if isinstance(column.type, LargeBinary):
        return pa.binary()
    if isinstance(column.type, Boolean):
        return pa.bool_()
    return pa.float64() if isinstance(column.type, Float) else pa.int64()


TAGS_TYPE = pa.map_(pa.string(), pa.string())
CALL_SCHEMA = _schema(call.c[name] for name in COLUMNS).append(pa.field("tags", TAGS_TYPE))
FEATURE_SCHEMA = _schema([call.c.id.label("call_id"), *(call.c[name] for name in FEATURES)])
TEXT_FEATURE_SCHEMA = _schema(text_feature.c[name] for name in ("call_id", *TEXT_FEATURES))
TOOL_SET_SCHEMA = _schema(tool_set.c[name] for name in TOOL_SETS)
SCORE_SCHEMA = _schema(score.c[name] for name in ("call_id", *SCORES))
LABEL_SCHEMA = _schema(label.c[name] for name in ("call_id", *LABELS))
