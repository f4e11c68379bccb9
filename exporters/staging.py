"""A directory that appears whole or not at all, and files that know their hash.

`staging` gives a hidden directory beside the target (`.NAME.partial`), held by a lock; leaving the
block syncs it and renames it to the target. An error, Ctrl-C included, removes it. What a killed
process left there is removed by the next who stages the same target, or by `sweep`: whether another
process is still writing is told by its lock, which dies with it.

Limits: the target's parent must be on one local file system with it (rename, flock). An existing
target is replaced only if it is an empty directory.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

BUFFER_BYTES = 1 << 20


class StagingError(Exception):
    """The target cannot be written; the message says why and what to do."""


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """Yield a directory to write into, which becomes `directory` when the block ends well.

    Raises StagingError if `directory` is in the way or is being written by another process.
    """
    directory = Path(os.path.abspath(directory))
    _refuse_existing(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(directory)
    descriptor, mine = -1, False
    try:
        partial.mkdir(exist_ok=True)
        descriptor = _open_own(partial)
        _lock(descriptor, partial)
        mine = True
        for left in partial.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield partial
        os.fsync(descriptor)
        _refuse_existing(directory)
        partial.rename(directory)
        mine = False
        _sync(directory.parent)
    except BaseException as error:
        if mine:
            shutil.rmtree(partial, ignore_errors=True)
        elif not isinstance(error, StagingError):
            with suppress(OSError):  # made, and interrupted before it was taken: it is empty
                partial.rmdir()
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def sweep(directory: Path) -> bool:
    """Remove what a killed process left of a target; False where one is writing it still."""
    directory = Path(os.path.abspath(directory))
    partial = partial_of(directory)
    try:
        descriptor = _open_own(partial)
    except FileNotFoundError:
        return True
    try:
        _lock(descriptor, partial)
        shutil.rmtree(partial, ignore_errors=True)
    except StagingError:
        return False
    finally:
        os.close(descriptor)
    return True


def partial_of(directory: Path) -> Path:
    """Say where a target is written until it has its name."""
    return directory.with_name(f".{directory.name}.partial")


class Lines:
    """A new file, written line by line: counts, hashes, and syncs to disk when it is closed.

    One that is not `lasting`, because it is gone when the directory appears, does neither of the
    last two.
    """

    def __init__(self, path: Path, *, lasting: bool = True) -> None:
        self.name = path.name
        self.rows = 0
        self.bytes = 0
        self._lasting = lasting
        self._hash = hashlib.sha256()
        self._file = path.open("xb", buffering=BUFFER_BYTES)

    @property
    def sha256(self) -> str:
        """Of all that was written, hex."""
        return self._hash.hexdigest()

    def write(self, line: bytes) -> None:
        """Append a line; `line` comes without its end."""
        data = line + b"\n"
        self._put(data)
        self.rows += 1

    def append(self, path: Path, rows: int) -> None:
        """Append a file of so many lines."""
        with path.open("rb", buffering=0) as file:
            while data := file.read(BUFFER_BYTES):
                self._put(data)
        self.rows += rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._file:
            if kind is None and self._lasting:
                self._file.flush()
                os.fsync(self._file.fileno())

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        if self._lasting:
            self._hash.update(data)
        self.bytes += len(data)


def _refuse_existing(directory: Path) -> None:
    if directory.is_dir() and not directory.is_symlink() and not any(directory.iterdir()):
        return
    if os.path.lexists(directory):
        raise StagingError(
            f"{directory} exists and is not an empty directory: a dataset is never changed, "
            "so choose another name, or remove it"
        )


def _open_own(partial: Path) -> int:
    """Open the directory; what it holds will be deleted, so it must not lead elsewhere."""
    try:
        return os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError:
        raise StagingError(f"{partial} is a link: remove it, or choose another name") from None


def _lock(descriptor: int, partial: Path) -> None:
    """Take the directory for this process, and make sure it still has its name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(descriptor).st_ino == partial.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise StagingError(f"another process is writing {partial}: wait for it, or choose a name")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
