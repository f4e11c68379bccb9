"""Tables of windows as Parquet files: beside an export, and under the rolled-up hours of a monitor.

A file has the columns of `exporters.columns.SCHEMA` and those of scores. The same table gives the
same bytes as long as the version of pyarrow is the same: it names itself in each file. Row groups
are of `GROUP_ROWS` rows, so that whoever wants the first rows reads little more than those.

Size: 0.2 KB a row, and of a call in the sample of texts its terms besides, four bytes each, which
do not compress: some 2 KB for a prompt of 1 KB and an answer of as much.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import parquet

from exporters.columns import COLUMNS, SCHEMA
from exporters.windows import WindowError

GROUP_ROWS = 2_000
_UNLIKE = (
    "call_id",
    "group_id",
    "group_rank",
    "call_rank",
    *(column.name for column in COLUMNS if column.kind == "term"),
)


class Written(NamedTuple):
    """What was written: how many bytes, and their SHA-256 in hex."""

    bytes: int
    sha256: str


def write_window_file(path: Path, table: pa.Table) -> Written:
    """Write a table as a new file that is safe on disk. Raises OSError where the disk refuses."""
    repeating = [name for name in table.column_names if name not in _UNLIKE]
    parquet.write_table(
        table, path, compression="zstd", use_dictionary=repeating, row_group_size=GROUP_ROWS
    )
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256")
        return Written(file.tell(), digest.hexdigest())


def read_window_file(path: Path) -> pa.Table:
    """Read a file as the table it was written from; WindowError if it is none of this version."""
    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise WindowError(f"{path} is no Parquet file of a window: {error}") from error
    check_columns(path, table.schema)
    return table


def check_columns(path: Path, schema: pa.Schema) -> None:
    """Raise WindowError unless a file has the columns of a window."""
    types = dict(zip(schema.names, schema.types, strict=True))
    for field in SCHEMA:
        if types.get(field.name) != field.type:
            raise WindowError(
                f"{path} was written by another version of shalt: it has no column {field.name!r} "
                f"of type {field.type}; export again"
            )
