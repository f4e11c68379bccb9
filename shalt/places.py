"""What lies where in a data directory, and the one lock on it.

spool/           calls on their way to the store (storage.spool)
poison/          calls the recorder could not digest, with the reason
datasets/        datasets that were asked for over HTTP, a directory each
drift/           what the monitors found last, the lock of the process that watches, hours that
                 were rolled up, vectors of prompts; all of it can be made again
monitors.json    drift monitors that were asked for over HTTP
forward/         how far `shalt forward` has come, for each collector
metrics/         the processes' counters for Prometheus, calls by access key; new at every start
access.json      the access keys, as hashes, unless `access_file` says otherwise
shalt.sqlite     the store, unless `store` says otherwise
fingerprint.key  32 random bytes: the key under which redacted secrets are fingerprinted
lock             held by the `shalt` that serves or records from this directory
"""

import errno
import fcntl
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import IO

_FINGERPRINT_KEY_BYTES = 32


class DataDirError(Exception):
    """The data directory cannot be used; the message says what to do."""


class Places:
    """The paths of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.spool = data_dir / "spool"
        self.poison = data_dir / "poison"
        self.metrics = data_dir / "metrics"
        self.forward = data_dir / "forward"
        self.datasets = data_dir / "datasets"
        self.monitors = data_dir / "monitors.json"
        self.drift = data_dir / "drift"
        self.rollups = self.drift / "hours"
        self.watch_state = self.drift / "watch.json"
        self.restarts = self.metrics / "restarts.json"
        self.reloads = self.metrics / "reload.json"
        self.rates = self.metrics / "rates"
        self._fingerprint_key = data_dir / "fingerprint.key"
        self._lock = data_dir / "lock"

    def prepare(self) -> None:
        """Make what is missing, readable by this user alone. Raises DataDirError."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.spool.mkdir(mode=0o700, exist_ok=True)
            self.poison.mkdir(mode=0o700, exist_ok=True)
            if not self._fingerprint_key.exists():
                self._write_fingerprint_key()
        except OSError as error:
            raise self._unusable(error) from error

    def clear_metrics(self) -> None:
        """Forget the counters of earlier processes: after a start Prometheus sees a reset.

        Raises DataDirError where none can be written.
        """
        # Not all may go: a process of a supervisor that was killed may still be writing here.
        shutil.rmtree(self.metrics, ignore_errors=True)
        try:
            self.metrics.mkdir(mode=0o700, exist_ok=True)
            if not os.access(self.metrics, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.metrics))
        except OSError as error:
            raise self._unusable(error) from error

    def lock(self) -> IO[bytes]:
        """Take the lock; it is let go of when the file returned is closed or the process ends.

        Raises DataDirError when another shalt has it, or it cannot be had at all.
        """
        file = self._try_lock(self._lock)
        if file is None:
            raise DataDirError(
                f"another shalt is running on {self.data_dir}: stop it, or choose another "
                "directory with --data-dir"
            )
        return file

    def lock_watch(self) -> IO[bytes] | None:
        """Take the lock of the one process that watches; None while another has it.

        Raises DataDirError where it cannot be had at all.
        """
        try:
            self.drift.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        return self._try_lock(self.drift / "watch.lock")

    def read_fingerprint_key(self) -> bytes:
        """Return the key under which redacted secrets are fingerprinted."""
        return self._fingerprint_key.read_bytes()

    def _try_lock(self, path: Path) -> IO[bytes] | None:
        try:
            file = open(path, "ab")
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def _unusable(self, error: OSError) -> DataDirError:
        return DataDirError(
            f"cannot use the data directory {self.data_dir}: {error}; "
            "choose another with --data-dir or SHALT_DATA_DIR"
        )

    def _write_fingerprint_key(self) -> None:
        # Two processes may begin at once: each writes aside, and the first to name its file wins.
        aside = self._fingerprint_key.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            with open(aside, "wb", opener=_private) as file:
                file.write(secrets.token_bytes(_FINGERPRINT_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, self._fingerprint_key)
            except FileExistsError:
                pass
        finally:
            aside.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
