"""A table and its file say the same, and what is no such file says so."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from exporters.columns import SCHEMA, table_of
from exporters.window_files import GROUP_ROWS, read_window_file, write_window_file
from exporters.windows import WindowError
from storage.trace import Understood
from tests.exporters.calls import measured_of


def table(rows: int) -> pa.Table:
    return table_of(measured_of(Understood(), f"{number:032x}") for number in range(rows))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "window.parquet"
    for rows in (0, 3, GROUP_ROWS + 1):
        written = write_window_file(path, table(rows))
        assert read_window_file(path).equals(table(rows))
        assert written.bytes == path.stat().st_size
    assert parquet.read_metadata(path).num_row_groups == 2


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    hashes = {write_window_file(tmp_path / name, table(100)).sha256 for name in ("a", "b")}
    assert len(hashes) == 1


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "window.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(WindowError, match="no Parquet file"):
        read_window_file(path)


@pytest.mark.parametrize("column", ["prompt_chars", "answer_fields", "call_id"])
def test_a_file_without_a_column_is_of_another_version(tmp_path: Path, column: str) -> None:
    path = tmp_path / "window.parquet"
    write_window_file(path, table(3).drop_columns([column]))
    with pytest.raises(WindowError, match=column):
        read_window_file(path)
    number = SCHEMA.get_field_index(column)
    other = table(3).set_column(number, column, pa.array([1.5] * 3))
    write_window_file(path, other)
    with pytest.raises(WindowError, match="export again"):
        read_window_file(path)
