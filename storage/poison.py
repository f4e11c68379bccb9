"""Calls that could not be stored, kept with the reason for a person or a newer shalt to see to.

Scores and labels too, by their own ids.

    poison/<call id>.poison   the call's frames, as a segment has them (storage.spool)
    poison/<call id>.json     {"call_id", "writer", "at", "reason"}

A call whose id cannot be read is named `unknown-` and the SHA-256 of its frames. The directory is
bounded: beyond POISON_BYTES_MAX a call is counted and not kept, and the log says so.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from storage.capture import Capture, Clock
from storage.database import StoreUnavailable
from storage.feed import Undigested, assemble
from storage.labels import Said
from storage.replay import Frame, RawFrame, decode, frame_bytes, kind_of, raw_frames_of
from storage.spool import FORMAT_VERSION, MAGIC, SEGMENT_HEADER, Position

log = logging.getLogger(__name__)

POISON_BYTES_MAX: Final = 2**30


class Poisoned(msgspec.Struct, frozen=True):
    """What is known of a call that could not be stored."""

    call_id: str  # or `unknown-…`: how it is named here
    writer: str
    at: datetime
    reason: str


class PoisonDirectory:
    """The calls in a poison directory. The recorder alone writes there; others may look."""

    def __init__(self, directory: Path, bytes_max: int = POISON_BYTES_MAX) -> None:
        self.directory = directory
        self._bytes_max = bytes_max

    def put(self, call: Undigested, writer: str, clock: Clock) -> None:
        """Keep a call. Raise StoreUnavailable where the disk refuses: it is still in the spool."""
        name = call.call_id
        frames = b"".join(frame_bytes(RawFrame(0, kind, data)) for kind, data in call.frames)
        if not name:
            name = f"unknown-{hashlib.sha256(frames).hexdigest()[:32]}"
        if self.byte_count() + len(frames) > self._bytes_max:
            log.error("poison directory is full, call is not kept id=%s", name)
            return
        at = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
        known = Poisoned(name, writer, at, call.reason)
        header = SEGMENT_HEADER.pack(MAGIC, FORMAT_VERSION)
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            _write(self.directory / f"{name}.json", msgspec.json.encode(known))
            _write(self.directory / f"{name}.poison", header + frames)
        except OSError as error:
            raise StoreUnavailable(f"cannot write to {self.directory}: {error.strerror}") from error
        log.error("call could not be stored id=%s kept in=%s", name, self.directory)

    def list(self, prefix: str = "") -> Sequence[Poisoned]:
        """List the calls whose names begin so, oldest id first."""
        paths = sorted(self.directory.glob(f"{prefix}*.poison"))
        found = (self.find(path.stem) for path in paths)
        return [known for known in found if known is not None]

    def find(self, name: str) -> Poisoned | None:
        """Say what is known of a call; None where it is not here."""
        try:
            raw = (self.directory / f"{name}.json").read_bytes()
            return msgspec.json.decode(raw, type=Poisoned)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def read(self, name: str) -> Capture | None:
        """Make the call of its frames once more; None where that still cannot be done."""
        frames = []
        for raw in raw_frames_of(self.directory / f"{name}.poison"):
            payload = decode(raw.kind, raw.encoded)
            place = Position(0, raw.at)
            frames.append(Frame(place, place, raw.kind, payload, raw.encoded))
        return assemble(frames)

    def read_said(self, name: str) -> Said | None:
        """Read a score, a label or a verdict; None where it is a call, or cannot be understood."""
        for raw in raw_frames_of(self.directory / f"{name}.poison"):
            payload = decode(raw.kind, raw.encoded)
            return payload if isinstance(payload, Said) else None
        return None

    def remove(self, name: str) -> None:
        """Forget a call: it has been stored, or erased."""
        (self.directory / f"{name}.poison").unlink(missing_ok=True)
        (self.directory / f"{name}.json").unlink(missing_ok=True)

    def byte_count(self) -> int:
        """Sum up the bytes of the calls that are kept."""
        return sum(path.stat().st_size for path in self.directory.glob("*.poison"))


def undigested(refused: Capture | Said, error: Exception) -> Undigested:
    """Describe what has good frames, and is refused by the store or its derivation."""
    frame = (kind_of(refused), msgspec.msgpack.encode(refused))
    return Undigested(refused.id, [frame], f"{type(error).__name__}: {error}")


def _write(path: Path, data: bytes) -> None:
    aside = path.with_suffix(f"{path.suffix}.new")
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
