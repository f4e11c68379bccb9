"""What passed of one body, bounded: the copy that a call makes for its record.

Of each body at most `body_bytes_max` is kept; beyond that its length and SHA-256 only.
"""

import hashlib
from typing import Final

from proxy.redact_bodies import BodyRedactor, Strainer, Unsearchable
from proxy.redact_frames import FrameStrainer
from storage.capture import Body, Headers

HELD_BYTES_MAX: Final = 1024 * 1024


class BodyCopy:
    """What passed of one body: the chunks held, the length of all, and a hash once it is needed.

    A short call takes the whole copy once, at its end. A long one takes what has come again and
    again, and what was taken is in the spool and no longer here; but a request's first
    HELD_BYTES_MAX stay until its answer begins, for until then it may have to be sent again.
    """

    __slots__ = (
        "_before", "_chunks", "_hash", "_kept_bytes_left", "_taken_bytes", "_truncated",
        "held_bytes",
    )  # fmt: skip

    def __init__(self, kept_bytes_max: int, *, resend: bool = False) -> None:
        self.held_bytes = 0
        self._taken_bytes = 0
        self._chunks: list[bytes] = []
        self._kept_bytes_left = kept_bytes_max
        self._hash: hashlib._Hash | None = None
        self._before: bytes | None = b"" if resend else None  # what was taken, while it is kept
        self._truncated = False

    def add(self, data: bytes) -> int:
        """Take note of bytes that passed; return how many are held."""
        self._chunks.append(data)
        self.held_bytes = held_bytes = self.held_bytes + len(data)
        return held_bytes

    @property
    def length(self) -> int:
        """How much has passed."""
        return self._taken_bytes + self.held_bytes

    @property
    def memory_bytes(self) -> int:
        """How much is held here: what has come, and what may have to be sent again."""
        return self.held_bytes + len(self._before or b"")

    @property
    def whole(self) -> bytes | None:
        """Everything that passed so far, while it can be sent again."""
        return None if self._before is None else b"".join((self._before, *self._chunks))

    def relieve(self) -> None:
        """Let go of what was taken already: a stale connection now costs this call its answer."""
        if self._before:
            self._before = None

    def let_go(self) -> None:
        """Nothing needs to be sent again."""
        self._before = None

    def take(self) -> bytes:
        """Let go of the chunks held; return what of them is to be kept."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        self._taken_bytes += self.held_bytes
        self.held_bytes = 0
        if self._before is not None and data:
            before = self._before + data
            self._before = before if len(before) <= HELD_BYTES_MAX else None
        if self._hash is None:
            self._hash = hashlib.sha256()
        self._hash.update(data)
        kept = data[: self._kept_bytes_left]
        self._kept_bytes_left -= len(kept)
        self._truncated = self._truncated or len(kept) < len(data)
        return kept

    def describe(self, kept: bytes, strainer: Strainer | FrameStrainer | None = None) -> Body:
        """Describe the body now that all has been taken, with the bytes its record shall hold.

        `strainer`: what all that was taken went through.
        """
        truncated, redacted_to = self._truncated, None
        if strainer is not None:
            truncated = truncated or strainer.cut
            redacted_to = strainer.kept if strainer.redacted or strainer.cut else None
        changed = truncated or redacted_to is not None
        digest = self._hash.hexdigest() if changed and self._hash else ""
        return Body(kept, self.length, digest, truncated, redacted_to)

    def take_whole(self, bodies: BodyRedactor | None, headers: Headers) -> Body:
        """Take and describe in one: for a call of which nothing was taken before.

        `bodies` takes secrets out, where that is wanted; `headers`: of the body's message.
        """
        if self.length <= self._kept_bytes_left:  # nothing to cut, so nothing to hash
            data = b"".join(self._chunks)
            try:
                clean = bodies.whole(data, headers) if bodies is not None and data else None
            except Unsearchable:
                return Body(b"", self.length, hashlib.sha256(data).hexdigest(), True, 0)
            if clean is None:
                return Body(data, self.length)
            digest = hashlib.sha256(data).hexdigest()
            return Body(clean, self.length, digest, False, len(clean))
        strainer = None if bodies is None else Strainer(bodies, headers)
        kept = self.take()
        if strainer is not None:
            kept = strainer.strain(kept, last=True)
        return self.describe(kept, strainer)


def why_cut(body: Body, strainer: Strainer | FrameStrainer | None) -> str:
    """Say in the metric's word why a body is truncated; `strainer`: what it went through."""
    if strainer is None and body.kept == 0:
        return "not_searchable"
    if strainer is None or not strainer.cut:
        return "body_bytes_max"
    return "held_bytes_max" if strainer.relieved else "not_searchable"
