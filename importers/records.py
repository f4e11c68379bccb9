"""A file to the records in it, one at a time: JSON Lines, JSON, CSV; plain, gzip or zstd.

Which it is shows in the bytes, not in the name. JSON may be one object a line, one or several
objects over many lines, or an array of them; an object that is a page of a list (`data` holds
objects, as the APIs of OpenAI and Langfuse answer) is the records on it. CSV has a header line,
its values are text. What cannot be read becomes a record without a value and with the reason, so
that one bad line costs only itself.

Limits: a record has at most RECORD_BYTES_MAX bytes; memory is some three times the longest one.
A compressed file that is cut off gives what stands before the cut, and a record that says so.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import zstandard

from storage.trace import Json
from storage.wire import Notes, Object, read_json

RECORD_BYTES_MAX = 256 * 2**20  # a page of 1,000 long calls; more is no record but a wrong format
WINDOW_BYTES_MAX = 128 * 2**20  # of zstd: `zstd --long=27`, the most it reads unasked itself
CHUNK_BYTES = 2**20

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CSV_HEADER = re.compile(rb'"?[A-Za-z_]\w*"?(?:,"?[A-Za-z_]\w*"?)+')
_OUTSIDE_STRING = re.compile(rb'["{}\[\]]')
_INSIDE_STRING = re.compile(rb'["\\]')
_BETWEEN = b" \t\r\n,[]"  # what may stand between the objects of an array


class Record(NamedTuple):
    """One record. `note` says what could not be read of it; without a value: why there is none."""

    line: int
    value: Object | None
    note: str = ""


class RecordFile:
    """The records of one file. Close it, or use it in a `with`."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raise OSError where that cannot be done."""
        self.path = path
        self._file = open(path, "rb", buffering=0)
        self.size = path.stat().st_size
        magic = self._file.read(4)
        self._file.seek(0)
        raw: gzip.GzipFile | io.RawIOBase = self._file
        if magic.startswith(_GZIP_MAGIC):
            raw = gzip.GzipFile(fileobj=self._file)
        elif magic == _ZSTD_MAGIC:
            raw = _ZstdStream(self._file)
        self._stream: io.BufferedReader = io.BufferedReader(raw, CHUNK_BYTES)

    def __enter__(self) -> "RecordFile":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._file.close()

    @property
    def position(self) -> int:
        """How many of the file's `size` bytes have been read."""
        return self.size if self._file.closed else self._file.tell()

    def __iter__(self) -> Iterator[Record]:
        """Read the records in order. Once: the file is read as it goes."""
        line = 1
        try:
            for record in self._records():
                line = record.line
                yield record
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            yield Record(line, None, f"the file cannot be read any further: {error}")

    def _records(self) -> Iterator[Record]:
        if self._stream.peek(3)[:3] == _BYTE_ORDER_MARK:
            self._stream.read(3)
        first, line = b"", 0
        while not first.strip():
            first = self._stream.readline(RECORD_BYTES_MAX + 1)
            line += 1
            if not first:
                return
        stripped = first.strip()
        is_json = stripped.startswith(b"{")
        # No object goes on with a brace: where one follows, the first line was torn.
        goes_on = not stripped.endswith(b"}") and self._stream.peek(1)[:1] != b"{"
        if stripped.startswith(b"[") or (is_json and goes_on):
            yield from _read_values(self._stream, first, line)
        elif not is_json and _CSV_HEADER.fullmatch(stripped):
            yield from _read_csv(self._stream, first, line)
        else:
            yield from _read_lines(self._stream, first, line)


def _read_lines(stream: io.BufferedReader, first: bytes, number: int) -> Iterator[Record]:
    """Read an object a line."""
    data = first
    while data:
        if len(data) > RECORD_BYTES_MAX:
            yield Record(number, None, f"the line is longer than {RECORD_BYTES_MAX} bytes")
            while data and not data.endswith(b"\n"):
                data = stream.readline(CHUNK_BYTES)
        elif data.strip():
            yield from _parse(data, number)
        data = stream.readline(RECORD_BYTES_MAX + 1)
        number += 1


def _parse(data: bytes, line: int) -> Iterator[Record]:
    notes: Notes = []
    value: Json = read_json(data.strip(), "the record", notes)
    note = "; ".join(notes)
    if not isinstance(value, dict):
        yield Record(line, None, note or "the record is JSON but not an object")
        return
    page = value.get("data")
    if isinstance(page, list) and "messages" not in value and "input" not in value:
        for element in page:
            if isinstance(element, dict):
                yield Record(line, element, note)
            else:
                yield Record(line, None, "an element of the page's data is not an object")
        return
    yield Record(line, value, note)


def _read_values(stream: io.BufferedReader, first: bytes, line: int) -> Iterator[Record]:
    """Cut JSON that is not by lines into its objects: those at the top, those of an array there."""
    buffer = first
    at = end = 0  # scanned up to here; the last object ended there
    depth = base = 0
    start = -1
    in_string = False
    while True:
        found = (_INSIDE_STRING if in_string else _OUTSIDE_STRING).search(buffer, at)
        if found is None:
            if start >= 0 and len(buffer) - start > RECORD_BYTES_MAX:
                yield Record(line, None, f"the record is longer than {RECORD_BYTES_MAX} bytes")
                return
            kept = start if start >= 0 else end
            line += buffer.count(b"\n", end, kept)
            more = stream.read(max(CHUNK_BYTES, len(buffer) - kept))  # doubling: linear in all
            if not more:
                break
            at = len(buffer) - kept
            buffer = buffer[kept:] + more
            start, end = (0 if start >= 0 else -1), 0
            continue
        at = found.end()
        mark = found[0]
        if in_string and mark == b"\\":
            if at == len(buffer):  # what it escapes is not here yet
                buffer += stream.read(1)
            at += 1
        elif mark == b'"':
            in_string = not in_string
        elif mark in b"{[":
            if depth == 0 and mark == b"[":
                base = 1
            elif depth == base and mark == b"{":
                start = found.start()
                if buffer[end:start].strip(_BETWEEN):
                    yield Record(line, None, "something that is not an object")
                line += buffer.count(b"\n", end, start)
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if start >= 0 and depth == base:
                yield from _parse(buffer[start:at], line)
                line += buffer.count(b"\n", start, at)
                start, end = -1, at
            elif depth < base:
                base = depth = 0
    if start >= 0:
        yield Record(line, None, "the record is cut off by the end of the file")
    elif buffer[end:].strip(_BETWEEN):
        yield Record(line, None, "something that is not an object")


def _read_csv(stream: io.BufferedReader, first: bytes, line: int) -> Iterator[Record]:
    """Read rows under a header; bytes that are not UTF-8 are written as `\\xff`."""
    csv.field_size_limit(RECORD_BYTES_MAX)
    names = [name.decode().strip('"') for name in first.strip().split(b",")]
    rows = csv.reader(data.decode("utf-8", "backslashreplace") for data in stream)
    while True:
        number = line + rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Record(number, None, f"the row is not CSV: {error}")
            continue
        if row is None:
            return
        if len(row) == len(names):
            yield Record(number, dict(zip(names, row, strict=True)))
        elif row:
            yield Record(number, None, f"the row has {len(row)} fields under {len(names)} names")


class _ZstdStream(io.RawIOBase):
    """A zstd file's content. Unlike zstandard's own reader it says so when the file is cut off."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._machine = self._new_frame()
        self._in_frame = False
        self._compressed = b""
        self._content = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: "bytearray | memoryview[int]", /) -> int:  # type: ignore[override]
        while not self._content:
            if not self._compressed:
                self._compressed = self._file.read(CHUNK_BYTES // 8)
                if not self._compressed:
                    if self._in_frame:
                        raise EOFError("it is cut off in the middle of a zstd frame")
                    return 0
            self._in_frame = True
            self._content = self._machine.decompress(self._compressed)
            self._compressed = b""
            if self._machine.eof:
                self._compressed = self._machine.unused_data
                self._machine = self._new_frame()
                self._in_frame = False
        count = min(len(into), len(self._content))
        into[:count] = self._content[:count]
        self._content = self._content[count:]
        return count

    @staticmethod
    def _new_frame() -> "zstandard.ZstdDecompressionObj":
        return zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).decompressobj()
