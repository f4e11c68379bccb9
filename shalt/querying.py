"""The command `query`: DuckDB's SQL over the columns of the store."""

import csv
import io
import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Literal

import orjson
import pyarrow as pa

from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_bytes, print_json, print_line, print_table
from storage.query import answering

TABLE_ROWS_MAX = 1_000  # a table on a terminal is as wide as its widest row: it is held whole


Form = Literal["table", "json", "csv"]


def query(
    settings: Settings, sql: str, *, where: str | None, all_projects: bool, form: Form
) -> None:
    """Ask, and print the answer as it comes: of the project, or of all."""
    with closing(open_store(settings)) as store:
        store.check()
        project = None if all_projects else settings.project
        with answering(store.engine, sql, project, where) as answer:
            _print(answer, form)


def _print(answer: pa.RecordBatchReader, form: Form) -> None:
    names = list(answer.schema.names)
    rows = (
        [_plain(column[at].as_py(maps_as_pydicts="lossy")) for column in batch.columns]
        for batch in answer
        for at in range(batch.num_rows)
    )
    if form == "json":
        for row in rows:
            print_json(dict(zip(names, row, strict=True)))
    elif form == "csv":
        _print_csv(names, rows)
    else:
        is_seen = sys.stdout.isatty()
        shown = islice(rows, TABLE_ROWS_MAX) if is_seen else rows
        print_table(names, ([_cell(value) for value in row] for row in shown))
        if is_seen and next(rows, None) is not None:
            print_line(
                f"the first {TABLE_ROWS_MAX:,} rows; --json and --csv print all", style="dim"
            )


def _print_csv(names: list[str], rows: Iterable[list[object]]) -> None:
    """Print RFC 4180: lines end in CR LF, NULL is an empty field. To a terminal, harmlessly."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    is_seen = sys.stdout.isatty()
    for row in (names, *((_field(value) for value in row) for row in rows)):
        writer.writerow(row)
        if is_seen:
            print_line(text.getvalue().removesuffix("\r\n"))
        else:
            print_bytes(text.getvalue().encode("utf-8", "replace"))
        text.seek(0)
        text.truncate()


def _plain(value: object) -> object:
    """Make of a value what JSON has; MAPs become objects, times and intervals ISO 8601.

    Integers beyond 64 bits, which few readers of JSON keep whole, become texts.
    """
    match value:
        case Decimal() if value.is_finite() and value == value.to_integral_value():
            return _plain(int(value))
        case Decimal():
            return float(value)
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case pa.MonthDayNano():
            return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
        case bytes():
            return value.hex()
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _field(value: object) -> object:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def _cell(value: object) -> str:
    field = _field(value)
    return "NULL" if field is None else str(field)
