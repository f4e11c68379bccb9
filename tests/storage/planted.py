"""Look for texts in everything that files hold: as they are, and in zstd frames wherever they lie.

A frame in a SQLite page may go on in overflow pages, which are followed from where the record
says that the blob ends. Frames are tried with every dictionary and base that is given.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
FRAME_BYTES_MAX = 1 << 20
# A record of `body`: its header, with the serial type of 32 characters; the id; the codec; a frame.
_RECORD = re.compile(
    rb"(?s)[\x04-\x08]\x4d[\x01\x08\x09]([\x80-\xff]{0,3}[\x00-\x7f])"
    rb"[0-9a-f]{32}[\x02-\x0f]?\x28\xb5\x2f\xfd"
)


def find_planted(
    paths: Iterable[Path], texts: Sequence[bytes], dictionaries: Iterable[bytes] = ()
) -> list[str]:
    """List where the texts are: file, offset, and whether it was in a frame."""
    known = [zstandard.ZstdCompressionDict(each) for each in dictionaries]
    decoders = [zstandard.ZstdDecompressor(each) for each in (None, *known)]
    found = []
    for path in paths:
        data = _read(path)
        found += [f"{path.name}:{data.find(text)} {text!r}" for text in texts if text in data]
        for at, frame in frames(data):
            for decoder in decoders:
                content = _decoded(decoder, frame)
                found += [f"{path.name}:{at} frame {text!r}" for text in texts if text in content]
    return found


def _read(path: Path) -> bytes:
    """Read a file in another process: closing a SQLite file here would take away our locks."""
    return subprocess.run(["cat", path], stdout=subprocess.PIPE, check=True).stdout


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield every place a frame begins with what follows it, overflow pages put together."""
    at = data.find(MAGIC)
    while at >= 0:
        yield at, data[at : at + FRAME_BYTES_MAX]
        at = data.find(MAGIC, at + 1)
    if data.startswith(b"SQLite format 3\0"):
        yield from _overflowing(data)


def _overflowing(data: bytes) -> Iterator[tuple[int, bytes]]:
    page_bytes = int.from_bytes(data[16:18], "big")
    for record in _RECORD.finditer(data):
        serial = _varint(record[1])
        length = (serial - 12) // 2
        start = record.end() - len(MAGIC)
        payload = record.start()
        whole = start - payload + length  # bytes of the record
        local = _local(whole, page_bytes)
        if serial < 12 or local >= whole:
            continue
        end = payload + local
        blob = data[start:end]
        page = int.from_bytes(data[end : end + 4], "big")
        while page and len(blob) < length and page * page_bytes <= len(data):
            content = data[(page - 1) * page_bytes : page * page_bytes]
            blob += content[4:]
            page = int.from_bytes(content[:4], "big")
        yield start, blob[:length]


def _local(payload: int, page_bytes: int) -> int:
    """How much of a record is on a leaf of a table (fileformat2.html, section 1.6)."""
    if payload <= page_bytes - 35:
        return payload
    least = (page_bytes - 12) * 32 // 255 - 23
    local = least + (payload - least) % (page_bytes - 4)
    return local if local <= page_bytes - 35 else least


def _varint(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def _decoded(decoder: zstandard.ZstdDecompressor, frame: bytes) -> bytes:
    try:
        return decoder.decompressobj().decompress(frame)
    except zstandard.ZstdError:
        return b""
