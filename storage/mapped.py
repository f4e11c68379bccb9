"""Memory that outlives the process: a small file of fixed size, mapped.

What is written to `view` is in the page cache at once: a killed process loses none of it, a power
cut what the kernel had not written back. The bytes live in plain memory until there is a place
for the file, and can move to another one: a worker serves on a full disk, too, and when somebody
removes its directory. Their room on the disk is taken beforehand, so that no later write can fail.
"""

import fcntl
import mmap
import os
from pathlib import Path


class MappedFile:
    """`size` bytes, zero at first, behind `view`."""

    def __init__(self, size: int) -> None:
        self.view = memoryview(mmap.mmap(-1, size))
        self._file = -1

    def move_to(self, path: Path, *, lock: bool = False) -> None:
        """Go on in a new file at `path` with the bytes as they are, holding a lock on it if told.

        `view` is another one afterwards. Raise OSError, with everything as it was, when the file
        cannot be made.
        """
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if lock:
                fcntl.flock(file, fcntl.LOCK_EX)
            # A hole in the file would be filled at a later write, and a full disk is a SIGBUS then.
            os.posix_fallocate(file, 0, len(self.view))
            os.pwrite(file, self.view, 0)
            view = memoryview(mmap.mmap(file, len(self.view)))
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        self.close()
        self.view, self._file = view, file

    def is_at(self, path: Path) -> bool:
        """Tell whether the file is still the one at `path`. Safe in any thread."""
        try:
            return self._file >= 0 and os.path.samestat(os.stat(path), os.fstat(self._file))
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the file, and with it of the lock. Views made of `view` go first."""
        mapping = self.view.obj
        self.view.release()
        assert isinstance(mapping, mmap.mmap)
        mapping.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
