"""Chunks of a stream that differ in nothing but the text they add, made one before they are read.

A server writes every chunk of an answer with the same id, time, model and fingerprint around a few
characters of new text. Such chunks in a row are one chunk with all their text: the pieces are put
together as they were written, escapes and all, and read once. A stream of 64 chunks takes a third
of the time so.

It is done only where it cannot change what the chunks add up to: one choice, a delta of nothing
but its content, no list and no object after it (no usage, no log probabilities), and no escaped
surrogate in the text, of which a pair may be cut in two. Everything else passes as it is. The
padding some servers add (`obfuscation`) does not count as a difference.
"""

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

SLICE_BYTES: Final = 2**18  # of a stream taken apart at once: what its chunks take in memory
_TEXT: Final = rb'[^"\\\n]*(?:\\(?:[^u\n]|u(?![dD][89a-fA-F]))[^"\\\n]*)*'
# A chunk with one choice whose delta is {"content": "…"} and nothing else.
_CHUNK: Final = re.compile(
    rb'(\{[^\[\n]*"choices": ?\[\{[^\[{\n]*"delta": ?\{"content": ?")('
    + _TEXT
    + rb')("\}[^\[{\n]*)'
)
_ONLY_TEXTS: Final = re.compile(rb"(?:" + _TEXT + rb"\n)*" + _TEXT).fullmatch  # a line each
_PADDING: Final = b',"obfuscation":"'
_LOOKED_AT: Final = 3  # chunks: who pads, pads all of them
_AT_ONCE: Final = 16  # chunks that are compared together
_BETWEEN: Final = b"\n\ndata: "


def fuse(stream: bytes) -> bytes:
    """Return a stream of chat completion chunks with those alike in a row as one.

    A stream with other fields than `data`, or other line ends than `\\n`, comes back as it is.
    """
    last_at = stream.rfind(_BETWEEN)  # what follows may be cut off
    if last_at < 0 or not stream.startswith(b"data: ") or b"\r" in stream:
        return stream
    fused = BytesIO()
    fused.write(b"data: ")
    head = tail = b""  # of the run that is being written
    for text in _slices(stream, 6, last_at):
        chunks = text.split(_BETWEEN)
        if any(_PADDING in chunk for chunk in chunks[:_LOOKED_AT]):
            chunks = [_without_padding(each) if _PADDING in each else each for each in chunks]
            text = _BETWEEN.join(chunks)
        at = place = 0  # of a chunk: its number, and where it begins in the text
        while at < len(chunks):
            if head:
                found = _pieces(text, place, chunks, at, head, tail)
                added = b"".join(found)
                fused.write(added)
                at += len(found)
                if at == len(chunks):
                    break
                place += len(found) * len(head + tail + _BETWEEN) + len(added)
                fused.write(tail + _BETWEEN)
                head = b""
            match = _CHUNK.fullmatch(chunks[at])
            if match is None:
                fused.write(chunks[at] + _BETWEEN)
            else:
                head, piece, tail = match.groups()
                fused.write(head + piece)
            place += len(chunks[at] + _BETWEEN)
            at += 1
    if head:
        fused.write(tail + _BETWEEN)
    fused.write(stream[last_at + len(_BETWEEN) :])
    return fused.getvalue()


def _pieces(
    text: bytes, place: int, chunks: Sequence[bytes], at: int, head: bytes, tail: bytes
) -> list[bytes]:
    """Take what the chunks from `at` on add, up to the first that differs in more.

    That one stands in `text` at `place`. Most of a stream goes through here, so many chunks are
    taken for alike, and put together again to see whether they are: a quarter of the time of
    looking at each. At its beginning all of them, but for those at its end that tell how it ended.
    """
    first, last = len(head), -len(tail)
    between = b"".join((tail, _BETWEEN, head))
    count = _AT_ONCE
    if at <= _LOOKED_AT:
        count = len(chunks) - at
        count -= sum([not chunk.endswith(tail) for chunk in chunks[-_LOOKED_AT:]])
    pieces: list[bytes] = []
    while at < len(chunks):
        count = max(min(count, len(chunks) - at), 1)
        texts = [chunk[first:last] for chunk in chunks[at : at + count]]
        joined = between.join(texts)
        if (
            text.startswith(joined, place + first)
            and text.startswith(head, place)
            and text.startswith(tail, place + first + len(joined))
            and _ONLY_TEXTS(b"\n".join(texts))
        ):
            pieces += texts
            place += len(joined) + len(between)
            at += count
        elif count == 1:
            break
        else:
            count = _AT_ONCE if count > _AT_ONCE else 1
    return pieces


def _slices(stream: bytes, at: int, end: int) -> Iterator[bytes]:
    """Yield the chunks between two places, those of some SLICE_BYTES together."""
    while end - at > SLICE_BYTES:
        stop = stream.find(_BETWEEN, at + SLICE_BYTES, end)
        if stop < 0:
            break
        yield stream[at:stop]
        at = stop + len(_BETWEEN)
    yield stream[at:end]


def _without_padding(chunk: bytes) -> bytes:
    at = chunk.rfind(_PADDING)
    if not chunk.endswith(b'"}') or b'"' in chunk[at + len(_PADDING) : -2]:
        return chunk
    return chunk[:at] + b"}"
