"""Content-encodings undone, for reading only: gzip, deflate, zstd, brotli. What is stored stays.

A body that is plain text although its header names an encoding is taken as it is: one that had a
secret taken out is stored decoded. What a cut stream still gives is given.

Limits: DECODED_BYTES_MAX of output, ENCODINGS_MAX encodings one over the other, MEMBERS_MAX
gzip members or zstd frames in a row, a zstd window of WINDOW_BYTES_MAX (RFC 9659). Input is fed
in slices so small that one of them cannot expand to more than some 50 MB; of brotli, which can
expand without end, output is taken in pieces, and no more of them than the limit.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from storage.capture import Headers

DECODED_BYTES_MAX = 64 << 20
ENCODINGS_MAX = 3
MEMBERS_MAX = 16
WINDOW_BYTES_MAX = 8 << 20
_SLICE_BYTES = 1 << 10
_PIECE_BYTES = 1 << 20

_PLAIN_BEGINNINGS = (b"{", b"[", b'"', b"data:", b"event:", b":", b"id:", b"retry:")


class UndecodableBodyError(Exception):
    """A body's content-encoding cannot be undone, or not to its end."""


def decoded_body(headers: Headers, body: bytes) -> bytes:
    """Undo the content-encoding that the headers of a message name for its body.

    Raises UndecodableBodyError where that is not one of ours, the bytes are broken or cut off, or
    the result would be longer than DECODED_BYTES_MAX.
    """
    decoded, trouble = decode(headers, body)
    if trouble:
        raise UndecodableBodyError(f"The body {trouble}. The bytes as recorded can still be read.")
    return decoded


def decode(headers: Headers, body: bytes, bytes_max: int = DECODED_BYTES_MAX) -> tuple[bytes, str]:
    """Undo a body's content-encoding as far as it goes; say in words what is in the way, or "".

    The words follow "the body": `is cut off or broken (gzip)`. What is longer than `bytes_max`
    comes with so many bytes, and one encoded twice is so long in between, too.
    """
    named = b",".join([value for name, value in headers if name == b"content-encoding"])
    if not named or not body:
        return body, ""
    encodings = [name.strip().lower() for name in named.decode("latin-1").split(",")]
    encodings = [name for name in encodings if name not in ("", "identity")]
    if not encodings or _is_plain(body):
        return body, ""
    if len(encodings) > ENCODINGS_MAX:
        return b"", f"is encoded more than {ENCODINGS_MAX} times over"
    for name in reversed(encodings):
        make = _decompressor(name, body, bytes_max)
        if make is None:
            return b"", f"has a content-encoding that is not decoded here ({name[:16]})"
        body, trouble = _decompress(make, body, bytes_max)
        if trouble:
            return body, f"{trouble} ({name})"
    return body, ""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Brotli:
    """Brotli's decompressor with the methods of the others."""

    unused_data = b""  # bytes behind the end are an error to it

    def __init__(self, bytes_max: int) -> None:
        self._machine = brotli.Decompressor()
        self._bytes_max = bytes_max

    @property
    def eof(self) -> bool:
        return bool(self._machine.is_finished())

    def decompress(self, data: bytes) -> bytes:
        pieces = [self._machine.process(data, output_buffer_limit=_PIECE_BYTES)]
        length = len(pieces[0])
        while length <= self._bytes_max and not (
            self._machine.is_finished() or self._machine.can_accept_more_data()
        ):
            pieces.append(self._machine.process(b"", output_buffer_limit=_PIECE_BYTES))
            length += len(pieces[-1])
        return b"".join(pieces)


def _decompressor(name: str, data: bytes, bytes_max: int) -> Callable[[], _Decompressor] | None:
    if name in ("gzip", "x-gzip"):
        return lambda: zlib.decompressobj(wbits=31)
    if name == "deflate":
        # RFC 9110 means the zlib format; some servers send the bare one.
        wrapped = len(data) > 1 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
        return lambda: zlib.decompressobj(wbits=15 if wrapped else -15)
    if name == "zstd":
        machine = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
        return machine.decompressobj
    return (lambda: _Brotli(bytes_max)) if name == "br" else None


def _decompress(
    make: Callable[[], _Decompressor], data: bytes, bytes_max: int
) -> tuple[bytes, str]:
    pieces: list[bytes] = []
    length = 0
    for _ in range(MEMBERS_MAX):
        machine = make()
        start = 0
        while not machine.eof:
            if start >= len(data):
                return b"".join(pieces), "is cut off"
            try:
                piece = machine.decompress(data[start : start + _SLICE_BYTES])
            except (zlib.error, zstandard.ZstdError, brotli.error):
                return b"".join(pieces), "is broken"
            start += _SLICE_BYTES
            pieces.append(piece)
            length += len(piece)
            if length > bytes_max:
                decoded = b"".join(pieces)[:bytes_max]
                return decoded, f"is longer than {bytes_max} bytes when decoded"
        data = machine.unused_data + data[start:]
        if not data.strip(b"\0"):  # zeros may pad the end
            return b"".join(pieces), ""
    return b"".join(pieces), f"has more than {MEMBERS_MAX} members"


def _is_plain(data: bytes) -> bool:
    if not data.lstrip()[:8].startswith(_PLAIN_BEGINNINGS):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
