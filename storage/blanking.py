"""Overwrite erased calls where they stand in the spool; the format is in storage.spool.

A call that is stored stays in its segment until the segment is over and deleted: `segment_bytes`
or `segment_seconds`. Erasing does not wait for that. First the frame's header becomes that of an
ERASED frame, which needs no payload to check, and is synced; then the payload becomes zeros, and
is synced. Killed in between, the spool can be read all the same, and doing it again finishes it.

Only what the reader has passed is touched. The writer may be adding to the same segment meanwhile.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from storage.held import held_numbers, held_path
from storage.replay import call_id_of, erased_checksum, held_frames, raw_frames
from storage.segments import segment_numbers, segment_path
from storage.spool import FRAME_HEADER, SEGMENT_HEADER, FrameKind, Position

_ZEROS_AT_ONCE: Final = 2**20


class _Blank(NamedTuple):
    """A payload that is to be zeros, in its file; `erased`: its header says so already."""

    at: int
    length: int
    erased: bool


def blank_calls(directory: Path, call_ids: Collection[str], before: Position) -> int:
    """Overwrite every frame of these calls that stands before a position; return how many.

    `directory` is a writer's, `before` how far its spool is stored. Not for calls that are still
    open: their record is made from these frames. Raise OSError where the disk refuses; do it again
    then. Reads all segments that are there, at most a few in a spool that is emptied.
    """
    wanted = frozenset(call_ids)
    count = 0
    for number in segment_numbers(directory):
        if number <= before.segment:
            end = before.offset if number == before.segment else None
            count += _blank(
                segment_path(directory, number), _in_segment(directory, number, end, wanted)
            )
    for number in held_numbers(directory):
        count += _blank(held_path(directory, number), _in_held(directory, number, wanted))
    return count


def _in_segment(
    directory: Path, number: int, end: int | None, wanted: frozenset[str]
) -> Iterator[_Blank]:
    for frame in raw_frames(directory, Position(number, SEGMENT_HEADER.size)):
        if end is not None and frame.at >= end:
            return
        yield from _to_blank(frame.at, frame.kind, frame.encoded, wanted)


def _in_held(directory: Path, number: int, wanted: frozenset[str]) -> Iterator[_Blank]:
    for _, frame in held_frames(directory, number):
        yield from _to_blank(frame.at, frame.kind, frame.encoded, wanted)


def _to_blank(at: int, kind: int, encoded: bytes, wanted: frozenset[str]) -> Iterator[_Blank]:
    if kind == FrameKind.ERASED:
        if encoded.count(0) < len(encoded):  # begun, and not finished
            yield _Blank(at, len(encoded), erased=True)
    elif call_id_of(encoded) in wanted:
        yield _Blank(at, len(encoded), erased=False)


def _blank(path: Path, blanks: Iterator[_Blank]) -> int:
    found = list(blanks)
    if not found:
        return 0
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for at, length, erased in found:
            if not erased:
                header = FRAME_HEADER.pack(length, erased_checksum(length), FrameKind.ERASED)
                os.pwrite(file, header, at)
        os.fdatasync(file)
        for at, length, _ in found:
            for done in range(0, length, _ZEROS_AT_ONCE):
                zeros = bytes(min(_ZEROS_AT_ONCE, length - done))
                os.pwrite(file, zeros, at + FRAME_HEADER.size + done)
        os.fdatasync(file)
    finally:
        os.close(file)
    return len(found)
