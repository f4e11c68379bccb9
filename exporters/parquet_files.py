"""Parquet files out of lines of JSON, and lines out of them again.

`ParquetRows` stands where `staging.Lines` stands for the other formats: it is written row by row
or scratch file by scratch file, counts, hashes, and syncs to disk when it is closed. The same
rows give the same bytes as long as the version of pyarrow is the same: it names itself in each
file.

Limits: a row group is at most `GROUP_ROWS_MAX` rows, and closed at the row that passes
`GROUP_BYTES_MAX` bytes of JSON; memory holds one, as objects, about ten times its size.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
import pyarrow as pa
from pyarrow import parquet

from exporters.parquet_rows import RowColumns

GROUP_ROWS_MAX = 5_000
GROUP_BYTES_MAX = 16 << 20

_PART = pa.struct(
    [("kind", pa.string()), ("text", pa.string()), ("url", pa.string()), ("raw", pa.string())]
)
_CALL = pa.struct(
    [("id", pa.string()), ("kind", pa.string()), ("name", pa.string()), ("arguments", pa.string())]
)
_MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("trained", pa.bool_()),
        ("content", pa.string()),
        ("parts", pa.list_(_PART)),
        ("name", pa.string()),
        ("reasoning", pa.string()),
        ("refusal", pa.string()),
        ("tool_calls", pa.list_(_CALL)),
        ("tool_call_id", pa.string()),
    ]
)
_TOOL = pa.struct(
    [
        ("name", pa.string()),
        ("kind", pa.string()),
        ("description", pa.string()),
        ("parameters", pa.string()),
    ]
)
COLUMNS = pa.schema(
    [
        ("call_id", pa.string()),
        ("answer_source", pa.string()),
        ("messages", pa.list_(_MESSAGE)),
        ("tools", pa.list_(_TOOL)),
        ("parallel_tool_calls", pa.bool_()),
        ("rejected", _MESSAGE),
    ]
)


class ParquetRows:
    """A new Parquet file, written row by row; `bytes` and `sha256` are known once it is closed."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.rows = 0
        self.bytes = 0
        self._file = _Hashed(path)
        self._writer = parquet.ParquetWriter(
            pa.PythonFile(self._file, mode="w"), COLUMNS, compression="zstd"
        )
        self._group: list[object] = []
        self._group_bytes = 0

    @property
    def sha256(self) -> str:
        """Of all that was written, hex."""
        return self._file.hash.hexdigest()

    def write(self, line: bytes) -> None:
        """Append a row, a line of JSON without its end."""
        self._group.append(msgspec.to_builtins(_decode_row(line)))
        self._group_bytes += len(line)
        self.rows += 1
        if len(self._group) >= GROUP_ROWS_MAX or self._group_bytes >= GROUP_BYTES_MAX:
            self._end_group()

    def append(self, path: Path, rows: int) -> None:
        """Append a file of so many lines."""
        before = self.rows
        with path.open("rb") as file:
            for line in file:
                self.write(line)
        assert self.rows == before + rows, f"{path} has {self.rows - before} rows, not {rows}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._end_group()
        self._writer.close()
        self.bytes = self._file.position
        self._file.end(lasting=kind is None)

    def _end_group(self) -> None:
        if self._group:
            self._writer.write_table(pa.Table.from_pylist(self._group, COLUMNS))
            self._group, self._group_bytes = [], 0


def read_lines(path: Path) -> Iterator[bytes]:
    """Read a file's rows again, as the lines that were written into it; one row group in memory."""
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield msgspec.json.encode(msgspec.convert(row, RowColumns))


_decode_row = msgspec.json.Decoder(RowColumns).decode


class _Hashed:
    """A file that hashes what is written; what pyarrow asks of one that cannot seek."""

    def __init__(self, path: Path) -> None:
        self.hash = hashlib.sha256()
        self.position = 0
        self.closed = False
        self._file = path.open("xb")

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.position += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.position

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Called by pyarrow, too, which does not know when the file is safe."""

    def end(self, *, lasting: bool) -> None:
        with self._file:
            if lasting:
                self._file.flush()
                os.fsync(self._file.fileno())
        self.closed = True
