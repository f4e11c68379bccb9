"""SQL over the columns of the store, by DuckDB, with bounded memory: read-only, shut in.

A question is one statement of DuckDB's SQL over six tables:

    calls      the columns a filter may name, started_at as TIMESTAMP (UTC), and `tags`, a MAP
    features   what is measured of calls for drift: call_id and the columns of storage.features
    text_features  languages, and hashed words as blobs, of the sample (storage.terms)
    tool_sets  tools_hash, and the tools that it stands for as a JSON list of name@hash
    scores     judgements of calls: call_id, name, kind, number (of a boolean 0 or 1), text, …
    labels     corrected answers as JSON, and verdicts on them: rows with a label_id

The columns that a question names are copied into a DuckDB file in a temporary directory, from one
state of the store; the directory goes when the answer is read. So nothing that a question says can
change the store, and it reaches no file, no network and no setting. The copying is what takes
time: a second or two for a million calls and two columns. MEMORY_LIMIT bounds DuckDB, which uses
the directory for what does not fit; of the store a batch is held at a time.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import duckdb
import pyarrow as pa
import sqlglot
from sqlalchemy import Connection, Engine
from sqlglot import exp
from sqlglot.errors import SqlglotError

from storage import database
from storage.arrow import (
    CALL_SCHEMA,
    FEATURE_SCHEMA,
    FEATURES,
    LABEL_SCHEMA,
    LABELS,
    SCORE_SCHEMA,
    SCORES,
    TEXT_FEATURE_SCHEMA,
    TEXT_FEATURES,
    TOOL_SET_SCHEMA,
    TOOL_SETS,
    call_columns,
    feature_columns,
    label_columns,
    score_columns,
    tag_columns,
    text_feature_columns,
    tool_set_columns,
)
from storage.filter_columns import COLUMNS
from storage.filters import compile_filter

MEMORY_LIMIT = "1GB"
DISK_LIMIT = "100GB"  # for what does not fit into memory
THREADS = 2
ANSWER_ROWS = 10_000  # in a batch of the answer
SQL_CHARS_MAX = 100_000

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": THREADS,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a table is no variable of ours
}


class _More(NamedTuple):
    """A table beside `calls`: its columns (call_id is there anyway), what reads some of them."""

    columns: Sequence[str]
    schema: pa.Schema
    read: Callable[[Connection, str | None, str | None, Sequence[str]], pa.RecordBatchReader]


_MORE: Final[dict[str, _More]] = {
    "features": _More(FEATURES, FEATURE_SCHEMA, feature_columns),
    "text_features": _More(TEXT_FEATURES, TEXT_FEATURE_SCHEMA, text_feature_columns),
    "tool_sets": _More(TOOL_SETS, TOOL_SET_SCHEMA, tool_set_columns),
    "scores": _More(SCORES, SCORE_SCHEMA, score_columns),
    "labels": _More(LABELS, LABEL_SCHEMA, label_columns),
}
_ANY = "streamed"  # the column that is read where a question names none, such as count(*)

Result = TypeVar("Result")


class QueryError(Exception):
    """A question that cannot be answered. The message is DuckDB's, and shows the place."""


@contextmanager
def answering(
    engine: Engine, sql: str, project: str | None, where: str | None = None
) -> Iterator[pa.RecordBatchReader]:
    """Ask; yield the answer, to be read within the block.

    Calls are those of a project, or of all for None, and of a filter where one is given. Raise
    QueryError where DuckDB does not understand or cannot go on, FilterError for the filter.

        with answering(engine, "SELECT outcome, count(*) FROM calls GROUP BY ALL", None) as answer:
            answer.read_all()
    """
    if where is not None:
        compile_filter(where)
    if len(sql) > SQL_CHARS_MAX:
        raise QueryError(f"the query has {len(sql)} characters, at most {SQL_CHARS_MAX} are read")
    _check(sql)
    with (
        tempfile.TemporaryDirectory(prefix="shalt-query-") as directory,
        _opened(Path(directory)) as duck,
        ThreadPoolExecutor(1) as thread,
    ):
        with database.reading(engine) as connection:
            duck.begin()  # one for all: a transaction for each batch would sync each
            _copy(duck, connection, _named_columns(sql), project, where)
            duck.commit()
        _shut_in(duck)

        def interruptible(work: Callable[[], Result]) -> Result:
            """Do it in another thread: DuckDB does not hear Ctrl-C."""
            try:
                return thread.submit(work).result()
            except KeyboardInterrupt:
                duck.interrupt()
                raise
            except duckdb.Error as error:
                raise QueryError(str(error)) from None

        answer = interruptible(lambda: duck.sql(sql).to_arrow_reader(ANSWER_ROWS))

        def batches() -> Iterator[pa.RecordBatch]:
            while (batch := interruptible(lambda: next(answer, None))) is not None:
                yield batch

        yield pa.RecordBatchReader.from_batches(answer.schema, batches())


def _named_columns(sql: str) -> dict[str, list[str]]:
    """Say which columns of which tables a question names.

    Whatever could be a column is taken for one, and where sqlglot does not understand the question
    all are: too many cost time, and nothing else.
    """
    everything = {
        "calls": [*COLUMNS, "tags"],
        **{name: list(of.columns) for name, of in _MORE.items()},
    }
    try:
        trees = sqlglot.parse(sql, dialect="duckdb")
    except (SqlglotError, RecursionError):
        return everything
    nodes = [node for tree in trees if tree is not None for node in tree.walk()]
    if any(map(_means_every_column, nodes)):
        return everything
    names = {node.name.lower() for node in nodes if isinstance(node, exp.Identifier)}
    return {
        table: [column for column in columns if column in names]
        for table, columns in everything.items()
        if table in names
    }


def _means_every_column(node: exp.Expr) -> bool:
    if isinstance(node, exp.Star):
        return not isinstance(node.parent, exp.Count)
    return isinstance(node, exp.Columns | exp.Command | exp.Describe | exp.Summarize)


def _check(sql: str) -> None:
    """Make sure that it is one question, and that DuckDB can plan it for tables with all columns.

    So a mistake shows before anything is copied, and what DuckDB proposes instead is all there is.
    """
    with closing(duckdb.connect(config=_CONFIG)) as duck:
        _create(duck, "calls", CALL_SCHEMA)
        for table, more in _MORE.items():
            _create(duck, table, more.schema)
        _shut_in(duck)
        try:
            kinds = [str(statement.type) for statement in duck.extract_statements(sql)]
            if kinds not in (["StatementType.SELECT"], ["StatementType.EXPLAIN"]):
                raise QueryError("a query is one SELECT, such as SELECT count(*) FROM calls")
            # On a line of its own, or the places in messages would be others.
            duck.execute(f"EXPLAIN\n{sql}" if kinds == ["StatementType.SELECT"] else sql)
        except duckdb.Error as error:
            raise QueryError(_without_inner_tables(_one_line_up(str(error)))) from None


def _without_inner_tables(message: str) -> str:
    """Name our tables where DuckDB proposes one of its own for a table that is not there."""
    names = ["calls", *_MORE]
    return re.sub(
        r'Did you mean "([^"]*)"\?',
        lambda found: found[0] if found[1] in names else f"There are {', '.join(names)}.",
        message,
    )


def _one_line_up(message: str) -> str:
    return re.sub(
        r"^LINE (\d+)",
        lambda found: f"LINE {max(int(found[1]) - 1, 1)}",
        message,
        flags=re.MULTILINE,
    )


@contextmanager
def _opened(directory: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    of_disk: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(directory / "spilled"),
        "max_temp_directory_size": DISK_LIMIT,
        "preserve_insertion_order": False,  # or sorting and grouping hold more in memory
    }
    with closing(duckdb.connect(directory / "columns.duckdb", config=_CONFIG | of_disk)) as duck:
        yield duck


def _shut_in(duck: duckdb.DuckDBPyConnection) -> None:
    """Take files, network and settings away from all that follows."""
    duck.execute("SET enable_external_access = false")
    duck.execute("SET lock_configuration = true")


def _copy(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    wanted: dict[str, list[str]],
    project: str | None,
    where: str | None,
) -> None:
    if "calls" in wanted:
        names = [name for name in wanted["calls"] if name != "tags"]
        with_tags = "tags" in wanted["calls"]
        if with_tags and "id" not in names:
            names = ["id", *names]
        _fill(duck, "calls", call_columns(connection, project, where, names or [_ANY]))
        if with_tags:
            _fill(duck, "tag", tag_columns(connection, project, where))
            duck.execute(
                "CREATE TABLE with_tags AS SELECT calls.*, coalesce(tags, MAP {}) AS tags"
                " FROM calls LEFT JOIN (SELECT call_id,"
                " map_from_entries(list(row(key, value) ORDER BY key)) AS tags"
                " FROM tag GROUP BY call_id) ON call_id = id"
            )
            duck.execute("DROP TABLE calls; DROP TABLE tag")
            duck.execute("ALTER TABLE with_tags RENAME TO calls")
    for table in wanted.keys() & _MORE.keys():
        _fill(duck, table, _MORE[table].read(connection, project, where, wanted[table]))


def _fill(duck: duckdb.DuckDBPyConnection, table: str, rows: pa.RecordBatchReader) -> None:
    _create(duck, table, rows.schema)
    for batch in rows:
        duck.register("batch", pa.Table.from_batches([batch]))
        duck.execute(f"INSERT INTO {table} FROM batch")
        duck.unregister("batch")


def _create(duck: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema) -> None:
    duck.register("batch", schema.empty_table())
    duck.execute(f"CREATE TABLE {table} AS FROM batch")
    duck.unregister("batch")
