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
_ONLY_TEXT: Final = re.compile(_TEXT).fullmatch
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
    for chunks in _slices(stream, 6, last_at):
        if any(_PADDING in chunk for chunk in chunks[:_LOOKED_AT]):
            chunks = [_without_padding(each) if _PADDING in each else each for each in chunks]
        at = 0
        while at < len(chunks):
            if head:
                found = _pieces(chunks, at, head, tail)
                fused.write(b"".join(found))
                at += len(found)
                if at == len(chunks):
                    break
                fused.write(tail + _BETWEEN)
                head = b""
            match = _CHUNK.fullmatch(chunks[at])
            if match is None:
                fused.write(chunks[at] + _BETWEEN)
            else:
                head, piece, tail = match.groups()
                fused.write(head + piece)
            at += 1
    if head:
        fused.write(tail + _BETWEEN)
    fused.write(stream[last_at + len(_BETWEEN) :])
    return fused.getvalue()


def _pieces(chunks: Sequence[bytes], at: int, head: bytes, tail: bytes) -> list[bytes]:
    """Take the texts of the chunks from a place on, up to the first that differs in more.

    Most of a stream goes through here, so some chunks at once are taken for alike, and put together
    again to see whether they are: a third of the time of looking at each.
    """
    first, last = len(head), -len(tail)
    between = b"".join((tail, _BETWEEN, head))
    pieces: list[bytes] = []
    for start in range(at, len(chunks), _AT_ONCE):
        some = chunks[start : start + _AT_ONCE]
        texts = [chunk[first:last] for chunk in some]
        is_alike = b"".join((head, between.join(texts), tail)) == _BETWEEN.join(some)
        if is_alike and _ONLY_TEXTS(b"\n".join(texts)):
            pieces += texts
            continue
        for chunk, text in zip(some, texts, strict=True):
            if len(chunk) < first - last or not (chunk.startswith(head) and chunk.endswith(tail)):
                return pieces
            if not _ONLY_TEXT(text):
                return pieces
            pieces.append(text)
    return pieces


def _slices(stream: bytes, at: int, end: int) -> Iterator[list[bytes]]:
    """Yield the chunks between two places, those of some SLICE_BYTES together."""
    while end - at > SLICE_BYTES:
        stop = stream.find(_BETWEEN, at + SLICE_BYTES, end)
        if stop < 0:
            break
        yield stream[at:stop].split(_BETWEEN)
        at = stop + len(_BETWEEN)
    yield stream[at:end].split(_BETWEEN)


def _without_padding(chunk: bytes) -> bytes:
    at = chunk.rfind(_PADDING)
    if not chunk.endswith(b'"}') or b'"' in chunk[at + len(_PADDING) : -2]:
        return chunk
    return chunk[:at] + b"}"
