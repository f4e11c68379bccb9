"""A Parquet file holds the rows it was given, in row groups of bounded size, the same each time."""

import hashlib
from pathlib import Path

import datasets
import duckdb
import pyarrow.parquet
import pytest

from exporters import parquet_files
from exporters.formats import FORMATS
from exporters.parquet_files import ParquetRows, read_lines
from storage.trace import Message, Tool, ToolCall
from tests.exporters.rows import ANSWER, USER, calling, example, picture

PARQUET = FORMATS["parquet"]
LINES = [
    PARQUET.row(example(USER, ANSWER)),
    PARQUET.row(example(picture(), Message("assistant", "漢字 🙂 \x00"), tools=(Tool("f"),))),
    PARQUET.row(example(USER, calling(ToolCall("f", '{"a": 1e400}', "c1")), rejected=ANSWER)),
]


def write(path: Path, lines: list[bytes]) -> ParquetRows:
    with ParquetRows(path) as file:
        for line in lines:
            file.write(line)
    return file


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", LINES)
    assert list(read_lines(tmp_path / "a.parquet")) == LINES


def test_the_file_knows_its_rows_its_length_and_its_hash(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", LINES)
    data = (tmp_path / "a.parquet").read_bytes()
    assert (file.name, file.rows, file.bytes) == ("a.parquet", 3, len(data))
    assert file.sha256 == hashlib.sha256(data).hexdigest()


def test_the_same_rows_give_the_same_bytes_row_by_row_or_file_by_file(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.write_bytes(b"".join(line + b"\n" for line in LINES))
    write(tmp_path / "a.parquet", LINES)
    with ParquetRows(tmp_path / "b.parquet") as file:
        file.append(scratch, 3)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_row_group_is_closed_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "GROUP_ROWS_MAX", 2)
    write(tmp_path / "a.parquet", LINES * 3)
    with pyarrow.parquet.ParquetFile(tmp_path / "a.parquet") as file:
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert groups == [2, 2, 2, 2, 1]


def test_a_file_without_rows_has_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [])
    assert list(read_lines(tmp_path / "a.parquet")) == []
    assert pyarrow.parquet.read_schema(tmp_path / "a.parquet").equals(parquet_files.COLUMNS)


def test_datasets_and_duckdb_read_the_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    write(tmp_path / "a.parquet", LINES)
    loaded = datasets.load_dataset(
        "parquet", data_files=path, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded[1]["messages"][1]["content"] == "漢字 🙂 \x00"
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT messages[2].tool_calls[1].arguments FROM read_parquet(?)", [path]
        )
        assert rows.fetchall() == [(None,), (None,), ('{"a": 1e400}',)]
