"""Frames of open calls, copied out of a segment so that the rest of it can go.

A call can stay open for hours and have a frame in every segment: to keep them all would keep
gigabytes of other calls. So when a segment has been read and stored, what open calls have in it is
copied to a file beside it, and the segment deleted. `00000007.held` stands for segment 7 from the
moment it is there:

    the 12 bytes `SHALTHLD` + version (u32)
    offset u64, frame; again and again, by ascending offset

`offset` is where the frame stood in the segment: its place stays its name. The file is written
aside, synced and renamed, so it is whole or not there at all. Reading it is in storage.replay.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from storage.segments import segment_numbers, sync_directory

VERSION: Final = 1
OFFSET = struct.Struct("<Q")
_HEADER = struct.Struct("<8sI")
HEADER_BYTES: Final = _HEADER.size
HEADER: Final = _HEADER.pack(b"SHALTHLD", VERSION)
_ENDING: Final = ".held"


def held_path(directory: Path, number: int) -> Path:
    """Name the file of what is held of segment `number`."""
    return directory / f"{number:08d}{_ENDING}"


def held_numbers(directory: Path) -> list[int]:
    """List the segments of which something is held, in order."""
    return segment_numbers(directory, _ENDING)


def hold(directory: Path, number: int, frames: Iterable[tuple[int, bytes]]) -> None:
    """Hold these frames of segment `number`, and no others.

    `frames` are the offset and all bytes of each, by ascending offset. Raise OSError, with what
    was held before still held, where the disk refuses.
    """
    path = held_path(directory, number)
    aside = path.with_suffix(".new")
    try:
        with open(aside, "wb") as file:
            file.write(HEADER)
            for offset, frame in frames:
                file.write(OFFSET.pack(offset))
                file.write(frame)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        sync_directory(directory)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
