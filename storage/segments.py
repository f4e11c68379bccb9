"""What lies in the folders of a spool: writers, their segments, and how much it is.

The names are explained in storage.spool, the format document. Files come and go while one looks:
what has just been deleted is passed over.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

# Of the disk, for the store: or a spool that has filled it could never be emptied. A batch, the log
# of the database and what else is on that disk fit in; a quarter of a disk that is smaller.
RESERVED_BYTES: Final = 256 * 2**20

_WRITER_ID = re.compile(r"[0-9a-f]{32}")  # whatever else lies there is not ours


def writers(spool: Path) -> list[str]:
    """List the ids of the writers that have a folder in the spool, oldest first."""
    if not spool.exists():
        return []
    return sorted(entry.name for entry in os.scandir(spool) if _WRITER_ID.fullmatch(entry.name))


def spool_bytes(spool: Path) -> int:
    """Sum up the bytes of all segments of all writers, and of what is held of deleted ones."""
    total = 0
    for writer in writers(spool):
        for entry in _entries(spool / writer, (".segment", ".held")):
            try:
                total += entry.stat().st_size
            except FileNotFoundError:
                continue  # the recorder deletes what it has stored
    return total


def room_bytes(spool: Path) -> int:
    """Tell how many bytes a spool may still take of its disk; less than 0 when it has too many."""
    try:
        disk = os.statvfs(spool if spool.exists() else spool.parent)
    except OSError:
        return sys.maxsize  # what is wrong there, a write will say better
    if disk.f_blocks == 0:  # a file system that does not tell
        return sys.maxsize
    reserved = min(RESERVED_BYTES, disk.f_blocks * disk.f_frsize // 4)
    return disk.f_bavail * disk.f_frsize - reserved


def segment_path(directory: Path, number: int) -> Path:
    """Name the file of segment `number` of the writer in `directory`."""
    return directory / f"{number:08d}.segment"


def segment_numbers(directory: Path, ending: str = ".segment") -> list[int]:
    """List the numbers of the segments that are there, in order."""
    return sorted(int(entry.name[:8]) for entry in _entries(directory, (ending,)))


def delete_writer(directory: Path) -> None:
    """Delete a dead writer's folder, when all it held is safe elsewhere."""
    shutil.rmtree(directory, ignore_errors=True)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _entries(directory: Path, endings: tuple[str, ...]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if entry.name.endswith(endings)]
    except FileNotFoundError:
        return []
