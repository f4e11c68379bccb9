"""Forms, as files are sent with them: the fields and what is said of the files, not the files.

RFC 7578. The boundary is read from the first line, so the bytes are enough. Limits: a boundary of
BOUNDARY_BYTES_MAX, the first FIELDS_MAX fields, HEADER_BYTES_MAX of headers to each, and of a
field that is no file the first FIELD_BYTES_MAX. What is cut off or passed over is noted. Header
parameters are taken as written: no RFC 2231 continuations.
"""

import re
from collections.abc import Iterator

import msgspec

from storage.trace import Json
from storage.wire import Notes, Object, read_object

BOUNDARY_BYTES_MAX = 256  # RFC 2046 allows 70; some libraries write longer ones
FIELDS_MAX = 256
FIELD_BYTES_MAX = 256 << 10
HEADER_BYTES_MAX = 8 << 10

_NAME = re.compile(rb'(?i)[;\s]name="?([^";\r\n]*)"?')
_FILENAME = re.compile(rb'(?i)[;\s]filename="?([^";\r\n]*)"?')
_CONTENT_TYPE = re.compile(rb"(?im)^content-type:[ \t]*([^\r\n;]*)")


class FormFile(msgspec.Struct, frozen=True):
    """A file of a form: what was said of it, and its length in bytes."""

    field: str
    filename: str
    content_type: str
    length: int

    @property
    def raw(self) -> Object:
        """The same as the JSON that stands for the file in a part of a message."""
        return msgspec.structs.asdict(self)


def read_fields(data: bytes, notes: Notes) -> tuple[Object, list[FormFile]]:
    """Read a request that may be a form or a JSON object: its fields, and its files.

    Fields of a form are texts; one that is repeated is a list. Never raises.
    """
    if not data.startswith(b"--"):
        return read_object(data, "the request", notes), []
    fields: Object = {}
    files: list[FormFile] = []
    for header, content, ended in _parts(data, notes):
        name = _text(_NAME.search(header))
        filename = _FILENAME.search(header)
        if filename is not None:
            kind = _text(_CONTENT_TYPE.search(header))
            files.append(FormFile(name, _text(filename), kind, len(content)))
            continue
        if len(content) > FIELD_BYTES_MAX:
            notes.append(f"a field of the form was read to {FIELD_BYTES_MAX} bytes")
        value = content[:FIELD_BYTES_MAX].decode("utf-8", "replace")
        if ended:
            _put(fields, name.removesuffix("[]"), value)
    return fields, files


def _parts(data: bytes, notes: Notes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield headers and content of each part, and whether its end is there."""
    line_end = data.find(b"\r\n", 0, BOUNDARY_BYTES_MAX)
    if line_end < 0:
        notes.append("the request begins like a form and is none")
        return
    delimiter = b"\r\n" + data[:line_end].rstrip()
    for _ in range(FIELDS_MAX):
        header_end = data.find(b"\r\n\r\n", line_end, line_end + HEADER_BYTES_MAX)
        if header_end < 0:
            notes.append("the form breaks off")
            return
        start = header_end + 4
        end = data.find(delimiter, start)
        if end < 0:
            notes.append("the form breaks off")
            yield data[line_end:header_end], data[start:], False
            return
        yield data[line_end:header_end], data[start:end], True
        line_end = end + len(delimiter)
        if data[line_end : line_end + 2] == b"--":
            return
    notes.append(f"of the form the first {FIELDS_MAX} fields were read")


def _put(fields: Object, name: str, value: str) -> None:
    if name not in fields:
        fields[name] = value
        return
    before: Json = fields[name]
    fields[name] = [*before, value] if isinstance(before, list) else [before, value]


def _text(found: re.Match[bytes] | None) -> str:
    return found[1].decode("utf-8", "replace").strip() if found else ""
