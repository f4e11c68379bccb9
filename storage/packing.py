"""Capture to bytes and back: the codecs of `body.capture`. Reading gives back the exact bytes.

A codec is never reused:

    0   MessagePack of a Capture, as it is
    1   the same, zstd
    2   MessagePack of a Packed, zstd; with the dictionary its frame names, if it names one
    3   the same against the Packed of another call, which `body.base_id` names

A `Packed` is a capture out of whose bodies the `Cut`s have been taken: runs of base64 of at least
CUT_BYTES_MIN, images mostly. They are stored by their SHA-256, once, however often they recur.

A conversation is sent again with each turn, so a call costs what is new in it when it is encoded
against one before it. A chain of such calls has positions 0, 1, 2, …; the base of a position is
the one with its lowest digit that is not zero, in base 4, one lower. So at most DEPTH_MAX bases
must be read to read a call; in return a call repeats, on average over 100 turns, what three turns
added instead of one. After CHAIN_MAX calls a new chain begins.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import zstandard

from storage.capture import Body, Capture

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODEC_RAW = 0
CODEC_ZSTD = 1
CODEC_PACKED = 2
CODEC_BASED = 3
PART_LEVEL: Final = 1  # base64 shrinks to three quarters at any level
ZSTD_LEVEL = 3  # level 9 saves 4 % more for three times the time

CHAIN_MAX: Final = 4**4
DEPTH_MAX: Final = 12  # four digits of at most three
CUT_BYTES_MIN: Final = 16 * 2**10  # below, a row of its own costs about what it saves
CUTS_MAX: Final = 256  # in one body
# A run of CUT_BYTES_MIN holds at least three of these places, whatever it begins at.
_PROBE_STEP: Final = CUT_BYTES_MIN // 4
_PROBE_BYTES: Final = 64
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_RUN: Final = re.compile(rb"[A-Za-z0-9+/=_-]+")

# From here on bodies are compressed from where they are: one more copy would be felt.
LARGE_BYTES_MIN: Final = 8 * 2**20

# A frame of zstd: its magic number, then one segment whose length follows in four bytes.
_FRAME_BEGINS: Final = b"\x28\xb5\x2f\xfd\xa0"
_BLOCK_BYTES: Final = 128 * 2**10  # as many as a block may hold

# MessagePack: an array of three, and one of none. A Packed without cuts is a capture between them.
_THREE: Final = b"\x93"
_NONE: Final = b"\x90"
_LONG_BYTES: Final = b"\xc6"  # the length follows in four bytes
_LONG_BYTES_MIN: Final = 2**16  # fewer have a shorter head

_encode = msgspec.msgpack.Encoder().encode
_decode_capture = msgspec.msgpack.Decoder(Capture).decode


class Cut(NamedTuple):
    """A run taken out of a body: where it goes back in, and the SHA-256 of its bytes."""

    offset: int  # in what is left of the body, other cuts not counted
    hash: bytes


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """A capture whose bodies have had runs taken out."""

    capture: Capture
    request_cuts: tuple[Cut, ...] = ()
    response_cuts: tuple[Cut, ...] = ()


_decode_packed = msgspec.msgpack.Decoder(Packed).decode
Parts = Mapping[bytes, bytes]  # SHA-256 -> bytes


def pack(capture: Capture, encoded: bytes = b"") -> tuple[bytes, dict[bytes, bytes]]:
    """Write a capture as MessagePack of Packed; return that and what was taken out of it.

    `encoded` is the capture as MessagePack, where it is at hand: most have nothing taken out.
    """
    parts: dict[bytes, bytes] = {}
    request, request_cuts = _cut(capture.request_body, parts)
    response, response_cuts = _cut(capture.response_body, parts)
    if not parts:
        return as_packed(capture, encoded), parts
    capture = msgspec.structs.replace(capture, request_body=request, response_body=response)
    return _encode(Packed(capture, request_cuts, response_cuts)), parts


def as_packed(capture: Capture, encoded: bytes = b"") -> bytes:
    """Write a capture as MessagePack of Packed with nothing taken out, as `pack` mostly does."""
    return b"".join((_THREE, encoded or _encode(capture), _NONE, _NONE))


def is_large(capture: Capture) -> bool:
    """Tell whether a call is to be compressed by `compress_large`."""
    return len(capture.request_body.data) + len(capture.response_body.data) >= LARGE_BYTES_MIN


def compress_large(
    capture: Capture, compressor: zstandard.ZstdCompressor
) -> tuple[bytes, dict[bytes, bytes]]:
    """Compress what `pack` would return without ever having it in memory; return that and parts."""
    parts: dict[bytes, bytes] = {}
    request, request_cuts = _cut(capture.request_body, parts)
    response, response_cuts = _cut(capture.response_body, parts)
    if parts:
        capture = msgspec.structs.replace(capture, request_body=request, response_body=response)
    pieces = [_THREE, *_pieces(capture), _encode(request_cuts), _encode(response_cuts)]
    frame = compressor.compressobj(size=sum(map(len, pieces)))
    return b"".join([*map(frame.compress, pieces), frame.flush()]), parts


def _pieces(struct: Capture | Body) -> Iterator[bytes]:
    """Write a struct as `_encode` does, long bytes in it as they are and not as a copy."""
    values = msgspec.structs.astuple(struct)
    yield _encode([None] * len(values))[: -len(values)]  # the head of so long an array
    for value in values:
        if isinstance(value, Body):
            yield from _pieces(value)
        elif isinstance(value, bytes) and len(value) >= _LONG_BYTES_MIN:
            yield _LONG_BYTES + len(value).to_bytes(4, "big")
            yield value
        else:
            yield _encode(value)


def unpack(packed: bytes, find: Callable[[Sequence[bytes]], Parts]) -> Capture:
    """Read a capture from MessagePack of Packed. KeyError where a part is missing.

    `find` is asked for the parts by their hashes, where there are any.
    """
    read = _decode_packed(packed)
    cuts = (*read.request_cuts, *read.response_cuts)
    if not cuts:
        return read.capture
    parts = find([cut.hash for cut in cuts])
    return msgspec.structs.replace(
        read.capture,
        request_body=_joined(read.capture.request_body, read.request_cuts, parts),
        response_body=_joined(read.capture.response_body, read.response_cuts, parts),
    )


def unpack_first(codec: int, data: bytes) -> Capture:
    """Read a capture of codec 0 or 1, which need nothing but themselves."""
    if codec == CODEC_ZSTD:
        data = zstandard.decompress(data)
    else:
        assert codec == CODEC_RAW, f"body.codec {codec} is not known to this version"
    return _decode_capture(data)


def compress_part(content: bytes) -> tuple[int, bytes]:
    """Write a part: its codec, and the bytes that `decompress_part` undoes."""
    compressed = zstandard.compress(content, PART_LEVEL)
    shrunk = len(compressed) < len(content)
    return (CODEC_ZSTD, compressed) if shrunk else (CODEC_RAW, content)


def decompress_part(codec: int, content: bytes) -> bytes:
    """Read a part."""
    return zstandard.decompress(content) if codec == CODEC_ZSTD else content


def compress_against(base: bytes, packed: bytes) -> bytes:
    """Compress what a Packed has over another, which must be given again to read it.

    As a prefix, which serves one body: two thirds of the time that a dictionary of it takes, and
    four bytes of 1,052 more.
    """
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix
    return zstd.compress(packed, level=ZSTD_LEVEL, zstd_dict=prefix)


def decompress_against(base: bytes, data: bytes, decompressor: zstandard.ZstdDecompressor) -> bytes:
    """Undo `compress_against`, with a decompressor that knows no dictionary.

    As a chain of two frames, of which the first is the base: that way the decompressor serves all
    bodies of a reader. One of its own for each, with the base as its dictionary, takes twice as
    long, for it makes 100 KB of tables.
    """
    return decompressor.decompress_content_dict_chain([_stored_frame(base), data])


def base_of(position: int) -> int:
    """Say which position of a chain the call at `position` (from 1) is encoded against."""
    digit = 1
    while position % (4 * digit) == 0:
        digit *= 4
    return position - digit


def bases_of(position: int) -> Iterator[int]:
    """Yield the positions that must be read before `position`, the nearest first."""
    while position:
        position = base_of(position)
        yield position


def _stored_frame(data: bytes) -> bytes:
    """Write a zstd frame whose blocks are not compressed (RFC 8878, 3.1.1)."""
    pieces = [_FRAME_BEGINS, len(data).to_bytes(4, "little")]
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        is_last = start + _BLOCK_BYTES >= len(data)
        pieces += ((len(block) << 3 | is_last).to_bytes(3, "little"), block)
    return b"".join(pieces)


def _cut(body: Body, parts: dict[bytes, bytes]) -> tuple[Body, tuple[Cut, ...]]:
    """Take the long runs of base64 out of a body, and put them into `parts`."""
    data = body.data
    if len(data) < CUT_BYTES_MIN:
        return body, ()
    cuts: list[Cut] = []
    rest: list[bytes] = []
    offset = end = 0
    for start, stop in _runs(data):
        offset += start - end
        run = data[start:stop]
        digest = hashlib.sha256(run).digest()
        parts[digest] = run
        cuts.append(Cut(offset, digest))
        rest.append(data[end:start])
        end = stop
    if not cuts:
        return body, ()
    rest.append(data[end:])
    return msgspec.structs.replace(body, data=b"".join(rest)), tuple(cuts)


def _runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Find the long runs of base64: look at a few places, and around those that look like it.

    Trying a pattern at every word of a text takes 20 ns a byte; this takes 0.1.
    """
    place = end = count = 0
    while place < len(data) and count < CUTS_MAX:
        if data[place : place + _PROBE_BYTES].translate(None, _BASE64):
            place += _PROBE_STEP
            continue
        before = max(data.rfind(mark, end, place) for mark in (b'"', b",", b"'"))
        start = max(before + 1, end)
        run = _RUN.match(data, start)
        stop = run.end() if run else start
        if stop - start >= CUT_BYTES_MIN:
            yield start, stop
            end = stop
            count += 1
        place = max(stop, place + _PROBE_STEP)


def _joined(body: Body, cuts: Sequence[Cut], parts: Parts) -> Body:
    pieces: list[bytes] = []
    end = 0
    for cut in cuts:
        pieces += (body.data[end : cut.offset], parts[cut.hash])
        end = cut.offset
    pieces.append(body.data[end:])
    return msgspec.structs.replace(body, data=b"".join(pieces))
